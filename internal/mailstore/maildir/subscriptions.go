package maildir

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	subscriptionsHeader = "V\t2\n\n"
	maxSubscriptions    = 4 << 20 // bytes of the file

	lockTries = 50
	lockPause = 20 * time.Millisecond
	// lockStale is when Dovecot too takes a lock for abandoned.
	lockStale = 120 * time.Second
)

// subscribe adds a folder to the subscriptions. The lock file is the new
// content, and its rename both publishes and unlocks.
func (s *Store) subscribe(parts []string) error {
	at, err := s.controlDir()
	if err != nil {
		return err
	}
	defer s.closeControl(at)
	p, err := permOf(at)
	if err != nil {
		return err
	}
	lock := s.c.Subscriptions + ".lock"
	fd, err := s.lock(at, lock)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	text, err := s.withSubscription(at, parts)
	if err != nil || text == nil {
		unix.Unlinkat(at, lock, 0)
		return err
	}
	w := lineWriter{fd: fd, buf: text}
	if err = p.apply(fd, p.file, privateFile); err == nil {
		err = w.flush()
	}
	if err == nil && !s.c.NoSync {
		err = fsync(fd)
	}
	if err == nil {
		err = unix.Renameat(at, lock, at, s.c.Subscriptions)
	}
	if err != nil {
		unix.Unlinkat(at, lock, 0)
		return classed("write", s.c.Subscriptions, err)
	}
	return nil
}

// lock makes the dot lock, and takes over one that nobody has touched.
func (s *Store) lock(at int, name string) (int, error) {
	for range lockTries {
		fd, err := openAt(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
		if err != unix.EEXIST {
			return fd, classed("lock", name, err)
		}
		var st unix.Stat_t
		if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			s.c.Now().Sub(time.Unix(st.Mtim.Unix())) > lockStale {
			unix.Unlinkat(at, name, 0)
			continue
		}
		time.Sleep(lockPause)
	}
	return -1, fmt.Errorf("%s is held by another program", name)
}

// withSubscription gives the file with the folder added, in the new format;
// nil when it is there already.
func (s *Store) withSubscription(at int, parts []string) ([]byte, error) {
	old, err := readFile(at, s.c.Subscriptions)
	if err != nil {
		return nil, err
	}
	lines, isNew := splitSubscriptions(old)
	if !isNew {
		for i, l := range lines {
			lines[i] = s.upgradeSubscription(l)
		}
	}
	// Spelled as on disk, in modified UTF-7: so Dovecot 2.3.19 writes it, and
	// compares when the user unsubscribes (observed, against spec/maildir.md 12).
	line := join(s.encoded(parts), "\t")
	if slices.Contains(lines, line) {
		return nil, nil
	}
	lines = append(lines, line)
	return []byte(subscriptionsHeader + join(lines, "\n") + "\n"), nil
}

func splitSubscriptions(text string) (lines []string, isNew bool) {
	text, isNew = strings.CutPrefix(text, "V\t2\n")
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			lines = append(lines, l)
		}
	}
	return lines, isNew
}

// upgradeSubscription turns a line of the old format, a name as on disk, into
// one of the new.
func (s *Store) upgradeSubscription(line string) string {
	if s.c.FS {
		return strings.ReplaceAll(line, "/", "\t")
	}
	return strings.ReplaceAll(line, ".", "\t")
}

func readFile(at int, name string) (string, error) {
	fd, st, err := regular(at, name, unix.O_RDONLY)
	if err == unix.ENOENT {
		return "", nil
	}
	if err != nil {
		return "", classed("open", name, err)
	}
	defer unix.Close(fd)
	if st.Size > maxSubscriptions {
		return "", errors.New(name + " is too large")
	}
	buf := make([]byte, st.Size)
	for n := 0; n < len(buf); {
		m, err := unix.Pread(fd, buf[n:], int64(n))
		if err != nil {
			return "", classed("read", name, err)
		}
		if m == 0 {
			return "", io.ErrUnexpectedEOF
		}
		n += m
	}
	return string(buf), nil
}
