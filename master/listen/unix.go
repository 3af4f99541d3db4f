package listen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"culver/internal/settings"
)

// ErrInUse says that somebody answers on the socket already.
var ErrInUse = errors.New("a server already listens here")

// unix opens a unix_listener. The directory belongs to somebody who may rename
// and replace things in it while we look, so it is held open and everything is
// done through the descriptor: only a socket is ever unlinked, and owner and
// mode are set on the very socket that we bound. It is born with no permission
// for anybody and gets its mode last.
func (l *Listener) unix(s settings.Listener) (err error) {
	l.FD, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	dir, err := holdDir(s.Path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	// bind has no *at form; this one resolves to the held directory whatever its
	// name is now, and is short enough for sun_path.
	at := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + l.Name
	if err := removeStale(dir, l.Name, at); err != nil {
		return err
	}
	// The file is born with the mode of the socket: for nobody. A umask would do
	// the same to every other thread.
	if err := unix.Fchmod(l.FD, 0); err != nil {
		return err
	}
	if err := unix.Bind(l.FD, &unix.SockaddrUnix{Name: at}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	// Listen first: a client that may connect must not be refused.
	if err := unix.Listen(l.FD, backlog(s.Backlog)); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return l.own(dir, s, unix.S_IFSOCK)
}

func holdDir(path string) (int, error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("directory %s: %w", dir, err)
	}
	return fd, nil
}

// removeStale unlinks a socket that nobody answers on, and refuses everything
// else that has the name.
func removeStale(dir int, name, at string) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		return errors.New("something that is not a socket has this name")
	}
	probe, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(probe)
	switch err := unix.Connect(probe, &unix.SockaddrUnix{Name: at}); err {
	case nil, unix.EAGAIN: // EAGAIN: its backlog is full
		return ErrInUse
	case unix.ECONNREFUSED:
		return unix.Unlinkat(dir, name, 0)
	default:
		return fmt.Errorf("is it stale? connect: %w", err)
	}
}

// own gives the new file its owner and, last, its mode. It acts on what it holds
// open and not on the name, which may be another file by now.
func (l *Listener) own(dir int, s settings.Listener, kind uint32) error {
	fd, err := unix.Openat(dir, l.Name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &l.file); err != nil {
		return err
	}
	if l.file.Mode&unix.S_IFMT != kind || int(l.file.Uid) != os.Geteuid() || l.file.Mode&0777 != 0 {
		return errors.New("it was replaced while it was made")
	}
	if s.Owner.UID >= 0 || s.Owner.GID >= 0 {
		if err := unix.Fchownat(fd, "", s.Owner.UID, s.Owner.GID, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("owner %d group %d: %w", s.Owner.UID, s.Owner.GID, err)
		}
	}
	// Through /proc: fchmod refuses an O_PATH descriptor.
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), s.Mode); err != nil {
		return fmt.Errorf("mode %04o: %w", s.Mode, err)
	}
	return nil
}

// Adjust gives a listener that stays open across a reload another owner or
// mode.
func (l *Listener) Adjust(s settings.Listener) error {
	dir, err := holdDir(l.path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, l.Name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !l.same(fd) {
		return fmt.Errorf("%s is not the socket that we opened", l.path)
	}
	if err := unix.Fchownat(fd, "", s.Owner.UID, s.Owner.GID, unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), s.Mode)
}

func (l *Listener) same(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Dev == l.file.Dev && st.Ino == l.file.Ino
}

// Present tells whether the listener's name still leads to it. A socket that
// somebody unlinked is open and reached by nobody.
func (l *Listener) Present() bool {
	if l.path == "" {
		return true
	}
	var st unix.Stat_t
	return unix.Lstat(l.path, &st) == nil && st.Dev == l.file.Dev && st.Ino == l.file.Ino
}

// Remove takes away the name of a unix socket or FIFO, if it still is ours.
func (l *Listener) Remove() {
	if l.path == "" {
		return
	}
	dir, err := holdDir(l.path)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if unix.Fstatat(dir, l.Name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Dev == l.file.Dev && st.Ino == l.file.Ino {
		unix.Unlinkat(dir, l.Name, 0)
	}
}

// fifo opens a fifo_listener, for reading and writing so that it never comes to
// an end.
func (l *Listener) fifo(s settings.Listener) error {
	dir, err := holdDir(s.Path)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstatat(dir, l.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		if st.Mode&unix.S_IFMT != unix.S_IFIFO {
			return errors.New("something that is not a FIFO has this name")
		}
		if err := unix.Unlinkat(dir, l.Name, 0); err != nil {
			return err
		}
	}
	if err := unix.Mkfifoat(dir, l.Name, 0); err != nil {
		return fmt.Errorf("mkfifo: %w", err)
	}
	if err := l.own(dir, s, unix.S_IFIFO); err != nil {
		return err
	}
	l.FD, err = unix.Openat(dir, l.Name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if !l.same(l.FD) {
		return errors.New("it was replaced while it was opened")
	}
	return nil
}
