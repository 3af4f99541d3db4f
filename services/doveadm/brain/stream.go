package brain

import (
	"encoding/binary"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// stream is what waits for its turn: records of one job, or of several that have
// ended, one after the other. A record is its length times four plus its kind,
// then its bytes.
type stream []segment

// segment is a part of a stream, in memory or in the file. Records may lie
// across its end.
type segment struct {
	bytes []byte // nil: in the file
	at    int64
	size  int64
}

// Kinds of records.
const (
	cellPart = iota // of a cell
	cellEnd         // of a cell, the last piece
	jobOf           // another job begins, of this user
)

func appendRecord(b []byte, kind uint64, data string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(data))<<2|kind), data...)
}

// add takes bytes into memory.
func (s *stream) add(b []byte) {
	if n := len(*s) - 1; n >= 0 && (*s)[n].bytes != nil {
		(*s)[n].bytes = append((*s)[n].bytes, b...)
		return
	}
	*s = append(*s, segment{bytes: append([]byte(nil), b...)})
}

// join puts another stream behind this one.
func (s *stream) join(more stream) {
	for _, g := range more {
		last := len(*s) - 1
		switch {
		case g.bytes != nil:
			s.add(g.bytes)
		case last >= 0 && (*s)[last].bytes == nil && (*s)[last].at+(*s)[last].size == g.at:
			(*s)[last].size += g.size
		default:
			*s = append(*s, g)
		}
	}
}

// reader gives a stream's bytes.
func (s stream) reader(f *os.File) io.Reader {
	parts := make([]io.Reader, len(s))
	for i, g := range s {
		if g.bytes != nil {
			parts[i] = &memory{g.bytes}
		} else {
			parts[i] = io.NewSectionReader(f, g.at, g.size)
		}
	}
	return io.MultiReader(parts...)
}

// memory reads bytes and lets go of them.
type memory struct{ b []byte }

func (m *memory) Read(p []byte) (int, error) {
	if len(m.b) == 0 {
		m.b = nil
		return 0, io.EOF
	}
	n := copy(p, m.b)
	m.b = m.b[n:]
	return n, nil
}

// nameless opens a file that no path leads to, nor ever will (O_EXCL); where the
// file system has none, memory that can be swapped.
func nameless() (*os.File, error) {
	fd, err := unix.Open(os.TempDir(), unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		if fd, err = unix.MemfdCreate("held", unix.MFD_CLOEXEC); err != nil {
			return nil, os.NewSyscallError("memfd_create", err)
		}
	}
	return os.NewFile(uintptr(fd), "held"), nil
}
