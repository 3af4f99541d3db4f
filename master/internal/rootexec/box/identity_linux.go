// Package box is what stands around a child before it exists: its user's eyes
// on the file system, the directories it may reach, the system calls it may make.
//
// Runs as:   ROOT, on one thread of a spawner that ends with the birth.
// Trusts:    the master's message, and directories that root alone can write.
// Distrusts: everything in a directory that a user can write.
// Speaks:    design 2.1 and 2.2; openat2, Landlock, seccomp.
package box

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Become gives the calling thread, and only it, the user's eyes: group list,
// fsgid and fsuid. The package syscall's forms would stop all threads and change
// them all, which would give other users' births these eyes.
func Become(uid, gid int, groups []int) error {
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); e != 0 {
		return fmt.Errorf("setgroups: %w", e)
	}
	unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	SetFSUID(uid)
	// Neither call reports an error; a second call answers what holds.
	g, _, _ := unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0)
	u, _, _ := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0)
	if int(g) != gid || int(u) != uid {
		return fmt.Errorf("fsuid and fsgid are %d and %d, want %d and %d", u, g, uid, gid)
	}
	return nil
}

// SetFSUID changes the calling thread's eyes; from and to 0, the kernel takes
// and gives back root's power over files.
func SetFSUID(uid int) { unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0) }
