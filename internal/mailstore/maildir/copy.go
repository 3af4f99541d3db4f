package maildir

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"
)

// bufferSize is the largest piece read or written at once. A small message
// gets a buffer of its own size: each page touched costs a fault, which counts
// in a process that lives for two milliseconds.
const bufferSize = 128 << 10

// lineWriter writes text with the line ends of the store and counts the two
// sizes of spec/maildir.md 3.
type lineWriter struct {
	fd      int // below 0 it only counts
	buf     []byte
	crlf    bool
	pending bool // a CR that ended a piece: the line end may follow
	last    byte // the byte before, as written
	size    int64
	virtual int64 // as size, with LF counted as CRLF
}

// add takes the next piece of text. CRLF and LF are line ends; a lone CR is
// text and stays.
func (w *lineWriter) add(p []byte) error {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, lf)
		if w.pending {
			w.pending = false
			if !ended || len(line) > 0 {
				if err := w.put(cr); err != nil {
					return err
				}
			}
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line, w.pending = line[:n-1], !ended
		}
		if err := w.put(line); err != nil {
			return err
		}
		if ended {
			if err := w.endLine(); err != nil {
				return err
			}
		}
		p = rest
	}
	return nil
}

var (
	cr   = []byte("\r")
	lf   = []byte("\n")
	crlf = []byte("\r\n")
)

func (w *lineWriter) endLine() error {
	if w.crlf {
		return w.put(crlf)
	}
	// In CR CR LF the first CR is text, yet a reader of the file sees CRLF.
	if w.last != '\r' {
		w.virtual++
	}
	return w.put(lf)
}

func (w *lineWriter) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	w.size += int64(len(p))
	w.virtual += int64(len(p))
	w.last = p[len(p)-1]
	for len(p) > 0 {
		if len(w.buf) == cap(w.buf) {
			if err := w.flush(); err != nil {
				return err
			}
		}
		n := min(len(p), cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}

func (w *lineWriter) end() error {
	if w.pending {
		w.pending = false
		if err := w.put(cr); err != nil {
			return err
		}
	}
	return w.flush()
}

func (w *lineWriter) flush() error {
	p := w.buf
	for w.fd >= 0 && len(p) > 0 {
		n, err := unix.Write(w.fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p = p[n:]
	}
	w.buf = w.buf[:0]
	return nil
}

// copyMessage writes head and body to fd and gives the sizes.
func copyMessage(fd int, m Message, crlf bool) (size, virtual int64, err error) {
	room := int64(len(m.Head)) + m.Size
	w := lineWriter{fd: fd, crlf: crlf, buf: make([]byte, 0, min(max(room, 1), bufferSize))}
	if err := w.add(m.Head); err != nil {
		return 0, 0, err
	}
	in := make([]byte, min(m.Size, bufferSize))
	for off := int64(0); off < m.Size; {
		p := in[:min(int64(len(in)), m.Size-off)]
		n, err := m.Body.ReadAt(p, off)
		if err := w.add(p[:n]); err != nil {
			return 0, 0, err
		}
		off += int64(n)
		switch {
		case n == len(p):
		case err == nil || err == io.EOF:
			return 0, 0, io.ErrUnexpectedEOF
		default:
			return 0, 0, err
		}
	}
	if err := w.end(); err != nil {
		return 0, 0, err
	}
	return w.size, w.virtual, nil
}
