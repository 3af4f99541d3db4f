package box

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LeastABI is the least Landlock that keeps users apart: without ABI 2 no file
// can be renamed between directories, which every Maildir needs.
const LeastABI = 2

// ABI gives the kernel's Landlock version, 0 when it has none. It asks the
// kernel itself: a library that falls back by itself fails open where a system
// call filter above us answers EPERM (spec/platform.md 4).
func ABI() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

const (
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	readRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// A mailbox holds files and directories. No device, socket, FIFO or symlink
	// is ever made in one by us, and nothing in one is ever executed.
	mailRights = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_REFER
	execRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
)

// handled gives the rights that a box takes away unless a rule gives them back:
// all that the ABI knows.
func handled(abi int, daemon bool) unix.LandlockRulesetAttr {
	var a unix.LandlockRulesetAttr
	a.Handled_access_fs = 1<<13 - 1 // ABI 1: EXECUTE to MAKE_SYM
	if abi >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	if daemon {
		return a // daemons connect to sockets: their filter and their uid bound that
	}
	if abi >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 9 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	}
	return a
}

// attrSize is what the ABI knows of the attribute: a kernel refuses more.
func attrSize(abi int) uintptr {
	switch {
	case abi < 4:
		return 8
	case abi < 6:
		return 16
	}
	return 24
}

// Rules is a Landlock ruleset in the making.
type Rules struct {
	fd      int
	handled uint64
}

// NewRules begins a ruleset that allows nothing.
func NewRules(abi int, daemon bool) (*Rules, error) {
	a := handled(abi, daemon)
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&a)), attrSize(abi), 0)
	if e != 0 {
		return nil, fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	return &Rules{int(fd), a.Handled_access_fs}, nil
}

// Mail allows a mailbox's work below the directory.
func (r *Rules) Mail(dir int) error { return r.add(dir, mailRights) }

// Program allows the file to be executed.
func (r *Rules) Program(file int) error { return r.add(file, execRights) }

// Access is what a service may do with a path of its own.
type Access byte

const (
	Read    Access = iota
	Write          // everything but execution and devices
	Execute        // and read
)

// Fixed gives access to what lies below a path of any kind.
func (r *Rules) Fixed(fd int, access Access) error {
	rights := uint64(readRights)
	switch access {
	case Execute:
		rights |= unix.LANDLOCK_ACCESS_FS_EXECUTE
	case Write:
		rights = r.handled &^ (unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR |
			unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("fstat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	return r.add(fd, rights)
}

func (r *Rules) add(fd int, rights uint64) error {
	a := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.handled, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&a)), 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("landlock_add_rule: %w", e)
	}
	return nil
}

// Enforce shuts the calling thread, and what it forks, in the ruleset for
// good. The thread has no_new_privs and is locked to its goroutine for ever.
func (r *Rules) Enforce() error {
	// Raw and on this thread only: the other threads serve other users.
	if _, _, e := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); e != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", e)
	}
	return nil
}

// Close forgets the ruleset; a thread that enforced it stays shut in.
func (r *Rules) Close() { unix.Close(r.fd) }
