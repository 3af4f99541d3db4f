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
	// abandonedLock is when Dovecot too takes such a lock for nobody's.
	abandonedLock = 120 * time.Second
)

// Subscribe adds a folder, which need not exist, to the subscriptions.
func (s *Store) Subscribe(name string) error {
	parts, err := s.place(name)
	if err != nil {
		return err
	}
	return s.subscribe(parts)
}

// Unsubscribe takes a folder out of the subscriptions.
func (s *Store) Unsubscribe(name string) error {
	parts, err := s.place(name)
	if err != nil {
		return err
	}
	line := s.subscription(parts)
	return s.editSubscriptions(func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return l == line })
	})
}

// subscribed gives the full names in the file, and the auto folders that are
// subscribed to without being there. What names no folder is left out.
func (s *Store) subscribed() (map[string]bool, error) {
	names := map[string]bool{}
	at, err := s.controlDir()
	if err == nil {
		defer s.closeControl(at)
		var text string
		if text, err = readFile(at, s.c.Subscriptions); err == nil {
			for _, line := range s.subscriptions(text) {
				parts := strings.Split(line, "\t")
				for i := range parts {
					parts[i] = s.decode(parts[i])
				}
				if back, err := s.place(s.c.Prefix + join(parts, s.c.Separator)); err == nil {
					names[s.full(back)] = true
				}
			}
		}
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	for _, a := range s.c.Auto {
		if a.Subscribe {
			names[s.c.Prefix+a.Name] = true
		}
	}
	return names, nil
}

func (s *Store) subscribe(parts []string) error {
	line := s.subscription(parts)
	return s.editSubscriptions(func(lines []string) []string {
		if slices.Contains(lines, line) {
			return lines
		}
		return append(lines, line)
	})
}

// subscription is the line of a folder, spelled as on disk, in modified UTF-7:
// so Dovecot 2.3.19 writes it, and compares when the user unsubscribes
// (observed, against spec/maildir.md 12).
func (s *Store) subscription(parts []string) string {
	if len(parts) == 0 {
		return "INBOX"
	}
	return join(s.encoded(parts), "\t")
}

// editSubscriptions writes the file anew where edit changes the number of its
// lines. The lock file is the new content, and its rename both publishes and
// unlocks.
func (s *Store) editSubscriptions(edit func(lines []string) []string) error {
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
	text, err := readFile(at, s.c.Subscriptions)
	if err != nil {
		unix.Unlinkat(at, lock, 0)
		return err
	}
	lines := s.subscriptions(text)
	before := len(lines)
	if lines = edit(lines); len(lines) == before {
		unix.Unlinkat(at, lock, 0)
		return nil
	}
	w := lineWriter{fd: fd, buf: []byte(subscriptionsHeader)}
	for _, l := range lines {
		w.buf = append(append(w.buf, l...), '\n')
	}
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
			s.c.Now().Sub(time.Unix(st.Mtim.Unix())) > abandonedLock {
			unix.Unlinkat(at, name, 0)
			continue
		}
		time.Sleep(lockPause)
	}
	return -1, fmt.Errorf("%s is held by another program", name)
}

// subscriptions gives the lines of the file in the new format.
func (s *Store) subscriptions(text string) []string {
	lines, isNew := splitSubscriptions(text)
	if !isNew {
		for i, l := range lines {
			lines[i] = s.upgradeSubscription(l)
		}
	}
	return lines
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
