package rootexec_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

// begins makes the children begin as real workers do.
func begins(p *rootexec.Program) { p.Args = []string{"play-worker"} }

func TestPoolWorkerThatBeganNeitherForksNorExecs(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for _, tt := range []struct {
		name    string
		change  func(*rootexec.Program)
		refused map[string]bool
	}{
		{"before it began", nil, map[string]bool{"fork": true, "fork-parent": true, "spawner-fork": false, "threads": false}},
		{"after it began", begins, map[string]bool{"fork": true, "fork-parent": true, "spawner-fork": true, "exec": true,
			"root": true, "filter": true, "threads": false, "preempt": false, "save": false}},
		{"it begins where the sandbox is off", func(p *rootexec.Program) {
			begins(p)
			p.Sandbox = rootexec.SandboxOff
		}, map[string]bool{"threads": false, "save": false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := open(t, tt.change)
			var orders []string
			order := func(verb string) string {
				return verb + map[string]string{"spawner-fork": " " + thisProgram(t), "exec": " " + thisProgram(t), "save": " " + home}[verb]
			}
			for verb := range tt.refused {
				if verb != "root" { // asked always
					orders = append(orders, order(verb))
				}
			}
			got := n.ask(rootexec.Child{Identity: me(), Paths: []rootexec.Path{{Above: home}}}, orders...)
			for verb, refused := range tt.refused {
				if answer, ok := got.Answers[order(verb)]; !ok || (answer != "") != refused {
					t.Errorf("%s: %q, want refused: %t", verb, answer, refused)
				}
			}
		})
	}
}

func TestRootWorkerSignalsNobodyOfItsUID(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	n := open(t, nil)
	c := rootexec.Child{Identity: user(vmail)}
	other, control := n.start(c)
	if other.Err != nil {
		t.Fatal(other.Err)
	}
	orders := []string{fmt.Sprint("tgkill-kill ", other.PID), fmt.Sprint("tgkill-stop ", other.PID), fmt.Sprint("setown ", other.PID), "kill"}
	got := n.ask(c, orders...)
	for _, o := range orders {
		if got.Answers[o] != unix.EPERM.Error() {
			t.Errorf("%s: %q, want it refused", o, got.Answers[o])
		}
	}
	control.Close() // the other one reads end of file
	if s := reap(other.PID); s != "exit 0" {
		t.Errorf("the other worker ended with %s", s)
	}
}

func TestPoolWorkerThatFailsDies(t *testing.T) {
	t.Parallel()
	// Go's runtime ends some of these by a signal to itself, which is refused;
	// it has a way to exit after that.
	n := open(t, begins)
	for _, order := range []string{"panic", "panic-core", "fault"} {
		quiet, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, control := n.start(rootexec.Child{Identity: me(), Log: quiet})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		control.Send([]byte(order), -1)
		if s := reap(r.PID); s != "exit 2" {
			t.Errorf("%s: ended with %s, want exit 2", order, s)
		}
	}
}
