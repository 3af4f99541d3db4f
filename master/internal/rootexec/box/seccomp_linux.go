package box

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls is an allow list of system calls.
type Calls []int

// tableSize bounds the numbers a filter knows; every one above is refused, so
// that a newer kernel's new way to do an old thing is refused from its first day
// (a list of what is forbidden let setxattrat and file_setattr through).
const tableSize = 512

// Program codes the list as a bitmap of 32-bit words: a few dozen instructions in place
// of one comparison for each call, which took five times as long to load and is
// walked at every system call.
func (c Calls) Program() []unix.SockFilter {
	var words [tableSize / 32]uint32
	for _, n := range c {
		words[n/32] |= 1 << (n % 32)
	}
	var p program
	p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArch)
	p.jump(unix.BPF_JEQ, auditArch, 1, 0)
	p.ret(refuse)
	p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offNr)
	p.jump(unix.BPF_JGE, tableSize, 0, 1) // x32's numbers as well
	p.ret(refuse)
	// clone3 hides its flags in memory. C libraries fall back to clone only
	// when told that there is no such call.
	p.jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1)
	p.ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	p.stmt(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 31)
	p.stmt(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offNr)
	p.stmt(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 5)
	for i, w := range words {
		p.jump(unix.BPF_JEQ, uint32(i), 0, 2)
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_IMM, w)
		p.stmt(unix.BPF_JMP|unix.BPF_JA, uint32((len(words)-1-i)*3)) // to the test
	}
	p.stmt(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_X, 0)
	p.jump(unix.BPF_JSET, 1, 1, 0)
	p.ret(refuse)
	p.arguments()
	p.ret(unix.SECCOMP_RET_ALLOW)
	return p
}

// arguments refuses forms of allowed calls.
func (p *program) arguments() {
	p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offNr)
	// utimensat with a path changes a file that Landlock would not let us open.
	p.when(unix.SYS_UTIMENSAT, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(1))
		p.stmt(unix.BPF_MISC|unix.BPF_TAX, 0)
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(1)+4)
		p.stmt(unix.BPF_ALU|unix.BPF_OR|unix.BPF_X, 0)
		p.jump(unix.BPF_JEQ, 0, 1, 0)
		p.ret(refuse)
	})
	// Threads, and the one fork that spawners make. A worker's own process would
	// outlive it, uncounted by process_limit; package worker takes the fork away
	// too. A namespace of its own would give it capabilities inside.
	p.when(unix.SYS_CLONE, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(0))
		p.jump(unix.BPF_JEQ, spawnerFork, 3, 0)
		p.jump(unix.BPF_JSET, newNamespaces, 1, 0)
		p.jump(unix.BPF_JSET, unix.CLONE_THREAD, 1, 0)
		p.ret(refuse)
	})
	// The runtime preempts its threads with SIGURG, which does nothing to a process
	// that does not ask for it. With any other signal a worker could end or stop
	// whatever runs under its uid (below Landlock ABI 6 the box does not see it).
	// A runtime that raises one against itself, and is refused, exits instead.
	p.when(unix.SYS_TGKILL, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(2))
		p.jump(unix.BPF_JEQ, uint32(unix.SIGURG), 1, 0)
		p.ret(refuse)
	})
	// The owner of a descriptor is sent SIGIO, or any signal of our choice, when
	// it becomes readable: kill by another name.
	p.when(unix.SYS_FCNTL, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(1))
		p.jump(unix.BPF_JEQ, unix.F_SETOWN, 2, 0)
		p.jump(unix.BPF_JEQ, unix.F_SETOWN_EX, 1, 0)
		p.jump(unix.BPF_JEQ, fSetSig, 0, 1)
		p.ret(refuse)
	})
	// Package worker's filter, in exactly its form; that one lets no further
	// one be loaded.
	p.when(unix.SYS_SECCOMP, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(0))
		p.jump(unix.BPF_JEQ, unix.SECCOMP_SET_MODE_FILTER, 0, 2)
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(1))
		p.jump(unix.BPF_JEQ, unix.SECCOMP_FILTER_FLAG_TSYNC, 1, 0)
		p.ret(refuse)
	})
	// Another process of the same uid may be another user's worker.
	p.when(unix.SYS_PRLIMIT64, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(0))
		p.jump(unix.BPF_JEQ, 0, 1, 0)
		p.ret(refuse)
	})
	p.when(unix.SYS_PRCTL, func(p *program) {
		p.stmt(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offArg(0))
		p.jump(unix.BPF_JEQ, unix.PR_SET_DUMPABLE, 4, 0)
		p.jump(unix.BPF_JEQ, unix.PR_SET_NO_NEW_PRIVS, 3, 0)
		p.jump(unix.BPF_JEQ, unix.PR_SET_NAME, 2, 0)
		p.jump(unix.BPF_JEQ, unix.PR_SET_VMA, 1, 0) // the runtime names its memory
		p.ret(refuse)
	})
}

// spawnerFork is the clone of syscall.ForkExec with package spawn's attributes.
const spawnerFork = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PARENT | uint32(unix.SIGCHLD)

const fSetSig = 10 // F_SETSIG, which package unix does not have

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

const (
	offNr   = 0
	offArch = 4
	// refuse is an error and never a kill: a runtime that tries a call it can
	// do without goes on.
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)

// offArg is where the low half of an argument lies; both our machines are
// little-endian.
func offArg(n uint32) uint32 { return 16 + 8*n }

type program []unix.SockFilter

func (p *program) stmt(code int, k uint32) {
	*p = append(*p, unix.SockFilter{Code: uint16(code), K: k})
}

func (p *program) jump(op int, k uint32, yes, no uint8) {
	*p = append(*p, unix.SockFilter{Code: uint16(unix.BPF_JMP | op | unix.BPF_K), Jt: yes, Jf: no, K: k})
}

func (p *program) ret(k uint32) { p.stmt(unix.BPF_RET|unix.BPF_K, k) }

// when adds a check for one call, with its number in the accumulator before
// and after; the check falls through to allow.
func (p *program) when(nr int, check func(*program)) {
	var body program
	check(&body)
	body.ret(unix.SECCOMP_RET_ALLOW)
	p.jump(unix.BPF_JEQ, uint32(nr), 0, uint8(len(body)))
	*p = append(*p, body...)
}

// Load puts the filter on every thread of this process and sets no_new_privs,
// for good. Both are inherited by all that is forked: loaded once in a spawner,
// it costs its children nothing.
func (c Calls) Load() error {
	if err := NoNewPrivileges(); err != nil {
		return err
	}
	code := c.Program()
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	tid, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	if tid != 0 {
		return fmt.Errorf("seccomp: thread %d does not take the filter", tid)
	}
	return nil
}

// NoNewPrivileges lets neither the calling thread nor what it forks gain
// privilege by exec; Landlock and seccomp ask for it.
func NoNewPrivileges() error {
	if _, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("PR_SET_NO_NEW_PRIVS: %w", e)
	}
	return nil
}
