package worker

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seal takes from this process what its birth needed and its work does not: to
// fork, to exec, to change identity. A process of its own would outlive the
// worker's end, be counted by no process_limit and hold its log pipe; an exec
// would let its user trace it again. It costs one system call for all threads
// (18 us in a worker of four threads), and adds to the filter that the spawner
// loaded, which checks the machine and refuses clone3, fork and vfork.
//
// Where there is no filter to be had (sandbox = off has no no_new_privs, a best
// effort has no seccomp) there is none here either: the spawner has decided
// whether that may be.
func seal() error {
	code := sealCode()
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	tid, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(&prog)
	switch {
	case e == unix.EACCES, e == unix.ENOSYS, e == unix.EINVAL:
		return nil
	case e != 0:
		return fmt.Errorf("seccomp: %w", e)
	case tid != 0:
		return fmt.Errorf("seccomp: thread %d does not take the filter", tid)
	}
	return nil
}

// sealed gives the calls that a worker makes no more.
func sealed() [12]uint32 {
	return [...]uint32{
		unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETGROUPS, unix.SYS_SETREUID, unix.SYS_SETREGID,
		unix.SYS_SETRESUID, unix.SYS_SETRESGID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SECCOMP,
	}
}

// sealCode is the filter: the calls of sealed are refused, and clone but for
// threads. Each call of the process walks it, or the kernel's memory of it.
func sealCode() []unix.SockFilter {
	const load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	calls := sealed()
	const n = uint8(len(calls))
	code := make([]unix.SockFilter, 0, n+6)
	add := func(op int, k uint32, yes, no uint8) {
		code = append(code, unix.SockFilter{Code: uint16(op), K: k, Jt: yes, Jf: no})
	}
	add(load, 0, 0, 0) // the call's number
	for i, nr := range calls {
		add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, nr, n-uint8(i)+3, 0) // to the refusal
	}
	add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, unix.SYS_CLONE, 0, 2)
	add(load, 16, 0, 0) // its flags: the first argument's low half
	add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, unix.CLONE_THREAD, 0, 1)
	add(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ALLOW, 0, 0)
	add(unix.BPF_RET|unix.BPF_K, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM), 0, 0)
	return code
}
