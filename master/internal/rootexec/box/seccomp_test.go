package box

import (
	"testing"

	"golang.org/x/sys/unix"
)

// run is the kernel's interpreter for the few instructions that we use: what
// the filter answers to a call.
func run(t *testing.T, code []unix.SockFilter, arch uint32, nr int, args ...uint64) uint32 {
	t.Helper()
	load := func(off uint32) uint32 {
		switch off {
		case offNr:
			return uint32(nr)
		case offArch:
			return arch
		}
		i, half := (off-16)/8, (off-16)%8
		if int(i) >= len(args) {
			return 0
		}
		return uint32(args[i] >> (8 * half))
	}
	var a, x uint32
	for pc := 0; pc < len(code); pc++ {
		in := code[pc]
		branch := func(yes bool) {
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch int(in.Code) {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = load(in.K)
		case unix.BPF_LD | unix.BPF_W | unix.BPF_IMM:
			a = in.K
		case unix.BPF_MISC | unix.BPF_TAX:
			x = a
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
		case unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K:
			a >>= in.K
		case unix.BPF_ALU | unix.BPF_RSH | unix.BPF_X:
			a >>= x
		case unix.BPF_ALU | unix.BPF_OR | unix.BPF_X:
			a |= x
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			branch(a == in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			branch(a >= in.K)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			branch(a&in.K != 0)
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		default:
			t.Fatalf("instruction %d: code %#x is none of ours", pc, in.Code)
		}
	}
	t.Fatal("the program ends without an answer")
	return 0
}

func TestFilterAllowsItsListAndNothingElse(t *testing.T) {
	t.Parallel()
	special := map[int]bool{unix.SYS_UTIMENSAT: true, unix.SYS_CLONE: true, unix.SYS_PRLIMIT64: true, unix.SYS_PRCTL: true, unix.SYS_CLONE3: true,
		unix.SYS_TGKILL: true, unix.SYS_SECCOMP: true}
	for name, list := range map[string]Calls{"worker": WorkerCalls(), "daemon": DaemonCalls()} {
		allowed := map[int]bool{}
		for _, n := range list {
			allowed[n] = true
		}
		code := list.Program()
		for nr := range tableSize + 64 {
			want := uint32(refuse)
			if allowed[nr] {
				want = unix.SECCOMP_RET_ALLOW
			}
			if got := run(t, code, auditArch, nr, 0, 0, 0, 0); got != want && !special[nr] {
				t.Errorf("%s: call %d: got %#x, want %#x", name, nr, got, want)
			}
		}
	}
}

func TestFilterLooksAtArguments(t *testing.T) {
	t.Parallel()
	code := WorkerCalls().Program()
	const ok = unix.SECCOMP_RET_ALLOW
	const missing = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for _, tt := range []struct {
		name string
		arch uint32
		nr   int
		args []uint64
		want uint32
	}{
		{"another machine's calls", auditArch + 1, unix.SYS_READ, nil, refuse},
		{"x32's calls", auditArch, unix.SYS_READ | 0x40000000, nil, refuse},
		{"utimensat with a descriptor", auditArch, unix.SYS_UTIMENSAT, []uint64{5, 0}, ok},
		{"utimensat with a path", auditArch, unix.SYS_UTIMENSAT, []uint64{5, 0xc000}, refuse},
		{"utimensat with a path whose low half is 0", auditArch, unix.SYS_UTIMENSAT, []uint64{5, 0xc000 << 32}, refuse},
		{"a thread", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, ok},
		{"the spawner's fork", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PARENT | 17}, ok},
		{"a fork", auditArch, unix.SYS_CLONE, []uint64{17}, refuse},
		{"a vfork of its own", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK | 17}, refuse},
		{"a thread in a network namespace", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_NEWNET}, refuse},
		{"the runtime's preemption", auditArch, unix.SYS_TGKILL, []uint64{5, 6, uint64(unix.SIGURG)}, ok},
		{"SIGKILL", auditArch, unix.SYS_TGKILL, []uint64{5, 6, uint64(unix.SIGKILL)}, refuse},
		{"SIGSTOP", auditArch, unix.SYS_TGKILL, []uint64{5, 6, uint64(unix.SIGSTOP)}, refuse},
		{"a signal in whose high half SIGURG is", auditArch, unix.SYS_TGKILL, []uint64{5, 6, uint64(unix.SIGURG)<<32 | uint64(unix.SIGKILL)}, refuse},
		{"a lock", auditArch, unix.SYS_FCNTL, []uint64{5, unix.F_SETLK}, ok},
		{"F_SETOWN", auditArch, unix.SYS_FCNTL, []uint64{5, unix.F_SETOWN}, refuse},
		{"F_SETOWN_EX", auditArch, unix.SYS_FCNTL, []uint64{5, unix.F_SETOWN_EX}, refuse},
		{"F_SETSIG", auditArch, unix.SYS_FCNTL, []uint64{5, fSetSig}, refuse},
		{"a further filter", auditArch, unix.SYS_SECCOMP, []uint64{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC}, ok},
		{"a filter that asks a supervisor", auditArch, unix.SYS_SECCOMP, []uint64{unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}, refuse},
		{"strict mode", auditArch, unix.SYS_SECCOMP, []uint64{unix.SECCOMP_SET_MODE_STRICT, 1}, refuse},
		{"a user namespace", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | 17}, refuse},
		{"a network namespace", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWNET | 17}, refuse},
		{"clone3, so that C libraries fall back", auditArch, unix.SYS_CLONE3, nil, missing},
		{"whether a process lives, for locks of the dead", auditArch, unix.SYS_GETPGID, []uint64{1}, ok},
		{"what the host is called, for locks", auditArch, unix.SYS_UNAME, nil, ok},
		{"its own limits", auditArch, unix.SYS_PRLIMIT64, []uint64{0}, ok},
		{"another's limits", auditArch, unix.SYS_PRLIMIT64, []uint64{1}, refuse},
		{"PR_SET_DUMPABLE", auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE}, ok},
		{"PR_SET_PTRACER", auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_PTRACER}, refuse},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := run(t, code, tt.arch, tt.nr, tt.args...); got != tt.want {
				t.Errorf("got %#x, want %#x", got, tt.want)
			}
		})
	}
}

func TestFilterLeavesOutWhatLandlockDoesNotSee(t *testing.T) {
	t.Parallel()
	list := map[int]bool{}
	for _, n := range DaemonCalls() {
		list[n] = true
	}
	for name, nr := range map[string]int{
		"fchmodat": unix.SYS_FCHMODAT, "fchmodat2": unix.SYS_FCHMODAT2, "fchownat": unix.SYS_FCHOWNAT, "setxattr": unix.SYS_SETXATTR,
		"lsetxattr": unix.SYS_LSETXATTR, "removexattr": unix.SYS_REMOVEXATTR, "truncate": unix.SYS_TRUNCATE, "ptrace": unix.SYS_PTRACE,
		"process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV, "kill": unix.SYS_KILL,
		"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "io_uring_setup": unix.SYS_IO_URING_SETUP, "bpf": unix.SYS_BPF,
		"keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY, "mount": unix.SYS_MOUNT, "unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS,
		"open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "userfaultfd": unix.SYS_USERFAULTFD, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
		"execveat": unix.SYS_EXECVEAT, "chroot": unix.SYS_CHROOT, "tkill": unix.SYS_TKILL, "ioctl": unix.SYS_IOCTL,
	} {
		if list[nr] {
			t.Errorf("%s is allowed", name)
		}
	}
}
