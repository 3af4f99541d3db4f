package maildir

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const sizeFileName = "maildirsize"

// trustedAge is how long a maildirsize of one line is believed when it says
// that the user is over quota.
const trustedAge = 15 * time.Minute

// usage is the quota as one save sees it. Its zero value has no limits.
type usage struct {
	s      *Store
	folder string
	fd     int // maildirsize, open for appending; -1 when there is none to append to
	file   sizeFile
	age    time.Duration
	active bool
}

// usage reads maildirsize, or counts the mail where that cannot be used. A
// mailbox that counts for nothing, or a user without any limit, has no usage.
func (s *Store) usage(f *Folder) (*usage, error) {
	u := &usage{s: s, folder: f.Name, fd: -1}
	q := s.c.Quota
	if q == nil || q.ignored(f.Name) {
		return u, nil
	}
	at, err := s.controlDir()
	if err != nil {
		return nil, err
	}
	defer s.closeControl(at)
	own, configured := q.own()
	good, err := u.load(at)
	if err != nil {
		if err != unix.ENOENT {
			s.warnf("%s: %v", sizeFileName, err)
		}
		configured = configured && own != limits{} || configured && err != unix.ENOENT
	}
	switch {
	case err != nil && !configured, !good && !configured && u.file.limits == limits{}:
		u.close()
		return u, nil
	case configured && u.file.limits != own:
		u.file.limits, good = own, false
	}
	u.active = true
	if !good {
		err = u.recount(at)
	} else {
		err = nil
	}
	if err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

// load reads the file. good is false for one that must be made anew; its limits
// are taken over where they can be read.
func (u *usage) load(at int) (good bool, err error) {
	fd, st, err := regular(at, sizeFileName, unix.O_RDWR|unix.O_APPEND)
	if err != nil {
		return false, err
	}
	u.fd = fd
	u.age = u.s.c.Now().Sub(time.Unix(st.Mtim.Unix()))
	buf := make([]byte, maxSizeFile)
	n, err := again(func() (int, error) { return unix.Pread(fd, buf, 0) })
	if err != nil {
		return false, err
	}
	f, err := parseSizeFile(buf[:n])
	u.file = f
	return err == nil, nil
}

// room decides whether a message of size bytes may come in. What the file says
// is not the last word against a user: counting may find that mail has gone.
func (u *usage) room(size int64) error { return u.roomFor(size, 1) }

// roomFor decides about several messages at once.
func (u *usage) roomFor(bytes, messages int64) error {
	if u.fits(bytes, messages) {
		return nil
	}
	if u.file.lines > 1 || u.age > trustedAge {
		at, err := u.s.controlDir()
		if err != nil {
			return err
		}
		defer u.s.closeControl(at)
		if err := u.recount(at); err != nil {
			return err
		}
		if u.fits(bytes, messages) {
			return nil
		}
	}
	return ErrQuota
}

func (u *usage) fits(bytes, messages int64) bool {
	if !u.active {
		return true
	}
	q, have := u.s.c.Quota, u.file.counts
	have.messages += messages - 1
	return !q.exceeded(q.forMailbox(u.folder, u.file.limits), have, bytes)
}

// add records a message that is saved: one line, one write, so that lines of
// others stay whole. A failure costs a later recount, not the message.
func (u *usage) add(bytes, messages int64) {
	if u.fd < 0 {
		return
	}
	line := appendSizeLine(nil, counts{bytes, messages})
	if n, err := unix.Write(u.fd, line); err != nil || n != len(line) {
		u.s.warnf("%s: %v", sizeFileName, err)
	}
}

func (u *usage) close() {
	if u.fd >= 0 {
		unix.Close(u.fd)
		u.fd = -1
	}
}

// recount counts all mail and writes a new file. When the mail changed
// meanwhile, the sum is used once and not kept: the file is removed, and the
// next save counts again.
func (u *usage) recount(at int) error {
	have, quiet, err := u.s.count()
	if err != nil {
		return fmt.Errorf("count mail for %s: %w", sizeFileName, err)
	}
	u.close()
	u.file.counts, u.file.lines, u.age = have, 1, 0
	if !quiet {
		unix.Unlinkat(at, sizeFileName, 0)
		return nil
	}
	if u.fd, err = u.s.replace(at, sizeFileName, u.file.text()); err != nil {
		u.fd = -1
		u.s.warnf("%s: %v", sizeFileName, err)
	}
	return nil
}

// replace writes a file aside and renames it into place; it returns the
// descriptor, open for appending.
func (s *Store) replace(at int, name string, text []byte) (int, error) {
	p, err := permOf(at)
	if err != nil {
		return -1, err
	}
	aside := name + "." + s.uniqueName()
	fd, err := openAt(at, aside, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return -1, classed("create", aside, err)
	}
	if err = p.apply(fd, p.file, privateFile); err == nil {
		var n int
		if n, err = unix.Write(fd, text); err == nil && n != len(text) {
			err = unix.ENOSPC
		}
	}
	if err == nil {
		err = unix.Renameat(at, aside, at, name)
	}
	if err != nil {
		unix.Unlinkat(at, aside, 0)
		unix.Close(fd)
		return -1, classed("write", name, err)
	}
	return fd, nil
}

// controlDir opens the directory of maildirsize and subscriptions.
func (s *Store) controlDir() (int, error) {
	if s.c.Control == s.c.Root {
		return s.rootDir()
	}
	return s.topDir(s.c.Control, true)
}

func (s *Store) closeControl(fd int) {
	if fd != s.root {
		unix.Close(fd)
	}
}

// Room tells whether a message of size bytes would find room in the folder
// now; 0 for a size that is not known.
func (f *Folder) Room(size int64) error {
	u, err := f.s.usage(f)
	if err != nil {
		return err
	}
	defer u.close()
	return u.room(max(size, 1))
}

// Expunged messages share a line of maildirsize, up to so many of them. Of a
// process that is killed these stay counted, until somebody counts all mail: at
// the latest when they would be in the way of a message.
const (
	maxUncounted      = 100
	maxUncountedBytes = 16 << 20
)

// uncount remembers that a message is gone.
func (m *Mailbox) uncount(size int64) {
	m.uncounted.bytes -= size
	m.uncounted.messages--
	if m.uncounted.messages <= -maxUncounted || m.uncounted.bytes <= -maxUncountedBytes {
		m.writeUncounted()
	}
}

// writeUncounted records what is gone in maildirsize, if there is one that
// counts this folder. Like add, a failure costs a recount.
func (m *Mailbox) writeUncounted() {
	c := m.uncounted
	m.uncounted = counts{}
	q := m.s.c.Quota
	if c.messages == 0 || q == nil || q.ignored(m.Folder.Name) {
		return
	}
	at, err := m.s.controlDir()
	if err != nil {
		return
	}
	defer m.s.closeControl(at)
	fd, _, err := regular(at, sizeFileName, unix.O_WRONLY|unix.O_APPEND)
	if err != nil {
		return
	}
	u := usage{s: m.s, fd: fd}
	u.add(c.bytes, c.messages)
	u.close()
}
