package deliver

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// window is how much of a message is read at first: all of most messages, and
// the header of the rest.
const window = 64 << 10

// message is a passed descriptor. It is read by position only: its offset is
// shared with every other recipient's worker.
type message struct {
	fd    int
	size  int64
	first []byte
}

func openMessage(fd int, size int64) (*message, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size < size {
		return nil, fmt.Errorf("message: %d bytes in the descriptor (mode %o), want %d", st.Size, st.Mode, size)
	}
	m := &message{fd: fd, size: size}
	buf := make([]byte, min(size, window))
	n, err := m.pread(buf, 0)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	m.first = buf[:n]
	return m, nil
}

// ReadAt reads the message, its beginning from memory.
func (m *message) ReadAt(p []byte, off int64) (int, error) {
	if off >= m.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), m.size-off)]
	n := 0
	if off < int64(len(m.first)) {
		n = copy(p, m.first[off:])
	}
	k, err := m.pread(p[n:], off+int64(n))
	return n + k, err
}

// pread fills p; less than that is an error, the file became shorter.
func (m *message) pread(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		k, err := unix.Pread(m.fd, p[n:], off+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case k == 0:
			return n, io.ErrUnexpectedEOF
		default:
			n += k
		}
	}
	return n, nil
}

// header finds a field of the message, unfolded, "" when it has none.
func (m *message) header(name string) string {
	var value []byte
	found := false
	for rest := m.first; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(line) == 0:
			return string(bytes.TrimSpace(value))
		case line[0] == ' ' || line[0] == '\t':
			if found {
				value = append(value, line...)
			}
			continue
		case found:
			return string(bytes.TrimSpace(value))
		}
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			found, value = true, append(value, line[len(name)+1:]...)
		}
	}
	return string(bytes.TrimSpace(value))
}
