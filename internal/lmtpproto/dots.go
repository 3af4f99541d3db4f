package lmtpproto

import "bytes"

// Dots undoes the transparency of DATA (RFC 5321 section 4.5.2) as the bytes
// come in. Its zero value is ready for the first byte after 354.
//
// Only CRLF . CRLF ends the data. Whoever takes LF . LF or LF . CRLF for the
// end lets a sender smuggle a second message past an MTA that does not
// (spec/lmtp.md 8), so there the dot is data and stays.
type Dots struct {
	state dotState
}

type dotState byte

const (
	lineStart dotState = iota // after CRLF, or at the very beginning
	inLine
	afterCR      // in a line, after a CR that was given out
	afterDot     // after a dot at the line's start that was not given out
	afterDotCR   // after that dot and a CR, neither given out
	endOfMessage // after that dot and CRLF
)

// Append adds to out what is data in src, and tells how many bytes of src it
// took: all of them, unless the end is among them. It adds at most
// len(src)+1 bytes.
func (d *Dots) Append(out, src []byte) (data []byte, taken int, end bool) {
	for i := 0; i < len(src); {
		c := src[i]
		switch d.state {
		case lineStart:
			if c == '.' {
				d.state = afterDot
				i++
				continue
			}
			d.state = inLine
		case inLine:
			// The common case runs at the speed of memchr and memmove.
			n := bytes.IndexByte(src[i:], '\r')
			if n < 0 {
				return append(out, src[i:]...), len(src), false
			}
			out = append(out, src[i:i+n+1]...)
			i += n + 1
			d.state = afterCR
		case afterCR:
			switch c {
			case '\n':
				out = append(out, c)
				i++
				d.state = lineStart
			case '\r':
				out = append(out, c)
				i++
			default:
				d.state = inLine
			}
		case afterDot:
			switch c {
			case '\r':
				d.state = afterDotCR
				i++
				continue
			case '\n': // CRLF . LF: a line that is a dot, no end and no stuffing
				out = append(out, '.')
			}
			d.state = inLine
		case afterDotCR:
			if c == '\n' {
				d.state = endOfMessage
				return out, i + 1, true
			}
			out = append(out, '\r')
			d.state = afterCR
		case endOfMessage:
			return out, i, true
		}
	}
	return out, len(src), d.state == endOfMessage
}

// Stuffing is the transparency of DATA as a client makes it, for a message that
// comes in pieces. Line ends are made CRLF: a bare LF before a dot could be the
// end of the data to one server and not to the next one. Its zero value is ready
// for the first byte.
type Stuffing struct {
	cr    bool // the last byte was a CR
	begun bool // in a line
}

// Append adds a piece, of which it makes at most three times its length.
func (s *Stuffing) Append(out, piece []byte) []byte {
	for _, c := range piece {
		switch {
		case c == '\n':
			if !s.cr {
				out = append(out, '\r')
			}
			s.cr, s.begun = false, false
			out = append(out, '\n')
			continue
		case s.cr: // a CR alone is a line end, too
			out = append(out, '\n')
			s.cr, s.begun = false, false
		}
		if !s.begun && c == '.' {
			out = append(out, '.')
		}
		s.begun = true
		s.cr = c == '\r'
		out = append(out, c)
	}
	return out
}

// End adds the end of data.
func (s *Stuffing) End(out []byte) []byte {
	switch {
	case s.cr:
		out = append(out, '\n')
	case s.begun:
		out = append(out, '\r', '\n')
	}
	return append(out, ".\r\n"...)
}
