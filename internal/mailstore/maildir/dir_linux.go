package maildir

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The calls that may be interrupted by the Go runtime's own signals, on file
// systems that let them.
func again[T any](call func() (T, error)) (T, error) {
	for {
		v, err := call()
		if err != unix.EINTR {
			return v, err
		}
	}
}

func openAt(at int, name string, flags int, mode uint32) (int, error) {
	return again(func() (int, error) {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		if err != nil {
			fd = -1
		}
		return fd, err
	})
}

// openDir opens a directory and nothing else: O_DIRECTORY also keeps a FIFO
// from stopping us in open.
func openDir(at int, name string) (int, error) {
	return openAt(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

func fsync(fd int) error {
	_, err := again(func() (struct{}, error) { return struct{}{}, unix.Fsync(fd) })
	return err
}

// What everything is made with, whatever the umask.
const (
	privateFile = 0o600
	privateDir  = 0o700
)

// perm is what new files and directories get (spec/maildir.md 20).
type perm struct {
	file, dir uint32
	gid       int // -1: as it comes
}

// permOf takes the permissions from a directory, or from the file
// dovecot-shared in it.
func permOf(fd int) (perm, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return perm{}, err
	}
	setgid := st.Mode&unix.S_ISGID != 0
	var shared unix.Stat_t
	if unix.Fstatat(fd, "dovecot-shared", &shared, unix.AT_SYMLINK_NOFOLLOW) == nil && shared.Mode&unix.S_IFMT == unix.S_IFREG {
		// The file's mode has no x; whoever may read may enter.
		m := shared.Mode & 0o666
		st.Mode, st.Gid, setgid = m|m>>2&0o111, shared.Gid, setgid && shared.Gid == st.Gid
	}
	p := perm{file: st.Mode&0o666 | 0o600, dir: st.Mode&0o777 | 0o700, gid: -1}
	if setgid {
		p.dir |= unix.S_ISGID // the kernel hands it down, and fchmod must not take it away
	}
	groupMatters := st.Mode>>3&7 != st.Mode&7
	if groupMatters && !setgid && int(st.Gid) != unix.Getegid() {
		p.gid = int(st.Gid)
	}
	return p, nil
}

// apply sets group and mode of something that was just made private: whoever
// is not of the right group never had a look at it, and where the group cannot
// be given it stays so. The usual private mailbox costs no call.
func (p perm) apply(fd int, mode, private uint32) error {
	if p.gid >= 0 {
		if err := unix.Fchown(fd, -1, p.gid); err != nil {
			return err
		}
	}
	if mode == private {
		return nil
	}
	return unix.Fchmod(fd, mode)
}

// makeDir makes and opens one directory, durably. One that is there already is
// only opened. One that cannot get its group is taken away again: in the wrong
// group it would stand open to the wrong people, or shut to the right ones.
func (s *Store) makeDir(at int, name string, p perm) (int, error) {
	err := unix.Mkdirat(at, name, privateDir)
	made := err == nil
	if err != nil && err != unix.EEXIST {
		return -1, classed("mkdir", name, err)
	}
	fd, err := openDir(at, name)
	if err != nil {
		return -1, classed("open", name, err)
	}
	if !made {
		return fd, nil
	}
	if err := p.apply(fd, p.dir, privateDir); err != nil {
		unix.Close(fd)
		unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		return -1, classed("set group of", name, err)
	}
	// The first mail in a new folder is acknowledged: the folder's own name must
	// be on disk too.
	if err := s.sync(at, name); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sync makes a directory's entries durable, unless mail_fsync is never.
func (s *Store) sync(fd int, name string) error {
	if s.c.NoSync {
		return nil
	}
	if err := fsync(fd); err != nil {
		return fmt.Errorf("fsync directory of %s: %w", name, err)
	}
	return nil
}

// regular opens a file for reading and appending, and refuses what is not a
// plain file of one name: a FIFO would block us, and a second name may be
// another mailbox's file.
func regular(at int, name string, flags int) (int, unix.Stat_t, error) {
	var st unix.Stat_t
	fd, err := openAt(at, name, flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1) {
		err = unix.ELOOP
	}
	if err != nil {
		unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}
