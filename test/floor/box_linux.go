package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// birth starts one worker in its box. The box is put around a thread that forks
// and then ends; the spawner's other threads never wear it.
func birth(uid int, dir, worker, number string, fd int) (pid int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err = box(uid, dir, worker); err != nil {
			return
		}
		attr := &syscall.ProcAttr{
			Files: []uintptr{0, 1, 2, uintptr(fd)},
			Env:   []string{"GOMAXPROCS=1"},
			Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT}, // the master reaps
		}
		if uid != 0 {
			attr.Sys.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), Groups: []uint32{}}
		}
		pid, err = syscall.ForkExec(worker, []string{"worker", dir, number}, attr)
	}()
	<-done
	return pid, err
}

// Landlock rights of ABI 2: enough for every kernel the product runs on.
const (
	rightsAll  = 1<<14 - 1
	rightsExec = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
)

// box opens the user's folder as that user and leaves this thread nothing else.
func box(uid int, dir, worker string) error {
	bin, err := unix.Open(worker, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer unix.Close(bin)
	if uid != 0 {
		// Raw calls: package syscall's would change all threads.
		unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		unix.RawSyscall(unix.SYS_SETFSGID, uintptr(uid), 0, 0)
		unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	}
	mail, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return fmt.Errorf("mail folder: %w", err)
	}
	defer unix.Close(mail)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: rightsAll}
	// Only the first 8 bytes: what an ABI 2 kernel knows of the struct.
	rs, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), 8, 0)
	if e != 0 {
		return fmt.Errorf("landlock: %w", e)
	}
	defer unix.Close(int(rs))
	for _, r := range []unix.LandlockPathBeneathAttr{
		{Allowed_access: rightsExec, Parent_fd: int32(bin)},
		{Allowed_access: rightsAll &^ unix.LANDLOCK_ACCESS_FS_EXECUTE, Parent_fd: int32(mail)},
	} {
		if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rs, unix.LANDLOCK_RULE_PATH_BENEATH,
			uintptr(unsafe.Pointer(&r)), 0, 0, 0); e != 0 {
			return fmt.Errorf("landlock rule: %w", e)
		}
	}
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rs, 0, 0); e != 0 {
		return fmt.Errorf("landlock restrict: %w", e)
	}
	return nil
}

// archPrctl is how Go sets a thread's TLS on amd64; getgroups on arm64, harmless.
const archPrctl = 158

// allowed are the system calls of a spawner and its workers; the product's two
// filters are tighter, and cost the same per call.
var allowed = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_MMAP, unix.SYS_MPROTECT,
	unix.SYS_MUNMAP, unix.SYS_BRK, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_MADVISE, unix.SYS_SCHED_YIELD, unix.SYS_NANOSLEEP, unix.SYS_GETPID,
	unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_CLONE, unix.SYS_EXECVE,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_FCNTL, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE,
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
	unix.SYS_LINKAT, unix.SYS_SIGALTSTACK, unix.SYS_GETTID, unix.SYS_FUTEX, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_SET_TID_ADDRESS, unix.SYS_GETDENTS64, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
	unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_PRCTL, unix.SYS_TGKILL, unix.SYS_GETRANDOM, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_RSEQ, unix.SYS_PRLIMIT64, unix.SYS_READLINKAT, unix.SYS_UNAME, unix.SYS_CLOCK_GETTIME, unix.SYS_WAITID,
	unix.SYS_SETGROUPS, unix.SYS_SETGID, unix.SYS_SETUID, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_DUP3,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_LANDLOCK_CREATE_RULESET,
	archPrctl, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_GETPPID,
}

// loadFilter puts the filter on all threads. It is a bitmap, not a row of
// comparisons: that costs a fifth to load (spec/platform.md 4.1).
func loadFilter() error {
	prog := filter()
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const setModeFilter, flagTSYNC = 1, 1
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, setModeFilter, flagTSYNC, uintptr(unsafe.Pointer(&fprog))); e != 0 {
		return e
	}
	return nil
}

// filter is: word of the bitmap by nr/32, bit of the word by nr%32.
func filter() []unix.SockFilter {
	var words [15]uint32 // numbers up to 479
	for _, nr := range allowed {
		words[nr/32] |= 1 << (nr % 32)
	}
	const ldAbs, ldImm, and, rsh, rshX, tax = 0x20, 0x00, 0x54, 0x74, 0x7c, 0x07
	const jeq, ja, ret, allow, refuse = 0x15, 0x05, 0x06, 0x7fff0000, 0x00050000 | uint32(unix.EPERM)
	p := []unix.SockFilter{
		{Code: ldAbs, K: 0}, {Code: and, K: 31}, {Code: tax},
		{Code: ldAbs, K: 0}, {Code: rsh, K: 5},
	}
	test := len(p) + 3*len(words) + 1
	for i, w := range words {
		p = append(p, unix.SockFilter{Code: jeq, Jf: 2, K: uint32(i)}, unix.SockFilter{Code: ldImm, K: w})
		p = append(p, unix.SockFilter{Code: ja, K: uint32(test - len(p) - 1)})
	}
	return append(p,
		unix.SockFilter{Code: ret, K: refuse},
		unix.SockFilter{Code: rshX}, unix.SockFilter{Code: and, K: 1},
		unix.SockFilter{Code: jeq, Jf: 1, K: 1},
		unix.SockFilter{Code: ret, K: allow}, unix.SockFilter{Code: ret, K: refuse})
}
