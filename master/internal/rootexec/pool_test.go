package rootexec_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

func TestChildIsBornWithExactlyWhatItNeeds(t *testing.T) {
	t.Parallel()
	const data = 64 << 30                                           // much: the race detector's shadow counts
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) // not close-on-exec: a leak if it is not placed
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(listener)
	n := open(t, func(p *rootexec.Program) { p.VSZ, p.Listeners = data, []int{listener} })
	home := t.TempDir()
	got := n.ask(rootexec.Child{Identity: me(), Paths: []rootexec.Path{{Above: home}}},
		"save "+home, "open /etc/passwd", "socket", "chmod "+home, "ptrace", "newuser")
	got.FDs[2] = strings.Split(got.FDs[2], ":")[0] // whatever the test's stderr is
	if want := []string{"0:char", "1:char", "2", "3:socket", "4:file", "5:socket"}; !slices.Equal(got.FDs, want) {
		t.Errorf("descriptors are %v, want %v", got.FDs, want)
	}
	if want := []string{"GOMAXPROCS=1", "CULVER_SERVICE=test"}; !slices.Equal(got.Env[:2], want) || len(got.Env) != 3 {
		t.Errorf("environment is %v, want %v and the identity", got.Env, want)
	}
	if got.Dir != "/" || !got.Session || got.Umask != 0o77 || got.Data != data || got.Core != 0 {
		t.Errorf("got %+v, want /, a session of its own, umask 077, RLIMIT_DATA %d, no core", got, data)
	}
	for o, answer := range got.Answers {
		wanted := strings.HasPrefix(o, "save") || o == "root" && os.Getuid() == 0
		if (answer == "") != wanted {
			t.Errorf("%s: %q", o, answer)
		}
	}
}

func TestRootSameCodeRunsForAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	base, _ := homes(t)
	tmp := filepath.Join(base, "tmp")
	mkdir(t, tmp, alice, 0o700)
	cmd := exec.Command(thisProgram(t), "-test.run", "^TestChild|^TestPool", "-test.v")
	cmd.Dir, cmd.Env = "/", []string{"TMPDIR=" + tmp}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestChild") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPoolReplacesASpawnerThatDies(t *testing.T) {
	t.Parallel()
	n := open(t, func(p *rootexec.Program) { p.Spawners = 1 })
	var old int
	for pid := range n.pool.SpawnerPIDs() {
		old = pid
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	reap(old)
	// A birth asked for now waits for the next spawner, or fails as temporary if
	// it was given to the dead one.
	for {
		r, control := n.start(rootexec.Child{Identity: me()})
		control.Close()
		if r.Err == nil {
			reap(r.PID)
			break
		}
		if r.Class != rootexec.ClassTemp {
			t.Fatalf("class %d, %v; want a temporary failure or a child", r.Class, r.Err)
		}
	}
	if n.pool.SpawnerPIDs()[old] {
		t.Error("the dead spawner is still on the books")
	}
}

func TestPoolSpawnersEndWithTheirMaster(t *testing.T) {
	t.Parallel()
	n := open(t, nil)
	pids := n.pool.SpawnerPIDs()
	n.pool.Close() // all they learn of either is end of file
	for pid := range pids {
		if s := reap(pid); s != "exit 0" {
			t.Errorf("spawner ended with %s, want exit 0", s)
		}
	}
	r, _ := n.start(rootexec.Child{Identity: me()})
	if r.Class != rootexec.ClassTemp || r.Err == nil {
		t.Errorf("after Close: class %d, %v; want a temporary failure", r.Class, r.Err)
	}
}

func TestPoolSaysThatTheProgramIsMissing(t *testing.T) {
	t.Parallel()
	n := open(t, func(p *rootexec.Program) { p.Path = "/none/such" })
	r, _ := n.start(rootexec.Child{Identity: me()})
	if r.Class != rootexec.ClassConfig || !strings.Contains(r.Err.Error(), "/none/such") {
		t.Errorf("class %d, %v; want a fault of configuration that names it", r.Class, r.Err)
	}
}

func TestPoolNamesALimitThatIsTooLow(t *testing.T) {
	t.Parallel()
	_, err := rootexec.Open(rootexec.Program{Service: "test", Path: thisProgram(t), Spawner: thisProgram(t), VSZ: 1 << 20})
	if err == nil || !strings.Contains(err.Error(), "vsz_limit") {
		t.Errorf("got %v, want an error that names vsz_limit", err)
	}
}

func TestPoolNamesWhatIsTooMany(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*rootexec.Program){
		"65 listeners, want at most 64":      func(p *rootexec.Program) { p.Listeners = make([]int, 65) },
		"70 paths to write, want at most":    func(p *rootexec.Program) { p.ReadWrite = make([]string, 70) },
		"one of 5000 bytes, want at most":    func(p *rootexec.Program) { p.ReadOnly = []string{strings.Repeat("x", 5000)} },
		"bytes together, want at most":       func(p *rootexec.Program) { p.Env = slices.Repeat([]string{strings.Repeat("x", 4000)}, 40) },
		"variables of the environment, want": func(p *rootexec.Program) { p.Env = make([]string, 64) }, // and ours
	} {
		prog := rootexec.Program{Service: "many", Path: thisProgram(t), Spawner: thisProgram(t)}
		change(&prog)
		_, err := rootexec.Open(prog)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "service many") {
			t.Errorf("got %v, want an error that names the service and %q", err, want)
		}
	}
	n := open(t, nil)
	r, _ := n.start(rootexec.Child{Identity: me(), Paths: make([]rootexec.Path, 65)})
	if want := "65 paths, want at most 64"; r.Class != rootexec.ClassConfig || r.Err.Error() != want {
		t.Errorf("class %d, %v; want %d, %s", r.Class, r.Err, rootexec.ClassConfig, want)
	}
}

func TestPoolStartTakesTheDescriptorsOver(t *testing.T) {
	t.Parallel()
	n := open(t, nil)
	for _, c := range []rootexec.Child{
		{Identity: me()}, // born
		{Identity: me(), Paths: []rootexec.Path{{Above: "/none/such"}}}, // not born
		{Identity: rootexec.Identity{UID: -1}},                          // never given to a spawner
	} {
		r, control := n.start(c)
		if r.PID != 0 {
			control.Send([]byte("preempt"), -1)
			reap(r.PID)
		}
		buf := make([]byte, 64<<10)
		for { // until end of file, which a copy in this process would hold back
			if m, _, err := control.Recv(buf); err != nil || m == 0 {
				break
			}
		}
	}
}

func TestPoolCollectsGarbageOfBirthsThatFail(t *testing.T) {
	t.Parallel()
	n := open(t, func(p *rootexec.Program) { p.Spawners = 1 })
	for range 1000 { // several collections
		r, control := n.start(rootexec.Child{Identity: me(), Paths: []rootexec.Path{{Above: "/none/such"}}})
		control.Close()
		if r.Class != rootexec.ClassPath {
			t.Fatalf("class %d, %v; want %d", r.Class, r.Err, rootexec.ClassPath)
		}
	}
	r, control := n.start(rootexec.Child{Identity: me()})
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	control.Close()
	reap(r.PID)
}

func TestPoolRefusesRequestsThatAreNotSound(t *testing.T) {
	t.Parallel()
	n := open(t, nil)
	for _, tt := range []struct {
		name string
		c    rootexec.Child
	}{
		{"the uid that means no change", rootexec.Child{Identity: rootexec.Identity{UID: 1<<32 - 1}}},
		{"a negative gid", rootexec.Child{Identity: rootexec.Identity{GID: -1}}},
		{"too many groups", rootexec.Child{Identity: rootexec.Identity{Groups: make([]int, 300)}}},
		{"a path that is too long", rootexec.Child{Paths: []rootexec.Path{{Above: "/" + strings.Repeat("x", 5000)}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r, _ := n.start(tt.c); r.Class != rootexec.ClassConfig {
				t.Errorf("class %d, %v; want %d", r.Class, r.Err, rootexec.ClassConfig)
			}
		})
	}
}

func TestPoolDaemonHasSocketsAndItsOwnPathsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/f", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	ro, rw := filepath.Join(dir, "f"), filepath.Join(dir, "rw")
	if err := os.Mkdir(rw, 0o700); err != nil {
		t.Fatal(err)
	}
	n := open(t, func(p *rootexec.Program) {
		p.Filter, p.ReadOnly, p.ReadWrite = rootexec.FilterDaemon, []string{ro, dir + "/missing"}, []string{rw}
	})
	got := n.ask(rootexec.Child{Identity: me()}, "socket", "open "+ro, "write "+rw+"/new", "write "+ro, "open /etc/passwd", "ptrace", "newuser",
		"fork", "fork-parent", "threads", "setown 1", "tgkill-stop 1")
	for o, allowed := range map[string]bool{"socket": true, "open " + ro: true, "write " + rw + "/new": true, "write " + ro: false,
		"open /etc/passwd": false, "ptrace": false, "newuser": false, "fork": false, "fork-parent": false, "threads": true,
		"setown 1": false, "tgkill-stop 1": false} {
		if (got.Answers[o] == "") != allowed {
			t.Errorf("%s: %q, want allowed: %t", o, got.Answers[o], allowed)
		}
	}
}
