package doveadmproto

import (
	"bufio"
	"bytes"
	"io"
)

// DotWriter sends a command's input: LF becomes CRLF, a dot that begins a line
// gets another, and Close adds a line end of its own before the dot that ends
// it, which the reader takes away again.
type DotWriter struct {
	w  *bufio.Writer
	cr bool // the last byte was a CR
	in bool // in a line
}

// NewDotWriter writes to w, which the caller flushes.
func NewDotWriter(w *bufio.Writer) *DotWriter { return &DotWriter{w: w} }

func (d *DotWriter) Write(p []byte) (int, error) {
	var err error
	for rest := p; len(rest) > 0 && err == nil; {
		if !d.in && rest[0] == '.' {
			d.w.WriteByte('.')
		}
		n := bytes.IndexByte(rest, '\n')
		if n < 0 {
			d.cr, d.in = rest[len(rest)-1] == '\r', true
			_, err = d.w.Write(rest)
			break
		}
		if n > 0 {
			d.cr = rest[n-1] == '\r'
		}
		_, err = d.w.Write(rest[:n])
		if !d.cr {
			d.w.WriteByte('\r')
		}
		err = first(err, d.w.WriteByte('\n'))
		d.cr, d.in = false, false
		rest = rest[n+1:]
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Close ends the input. The message must be whole: a receiver has no other sign
// of a truncated one.
func (d *DotWriter) Close() error {
	_, err := d.w.WriteString("\r\n.\r\n")
	return err
}

// DotReader gives a command's input as it was before a DotWriter took it, but
// for line ends, which stay as they came. It is io.EOF at the dot, and
// io.ErrUnexpectedEOF where the stream ends before it.
//
// Only CRLF . CRLF is the end. The lines belong to whoever wrote the message: with
// LF . LF as the end too, a message whose sender knows of CRLF alone could go on
// as commands.
type DotReader struct {
	r    *bufio.Reader
	rest []byte // of the line in the buffer of r
	eol  string // the last line's, which the dot would take away
	held string // an eol that is due now
	in   bool   // in a line, of which more comes
	err  error
}

// NewDotReader reads from r, and never beyond the dot's line.
func NewDotReader(r *bufio.Reader) *DotReader { return &DotReader{r: r} }

func (d *DotReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case d.held != "":
			m := copy(p[n:], d.held)
			d.held, n = d.held[m:], n+m
		case len(d.rest) > 0:
			m := copy(p[n:], d.rest)
			d.rest, n = d.rest[m:], n+m
		case n > 0 && (d.err != nil || d.r.Buffered() == 0):
			return n, nil
		case d.err != nil:
			return 0, d.err
		default:
			d.line()
		}
	}
	return n, nil
}

// line takes the next line, or what of it fits in the buffer.
func (d *DotReader) line() {
	b, err := d.r.ReadSlice('\n')
	switch err {
	case nil, bufio.ErrBufferFull:
	case io.EOF:
		d.err = io.ErrUnexpectedEOF
		return
	default:
		d.err = err
		return
	}
	whole := bytes.HasSuffix(b, crlf)
	if err != nil && b[len(b)-1] == '\r' { // it may belong to the line end
		d.r.UnreadByte()
		b = b[:len(b)-1]
	}
	if !d.in {
		if string(b) == ".\r\n" {
			d.err = io.EOF
			return
		}
		d.held, d.eol = d.eol, ""
		if b[0] == '.' {
			b = b[1:]
		}
	}
	if d.in = !whole; whole {
		b, d.eol = b[:len(b)-len(crlf)], string(crlf)
	}
	d.rest = b
}

var crlf = []byte("\r\n")

// Drain reads the input up to its dot.
func (d *DotReader) Drain() error {
	_, err := io.Copy(io.Discard, d)
	return err
}
