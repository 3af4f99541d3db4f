package rootexec_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec"
	"culver/master/internal/rootexec/box"
)

// playPoor lives under a filter without Landlock, as some containers give, and
// says what becomes of each kind of sandbox.
func playPoor() int {
	var all box.Calls
	for nr := range 512 {
		if nr != unix.SYS_LANDLOCK_CREATE_RULESET && nr != unix.SYS_CLONE3 {
			all = append(all, nr)
		}
	}
	if err := all.Load(); err != nil {
		fmt.Println(err)
		return 1
	}
	for _, s := range []rootexec.Sandbox{rootexec.SandboxRequired, rootexec.SandboxBestEffort, rootexec.SandboxOff} {
		settings, err := unix.MemfdCreate("settings", unix.MFD_CLOEXEC)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		p, err := rootexec.Open(rootexec.Program{Service: "test", Path: "/proc/self/exe", Settings: settings, Spawner: "/proc/self/exe",
			SpawnerArgs: []string{"play-spawner"}, SpawnerLog: 2, Spawners: 1, Sandbox: s, Keep: true,
			Logf: func(format string, args ...any) { fmt.Printf("log: "+format+"\n", args...) }})
		fmt.Println(s, "opened:", err)
		if err == nil {
			p.Close()
		}
	}
	return 0
}

func TestPoolSandboxThatCannotBeHad(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(thisProgram(t))
	cmd.Args = []string{"play-poor"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"0 opened: service test: sandbox = required: the kernel has Landlock ABI 0, want 2 or more\n",
		"log: service test: sandbox = best-effort: the kernel has Landlock ABI 0, want 2 or more\n",
		"1 opened: <nil>\n",
		"2 opened: <nil>\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got\n%s\nwant %q in it", out, want)
		}
	}
}
