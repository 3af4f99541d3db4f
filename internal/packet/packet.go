// Package packet is the form of our messages over SOCK_SEQPACKET: bytes, numbers
// as 64 bits little-endian, texts as 16 bits of length and the bytes.
//
// Runs as:   the master, its spawners and its children; pure.
// Trusts:    nobody: what is too long, too short or left over makes the whole packet bad.
// Distrusts: every packet; reading one allocates no more than it holds.
// Speaks:    the fields of packages handoff and wire, which give them meaning.
package packet

import "encoding/binary"

// Writer appends fields to Out. A text longer than 65,535 bytes is the caller's
// fault: packages that use it have limits far below.
type Writer struct{ Out []byte }

// Byte appends one byte.
func (w *Writer) Byte(b byte) { w.Out = append(w.Out, b) }

// Num appends a number.
func (w *Writer) Num(n uint64) { w.Out = binary.LittleEndian.AppendUint64(w.Out, n) }

// Text appends a text.
func (w *Writer) Text(s string) {
	w.Out = binary.LittleEndian.AppendUint16(w.Out, uint16(len(s)))
	w.Out = append(w.Out, s...)
}

// Reader reads fields from Rest. Once something does not fit, it is Bad and all
// that follows is zero.
type Reader struct {
	Rest []byte
	Bad  bool
}

func (r *Reader) take(n int) []byte {
	if r.Bad || n > len(r.Rest) {
		r.Bad = true
		return nil
	}
	p := r.Rest[:n]
	r.Rest = r.Rest[n:]
	return p
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

// Num reads a number.
func (r *Reader) Num() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// Text reads a text of at most limit bytes.
func (r *Reader) Text(limit int) string {
	p := r.take(2)
	if p == nil {
		return ""
	}
	n := int(binary.LittleEndian.Uint16(p))
	if n > limit {
		r.Bad = true
		return ""
	}
	return string(r.take(n))
}

// Whole says whether everything was read and nothing was bad.
func (r *Reader) Whole() bool { return !r.Bad && len(r.Rest) == 0 }
