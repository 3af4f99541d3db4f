package box

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds the symlinks of one path, as the kernel does.
const maxLinks = 40

// maxTries bounds how often an interrupted opening is tried.
const maxTries = 64

// ErrLink says that a path goes through a symlink that somebody besides root
// could have put there.
var ErrLink = errors.New("a symbolic link in a directory that others than root can write")

// PathError names the path that could not be opened.
type PathError struct {
	Path string
	Err  error
}

func (e *PathError) Error() string { return "open " + e.Path + ": " + e.Err.Error() }
func (e *PathError) Unwrap() error { return e.Err }

// Opener opens directories for one user, on a thread that already has that
// user's fsuid, fsgid and groups: so every answer is the one the user would get
// (root-squashed exports, private directories, another user's home).
type Opener struct {
	UID, GID int
	Root     bool // the process is root's, so that a missing directory may be made as root
}

// Open gives an O_PATH descriptor of above/below. Above the mail, symlinks are
// followed only where root alone could have put them; below, none is, and
// nothing leads out. With make a missing last directory is made, 0700 and the
// user's, when its parent exists.
func (o Opener) Open(above, below string, make bool) (int, error) {
	full := path.Join(above, below)
	fd, err := o.open(above, below)
	if err != unix.ENOENT || !make {
		return fd, wrap(full, err)
	}
	if err := o.make(above, below); err != nil {
		return -1, &PathError{full, fmt.Errorf("missing, and cannot be made: %w", err)}
	}
	fd, err = o.open(above, below)
	return fd, wrap(full, err)
}

func wrap(full string, err error) error {
	if err == nil {
		return nil
	}
	return &PathError{full, err}
}

func (o Opener) open(above, below string) (int, error) {
	fd, err := openAbove(above)
	if err != nil || below == "" {
		return fd, err
	}
	defer unix.Close(fd)
	return openBelow(fd, below)
}

func openBelow(dir int, below string) (int, error) {
	return openat2(dir, below, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
}

// openAbove is one system call where no symlink is on the way.
func openAbove(above string) (int, error) {
	if !path.IsAbs(above) {
		return -1, unix.EINVAL
	}
	fd, err := openat2(unix.AT_FDCWD, above, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if err != unix.ELOOP {
		return fd, err
	}
	return walk(above)
}

// walk goes down one name at a time and reads each symlink itself, so that the
// directory that holds the link can be judged first. Once a directory that
// others can write was passed, no link is followed any more: what lies below it
// could have been moved there.
func walk(above string) (int, error) {
	dir, err := openRoot()
	if err != nil {
		return -1, err
	}
	trusted, links := true, 0
	rest := strings.Split(above, "/")
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next, err := openat2(dir, name, unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_NO_MAGICLINKS)
		if err != nil {
			unix.Close(dir)
			return -1, err
		}
		target, isLink, err := readLink(next)
		if err == nil && isLink {
			links++
			switch {
			case !trusted || !rootAlone(dir):
				err = ErrLink
			case links > maxLinks:
				err = unix.ELOOP
			}
		}
		if err != nil {
			unix.Close(next)
			unix.Close(dir)
			return -1, err
		}
		if !isLink {
			trusted = trusted && (rootAlone(dir) || sticky(dir, next))
			unix.Close(dir)
			dir = next
			continue
		}
		unix.Close(next)
		rest = append(strings.Split(target, "/"), rest...)
		if path.IsAbs(target) {
			unix.Close(dir)
			if dir, err = openRoot(); err != nil {
				return -1, err
			}
		}
	}
	return isDirectory(dir)
}

func isDirectory(fd int) (int, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func openRoot() (int, error) {
	return openat2(unix.AT_FDCWD, "/", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// rootAlone says whether only root can put a name into the directory. An ACL
// that gives more shows in the group bits, as its mask.
func rootAlone(dir int) bool {
	var st unix.Stat_t
	return unix.Fstat(dir, &st) == nil && st.Uid == 0 && st.Mode&0o022 == 0
}

// sticky says whether next, in a sticky directory of root's such as /tmp, is
// root's and so stays where it is.
func sticky(dir, next int) bool {
	var d, n unix.Stat_t
	return unix.Fstat(dir, &d) == nil && d.Uid == 0 && d.Mode&unix.S_ISVTX != 0 && unix.Fstat(next, &n) == nil && n.Uid == 0
}

func readLink(fd int) (target string, isLink bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false, nil
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err == nil && (n == 0 || n == len(buf)) {
		err = unix.ENAMETOOLONG
	}
	return string(buf[:max(n, 0)]), true, err
}

// make makes the last directory of above/below in its parent, as the user; and
// as root where root alone can write the parent, since there the name cannot be
// anybody's trap.
func (o Opener) make(above, below string) error {
	parent, name, err := o.parent(above, below)
	if err != nil {
		return fmt.Errorf("its parent: %w", err)
	}
	defer unix.Close(parent)
	err = unix.Mkdirat(parent, name, 0o700)
	if err == unix.EACCES && o.Root && rootAlone(parent) {
		err = o.makeAsRoot(parent, name)
	}
	switch err {
	case nil:
		return o.sync(parent)
	case unix.EEXIST: // another birth of this user was first
		return nil
	}
	return err
}

// sync writes a new directory's name to the disk: the first mail in it will be
// acknowledged, and must not vanish with its directory in a crash. The parent
// may be one that the user can pass but not read.
func (o Opener) sync(parent int) error {
	const how = unix.O_RDONLY | unix.O_DIRECTORY
	fd, err := openat2(parent, ".", how, unix.RESOLVE_BENEATH)
	if err == unix.EACCES && o.Root {
		SetFSUID(0)
		fd, err = openat2(parent, ".", how, unix.RESOLVE_BENEATH)
		SetFSUID(o.UID)
	}
	if err == unix.EACCES {
		return nil // not ours to read, as an ordinary user: nobody here can do it
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

func (o Opener) parent(above, below string) (fd int, name string, err error) {
	if below == "" {
		clean := path.Clean(above)
		fd, err = openAbove(path.Dir(clean))
		return fd, path.Base(clean), err
	}
	dir := path.Dir(path.Clean(below))
	if dir == "." {
		dir = ""
	}
	fd, err = o.open(above, dir)
	return fd, path.Base(below), err
}

func (o Opener) makeAsRoot(parent int, name string) error {
	SetFSUID(0)
	defer SetFSUID(o.UID)
	if err := unix.Mkdirat(parent, name, 0o700); err != nil {
		return err
	}
	dir, err := openat2(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return unix.Fchown(dir, o.UID, o.GID)
}

// Exists says whether the absolute path is there, by the rules of Open.
func Exists(full string) error {
	dir, err := openAbove(path.Dir(full))
	if err != nil {
		return wrap(full, err)
	}
	defer unix.Close(dir)
	fd, err := openat2(dir, path.Base(full), unix.O_PATH|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH)
	if err != nil {
		return wrap(full, err)
	}
	unix.Close(fd)
	return nil
}

func openat2(dir int, name string, flags, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(dir, name, &how)
		// EAGAIN: a rename raced with RESOLVE_BENEATH and the kernel asks to try
		// again; not for ever, since the user may rename in a loop.
		if err != unix.EINTR && err != unix.EAGAIN || try > maxTries {
			return fd, err
		}
	}
}
