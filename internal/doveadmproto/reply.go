package doveadmproto

import (
	"bytes"
	"errors"
	"io"
	"time"

	"culver/internal/tabline"
)

const (
	// rowFlush is what may be pending when a row ends, and rowWait for how long:
	// many small rows share a packet, a quick command is one, and a slow command
	// still shows each.
	rowFlush = 8 << 10
	rowWait  = 100 * time.Millisecond
)

// ReplyWriter writes the values of one reply. An error of the peer's comes from
// the first call that meets it and from all after it.
type ReplyWriter struct {
	flush func([]byte) error // takes a piece of the reply stream
	buf   []byte
	last  time.Time
	err   error
}

// NewReplyWriter gives each piece of the stream to flush: a packet on channel
// ChReply in most cases.
func NewReplyWriter(flush func([]byte) error) *ReplyWriter {
	return &ReplyWriter{flush: flush, last: time.Now()}
}

// Value writes one whole value.
func (w *ReplyWriter) Value(s string) error {
	w.buf = append(tabline.Append(w.buf, s), '\t')
	return w.room()
}

// Stream begins a value that comes in pieces; Close ends it.
func (w *ReplyWriter) Stream() io.WriteCloser { return (*valueStream)(w) }

// Row ends a row: what is pending goes out if it is much, or waited long.
func (w *ReplyWriter) Row() error {
	if now := time.Now(); len(w.buf) >= rowFlush || now.Sub(w.last) >= rowWait {
		w.last = now
		return w.Flush()
	}
	return w.err
}

// Status ends the reply.
func (w *ReplyWriter) Status(text string) error {
	w.buf = append(append(append(w.buf, '\n'), text...), '\n')
	return w.Flush()
}

// Flush sends what is pending.
func (w *ReplyWriter) Flush() error {
	if len(w.buf) > 0 && w.err == nil {
		w.err = w.flush(w.buf)
	}
	w.buf = w.buf[:0]
	return w.err
}

func (w *ReplyWriter) room() error {
	if len(w.buf) >= MaxPacket {
		return w.Flush()
	}
	return w.err
}

type valueStream ReplyWriter

func (v *valueStream) Write(p []byte) (int, error) {
	w := (*ReplyWriter)(v)
	for n := 0; n < len(p); {
		m := min(len(p)-n, MaxPacket/2) // escapes may double it
		w.buf = tabline.AppendBytes(w.buf, p[n:n+m])
		n += m
		if err := w.room(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (v *valueStream) Close() error {
	w := (*ReplyWriter)(v)
	w.buf = append(w.buf, '\t')
	return w.room()
}

// Sink takes a reply as it comes.
type Sink interface {
	// Cell takes a piece of the next value, unescaped; last ends that value. The
	// piece is good until it returns.
	Cell(piece []byte, last bool) error
	// Log takes a line of the server's.
	Log(level byte, text string)
	// Touched takes how many messages the command has touched so far.
	Touched(n int64)
}

// ErrReply says that a reply's values do not end in TAB.
var ErrReply = errors.New("broken reply: a value without its end")

type replyState byte

const (
	atValue  replyState = iota // nothing of the next value is here
	inValue                    // some of it
	inEscape                   // its last byte began an escape
	inStatus
	atEnd
)

// ReplyReader reads a reply stream in pieces of any size.
type ReplyReader struct {
	state  replyState
	cell   []byte // unescaped, not yet given
	status []byte
}

// Feed takes a piece and gives values to cell. done says that the status line
// is whole; rest is what followed it.
func (r *ReplyReader) Feed(b []byte, cell func(piece []byte, last bool) error) (rest []byte, done bool, err error) {
	for len(b) > 0 && r.state < inStatus {
		if b, err = r.value(b, cell); err != nil {
			return b, false, err
		}
	}
	if r.state < inStatus {
		return nil, false, r.give(cell)
	}
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		n = len(b)
	} else {
		r.state, rest = atEnd, b[n+1:]
	}
	if len(r.status)+n > MaxStatus {
		return nil, false, ErrStatus
	}
	r.status = append(r.status, b[:n]...)
	return rest, r.state == atEnd, nil
}

// value takes what is there up to the next end of a value.
func (r *ReplyReader) value(b []byte, cell func([]byte, bool) error) ([]byte, error) {
	if r.state == inEscape {
		r.cell = append(r.cell, unescaped(b[0]))
		r.state = inValue
		return b[1:], nil
	}
	n := 0
	for n < len(b) && b[n] != '\t' && b[n] != '\n' && b[n] != escape {
		n++
	}
	r.cell = append(r.cell, b[:n]...)
	if n > 0 {
		r.state = inValue
	}
	if n == len(b) {
		return nil, nil
	}
	switch b[n] {
	case '\t':
		err := cell(r.cell, true)
		r.cell, r.state = r.cell[:0], atValue
		return b[n+1:], err
	case '\n':
		if r.state != atValue {
			return b, ErrReply
		}
		r.state = inStatus
	default:
		r.state = inEscape
	}
	return b[n+1:], nil
}

// give hands out the beginning of a value whose end is not here.
func (r *ReplyReader) give(cell func([]byte, bool) error) error {
	if len(r.cell) == 0 {
		return nil
	}
	err := cell(r.cell, false)
	r.cell = r.cell[:0]
	return err
}

// Status is the status line, once Feed is done.
func (r *ReplyReader) Status() string { return string(bytes.TrimSuffix(r.status, []byte("\r"))) }

const escape = 0x01

func unescaped(c byte) byte {
	switch c {
	case '0':
		return 0
	case '1':
		return escape
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'n':
		return '\n'
	}
	return c
}
