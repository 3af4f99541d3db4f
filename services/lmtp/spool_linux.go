package lmtp

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// spoolStep is how many bytes of the budget a spool takes at a time.
const spoolStep = 64 << 10

// diskBuffer is how much of a message on disk is written at a time.
const diskBuffer = 64 << 10

// spool is one message on its way: dots removed, CRLF kept. Up to spool_memory
// it ends in a memfd, above that in a file without a name.
type spool struct {
	dir      string
	memory   int64
	budget   *budget
	reserved int64

	size int64
	buf  *[]byte // all of a small message; what is not yet written of a large one
	disk int     // the file, -1 while the message is small
}

// The buffers of small messages are as large as the messages were.
var spoolBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

func newSpool(f *Front) *spool {
	return &spool{dir: f.SpoolDir, memory: f.SpoolMemory, budget: f.spools, disk: -1,
		buf: spoolBuffers.Get().(*[]byte)}
}

// reserve makes sure of room for n bytes in all. It may wait.
func (s *spool) reserve(n int64) error {
	if n <= s.reserved {
		return nil
	}
	if n > math.MaxInt64-spoolStep { // SIZE= may say anything; rounded up it would be a gift
		return errSpoolLimit
	}
	more := (n - s.reserved + spoolStep - 1) / spoolStep * spoolStep
	if err := s.budget.take(more); err != nil {
		return err
	}
	s.reserved += more
	return nil
}

// Write adds to the message. It may wait for room.
func (s *spool) Write(p []byte) (int, error) {
	if err := s.reserve(s.size + int64(len(p))); err != nil {
		return 0, err
	}
	s.size += int64(len(p))
	*s.buf = append(*s.buf, p...)
	if s.size <= s.memory || s.disk >= 0 && len(*s.buf) < diskBuffer {
		return len(p), nil
	}
	return len(p), s.toDisk()
}

func (s *spool) toDisk() (err error) {
	if s.disk < 0 {
		if s.disk, err = openNameless(s.dir); err != nil {
			return fmt.Errorf("spool_dir: %w", err)
		}
	}
	if err := writeAll(s.disk, *s.buf); err != nil {
		return fmt.Errorf("spool_dir %s: %w", s.dir, err)
	}
	*s.buf = (*s.buf)[:0]
	return nil
}

// seal ends the message and gives the descriptor to pass to workers, which
// nobody can write to from then on.
func (s *spool) seal() (fd int, err error) {
	if s.disk < 0 {
		return sealedMemory(*s.buf)
	}
	if err := s.toDisk(); err != nil {
		return -1, err
	}
	// A second opening, for reading only: the first one's write access must not
	// travel with the descriptor.
	fd, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", s.disk), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("spool_dir %s: reopen: %w", s.dir, err)
	}
	return fd, nil
}

// close gives everything back, once. The descriptor from seal is its caller's.
func (s *spool) close() {
	if s.buf == nil {
		return
	}
	if s.disk >= 0 {
		unix.Close(s.disk)
	}
	*s.buf = (*s.buf)[:0]
	if cap(*s.buf) <= 256<<10 {
		spoolBuffers.Put(s.buf)
	}
	s.buf = nil
	s.budget.give(s.reserved)
}

// sealedMemory puts the text in memory that can never change again: a worker
// that is its user's own shares it with the others.
func sealedMemory(text []byte) (int, error) {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("memfd: %w", err)
	}
	if err = writeAll(fd, text); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS,
			unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_FUTURE_WRITE)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("memfd: %w", err)
	}
	return fd, nil
}

// openNameless opens a file that no path leads to, nor ever will (O_EXCL).
func openNameless(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != unix.EOPNOTSUPP && err != unix.EISDIR {
		if err != nil {
			return -1, &os.PathError{Op: "open nameless file in", Path: dir, Err: err}
		}
		return fd, nil
	}
	// A file system without O_TMPFILE: the name lives for a moment, in a
	// directory that is ours alone.
	f, err := os.CreateTemp(dir, "spool")
	if err != nil {
		return -1, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return -1, err
	}
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// isFull tells errors of a full disk.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
