package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// damagedName is what a uid list is called after it was mended: a copy to look
// at, of which there is one.
const damagedName = listName + ".damaged"

// Resync reads a folder anew. A uid list with lines that nobody can read is
// mended: every message whose line is good keeps its UID. Where the first line is
// lost, and the UIDVALIDITY with it, the folder gets a new one.
func (s *Store) Resync(name string) error {
	m, err := s.Open(name)
	if errors.Is(err, ErrUIDList) {
		if err := s.mend(name); err != nil {
			return err
		}
		m, err = s.Open(name)
	}
	if err != nil {
		return err
	}
	m.Tidy()
	m.Close()
	return nil
}

func (s *Store) mend(name string) error {
	inside, err := s.withoutPrefix(name)
	if err != nil {
		return err
	}
	f, err := s.Folder(inside, Create{})
	if err != nil {
		return err
	}
	defer f.Close()
	at, err := s.controlOf(f, inside)
	if err != nil {
		return err
	}
	if at != f.dir {
		defer unix.Close(at)
	}
	lock, err := s.lockList(at)
	if err != nil {
		return err
	}
	defer lock.release()
	fd, _, err := regular(at, listName, unix.O_RDONLY)
	if err == unix.ENOENT {
		return nil // Open says what that means
	} else if err != nil {
		return classed("open", listName, err)
	}
	old := os.NewFile(uintptr(fd), listName)
	defer old.Close()
	head, lost, err := mendedHeader(old)
	if err != nil {
		return fmt.Errorf("%w: it cannot be mended: %w", ErrUIDList, err)
	}
	if lost {
		if head.validity, err = s.nextValidity(); err != nil {
			return err
		}
	}
	if err := s.writeMended(at, old, head, lost, lock); err != nil {
		return classedOnce("mend", listName, err)
	}
	more := ""
	if lost {
		more = "; its first line was lost, so the UIDVALIDITY is a new one"
	}
	s.warnf("%s: %s was mended, its old text is %s%s", name, listName, damagedName, more)
	return nil
}

// listLines goes through the lines of a list, up to one that is too long.
func listLines(f *os.File, line func(n int, text []byte) error) error {
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, maxListLine), maxListLine)
	for n := 0; lines.Scan(); n++ {
		if err := line(n, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != bufio.ErrTooLong {
		return err
	}
	return nil
}

// mendedHeader finds what the header shall be, and whether there is none. Lines
// that cannot be read may have had UIDs above all others: these are passed over,
// not given again.
func mendedHeader(f *os.File) (h listHeader, lost bool, err error) {
	last, bad := uint32(0), uint32(0)
	h.version, lost = 3, true
	err = listLines(f, func(n int, text []byte) error {
		if n == 0 {
			if head, err := parseListHeader(text); err == nil {
				h, lost = head, false
				return nil
			}
		}
		r, err := parseListRecord(text, h.version)
		if err != nil || r.uid <= last {
			bad++
			return nil
		}
		last = r.uid
		return nil
	})
	if uint64(last)+uint64(bad) >= maxUID {
		return h, lost, errors.New("no UIDs are left")
	}
	h.next = max(h.next, last+bad+1)
	return h, lost, err
}

func (s *Store) writeMended(at int, old *os.File, head listHeader, lost bool, lock *listLock) error {
	const aside = listName + ".tmp"
	unix.Unlinkat(at, aside, 0)
	fd, err := openAt(at, aside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = s.fillMended(fd, at, old, head, lost)
	if err == nil {
		err = lock.held()
	}
	if err == nil {
		unix.Unlinkat(at, damagedName, 0)
		if err = unix.Linkat(at, listName, at, damagedName, 0); err == nil {
			err = unix.Renameat(at, aside, at, listName)
		}
	}
	if err != nil {
		unix.Unlinkat(at, aside, 0)
		return err
	}
	return s.sync(at, listName)
}

func (s *Store) fillMended(fd, at int, old *os.File, head listHeader, lost bool) error {
	p, err := permOf(at)
	if err != nil {
		return err
	}
	if err := p.apply(fd, p.file, privateFile); err != nil {
		return err
	}
	w := lineWriter{fd: fd, buf: make([]byte, 0, 16<<10)}
	if head.guid == "" {
		if head.guid, err = newGUID128(); err != nil {
			return err
		}
	}
	if err := w.put(head.text(head.next)); err != nil {
		return err
	}
	last := uint32(0)
	err = listLines(old, func(n int, text []byte) error {
		r, err := parseListRecord(text, head.version)
		if n == 0 && !lost || err != nil || r.uid <= last {
			return nil
		}
		last = r.uid
		return w.put(appendRecord(nil, r.uid, string(r.fields), string(r.base)))
	})
	if err == nil {
		err = w.flush()
	}
	if err == nil && !s.c.NoSync {
		err = fsync(fd)
	}
	return err
}
