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
	if err := withoutLandlock(); err != nil {
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

func withoutLandlock() error {
	if err := box.NoNewPrivileges(); err != nil {
		return err
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LANDLOCK_CREATE_RULESET, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(pointer(&prog)))
	return errno(e)
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
