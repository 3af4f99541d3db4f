package maildir

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Message is what to save.
type Message struct {
	Head []byte      // header lines that stand before the message's own
	Body io.ReaderAt // the message, as it was received
	Size int64       // of Body
	// Wanted is asked last, before the message gets its name in new/: false where
	// nobody waits for the answer any more. nil is yes.
	Wanted func() bool
}

// errUnwanted says that the message was given up: whoever brought it will come
// again.
var errUnwanted = errors.New("nobody waits for the answer any more")

// Saved tells about a message that is in its mailbox.
type Saved struct {
	Name    string // the file's name in new/
	Size    int64  // of the file
	Virtual int64  // with CRLF line ends: what IMAP shows
}

// tries bounds the search for a name that is free. One is enough unless
// somebody makes our names in advance.
const tries = 8

// Save writes a message into the folder's new/. When it returns without error
// the message is durable, under a name that no other message had.
func (f *Folder) Save(m Message) (Saved, error) {
	u, err := f.s.usage(f)
	if err != nil {
		return Saved{}, err
	}
	defer u.close()
	if err := u.room(1); err != nil {
		return Saved{}, err // before a large message is written in vain
	}
	fd, base, err := f.create()
	if err != nil {
		return Saved{}, err
	}
	defer unix.Close(fd)
	saved, err := f.fill(fd, base, m, u)
	if err != nil {
		unix.Unlinkat(f.tmp, base, 0)
		return Saved{}, err
	}
	u.add(saved.Size, 1)
	return saved, nil
}

// create makes the file in tmp/. O_EXCL follows no link and takes nobody's file.
func (f *Folder) create() (fd int, base string, err error) {
	for range tries {
		base = f.s.uniqueName()
		fd, err = openAt(f.tmp, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
		if err != unix.EEXIST {
			break
		}
	}
	if err != nil {
		return -1, "", classed("create in tmp of", f.Name, err)
	}
	if err := f.perm.apply(fd, f.perm.file, privateFile); err != nil {
		// A message may stay in the process's own group (spec/maildir.md 20).
		f.s.warnf("%s: cannot give a message the group of its mailbox: %v", f.Name, err)
	}
	return fd, base, nil
}

func (f *Folder) fill(fd int, base string, m Message, u *usage) (Saved, error) {
	size, virtual, err := copyMessage(fd, m, f.s.c.CRLF)
	if err != nil {
		return Saved{}, classed("write to", f.Name, err)
	}
	if err := u.room(size); err != nil {
		return Saved{}, err
	}
	// The MTA forgets the message once we answer, so it must be on disk before
	// it gets a name in new/, and the name on disk before we return.
	if !f.s.c.NoSync {
		if err := fsync(fd); err != nil {
			return Saved{}, classed("fsync in", f.Name, err)
		}
	}
	if m.Wanted != nil && !m.Wanted() {
		return Saved{}, errUnwanted
	}
	name, err := f.publish(fd, base, size, virtual)
	if err != nil {
		return Saved{}, classed("name a message in", f.Name, err)
	}
	if err := f.s.sync(f.new, f.Name); err != nil {
		// Not acknowledged, so it will come again: do not leave a second one.
		unix.Unlinkat(f.new, name, 0)
		return Saved{}, err
	}
	return Saved{Name: name, Size: size, Virtual: virtual}, nil
}

// publish moves the file into new/ under a name that is free.
func (f *Folder) publish(fd int, base string, size, virtual int64) (name string, err error) {
	unique := base
	for range tries {
		name = sizedName(unique, size, virtual)
		err = moveNew(f.tmp, base, f.new, name)
		// NFS may answer a repeated request: it failed because it had succeeded.
		if (err == unix.EEXIST || err == unix.ENOENT) && sameFile(fd, f.new, name) {
			unix.Unlinkat(f.tmp, base, 0)
			return name, nil
		}
		if err != unix.EEXIST {
			return name, err
		}
		unique = f.s.uniqueName()
	}
	return name, err
}

// moveNew renames and never replaces: a plain rename would silently destroy a
// message of that name.
func moveNew(from int, name string, to int, final string) error {
	_, err := again(func() (struct{}, error) {
		return struct{}{}, unix.Renameat2(from, name, to, final, unix.RENAME_NOREPLACE)
	})
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system or the kernel does not know the flag.
	if err := unix.Linkat(from, name, to, final, 0); err != nil {
		return err
	}
	unix.Unlinkat(from, name, 0) // a second name in tmp/ harms nobody and is cleaned up later
	return nil
}

func sameFile(fd, at int, name string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Fstatat(at, name, &b, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		a.Dev == b.Dev && a.Ino == b.Ino
}

// warnf passes on what an administrator should know and no sender.
func (s *Store) warnf(format string, args ...any) { s.c.Warn(fmt.Sprintf(format, args...)) }
