package server

import (
	"bytes"

	"culver/internal/doveadmproto"
)

// rows takes a worker's reply stream as it comes, gives the client its values,
// and keeps the status line. Whatever the worker sends, the client gets a stream
// of whole values.
type rows struct {
	to     *output // nil: nobody sees the values
	user   []byte  // the first value of each row, escaped and with its TAB; nil for none
	width  int     // values of a row
	pad    bool    // a row that was cut short is filled up
	cell   int     // which of the row's values comes next
	last   byte    // what went out last
	status []byte
	ended  bool // the values have
	done   bool // the status line is here
	buf    []byte
}

// feed takes a piece.
func (r *rows) feed(b []byte) error {
	if !r.ended {
		n := bytes.IndexByte(b, '\n')
		values := b
		if n >= 0 {
			values, b, r.ended = b[:n], b[n+1:], true
		}
		if err := r.values(values); err != nil || !r.ended {
			return err
		}
	}
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		n = len(b)
	} else if !r.done {
		r.done = true
	}
	if len(r.status)+n <= doveadmproto.MaxStatus {
		r.status = append(r.status, b[:n]...)
	}
	return nil
}

func (r *rows) values(b []byte) error {
	if len(b) == 0 || r.to == nil {
		return nil
	}
	if r.user == nil {
		r.last = b[len(b)-1]
		r.cell = (r.cell + bytes.Count(b, tab)) % r.width
		return r.to.reply(b)
	}
	out := r.buf[:0]
	for len(b) > 0 {
		if r.cell == 0 && (r.last == '\t' || r.last == 0) {
			out = append(out, r.user...)
		}
		n := bytes.IndexByte(b, '\t') + 1
		if n > 0 {
			r.cell = (r.cell + 1) % r.width
		} else {
			n = len(b)
		}
		out = append(out, b[:n]...)
		r.last = b[n-1]
		b = b[n:]
	}
	r.buf = out
	return r.to.reply(out)
}

var tab = []byte("\t")

// finish ends the reply with a status line. A value whose end never came is
// ended, so that the line is not taken for a part of it. Clients of Dovecot's
// count cells over all users: half a row of one would shift all that follow.
func (r *rows) finish(status string) error {
	end := r.buf[:0]
	if r.last == 1 { // half an escape
		end = append(end, '1')
	}
	if r.last != 0 && r.last != '\t' {
		end = append(end, '\t')
		r.cell = (r.cell + 1) % r.width
	}
	for ; r.pad && r.cell > 0; r.cell = (r.cell + 1) % r.width {
		end = append(end, '\t')
	}
	end = append(append(append(end, '\n'), status...), '\n')
	r.to.reply(end)
	return r.to.flush()
}
