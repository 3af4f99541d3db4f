package mailmessage

import (
	"bufio"
	"io"
	"strings"

	"golang.org/x/text/transform"
)

// Raw reads the body as it is stored.
func (p *Part) Raw(r io.ReaderAt) io.Reader { return io.NewSectionReader(r, p.Body, p.End-p.Body) }

// Decoded reads the body without its transfer encoding. Bytes that are not of
// the encoding are left out or kept as they are: there is no error of decoding.
func (p *Part) Decoded(r io.ReaderAt) io.Reader {
	switch raw := p.Raw(r); strings.ToLower(p.Encoding) {
	case "base64":
		return &base64Reader{in: bufio.NewReaderSize(raw, 16<<10)}
	case "quoted-printable":
		return &quotedReader{in: bufio.NewReaderSize(raw, 16<<10)}
	default:
		return raw
	}
}

// Text reads the body as UTF-8. A byte that is nothing in the part's charset
// becomes U+FFFD.
func (p *Part) Text(r io.ReaderAt) io.Reader {
	raw := p.Decoded(r)
	if e := charset(p.Param("charset")); e != nil {
		return transform.NewReader(raw, e.NewDecoder())
	}
	return raw
}

// Plain tells that ASCII letters of the text stand in the stored bytes as they
// are, so that a search may look there first.
func (p *Part) Plain() bool {
	switch strings.ToLower(p.Encoding) {
	case "base64", "quoted-printable":
		return false
	}
	return plain(p.Param("charset"))
}

// base64Reader decodes leniently: it skips what is not of the alphabet.
type base64Reader struct {
	in   *bufio.Reader
	bits uint32
	n    int // sextets in bits
	out  []byte
	buf  [3072]byte
	err  error
}

func (b *base64Reader) Read(into []byte) (int, error) {
	for len(b.out) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.fill()
	}
	n := copy(into, b.out)
	b.out = b.out[n:]
	return n, nil
}

func (b *base64Reader) fill() {
	out := b.buf[:0]
	for len(out)+3 <= len(b.buf) {
		c, err := b.in.ReadByte()
		if err != nil {
			b.err = err
			out = b.flush(out)
			break
		}
		v := sextet(c)
		if v < 0 {
			if c == '=' {
				out = b.flush(out)
			}
			continue
		}
		b.bits = b.bits<<6 | uint32(v)
		if b.n++; b.n == 4 {
			out = append(out, byte(b.bits>>16), byte(b.bits>>8), byte(b.bits))
			b.bits, b.n = 0, 0
		}
	}
	b.out = out
}

// flush ends a group that is not full.
func (b *base64Reader) flush(out []byte) []byte {
	switch b.n {
	case 2:
		out = append(out, byte(b.bits>>4))
	case 3:
		out = append(out, byte(b.bits>>10), byte(b.bits>>2))
	}
	b.bits, b.n = 0, 0
	return out
}

func sextet(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// quotedReader decodes quoted-printable (RFC 2045 section 6.7): what is no
// escape stays as it is.
type quotedReader struct {
	in  *bufio.Reader
	out []byte
	err error
}

func (q *quotedReader) Read(into []byte) (int, error) {
	for len(q.out) == 0 {
		if q.err != nil {
			return 0, q.err
		}
		line, err := q.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			q.err = err
		}
		q.out = unquote(q.out[:0], line)
	}
	n := copy(into, q.out)
	q.out = q.out[n:]
	return n, nil
}

func unquote(out, line []byte) []byte {
	end := len(line)
	if end > 0 && line[end-1] == '\n' {
		if end--; end > 0 && line[end-1] == '\r' {
			end--
		}
	}
	eol := ""
	if end < len(line) {
		eol = "\r\n" // RFC 2045 section 6.7 rule 4: a line break is CRLF
		// Blanks before it are the transport's.
		for end > 0 && (line[end-1] == ' ' || line[end-1] == '\t') {
			end--
		}
	}
	if end > 0 && line[end-1] == '=' {
		end, eol = end-1, ""
	}
	for i := 0; i < end; i++ {
		c := line[i]
		if c == '=' && i+2 < end && isHex(line[i+1]) && isHex(line[i+2]) {
			c = unhex(line[i+1])<<4 | unhex(line[i+2])
			i += 2
		}
		out = append(out, c)
	}
	return append(out, eol...)
}

// CRLF reads with CRLF line ends what has them or not.
func CRLF(r io.Reader) io.Reader { return &crlfReader{in: bufio.NewReaderSize(r, 16<<10)} }

type crlfReader struct {
	in   *bufio.Reader
	last byte
	owed bool // an LF whose CR is written
}

func (c *crlfReader) Read(into []byte) (n int, err error) {
	for n < len(into) {
		if c.owed {
			into[n], c.last, c.owed = '\n', '\n', false
			n++
			continue
		}
		b, err := c.in.ReadByte()
		if err != nil {
			if n > 0 && err == io.EOF {
				return n, nil
			}
			return n, err
		}
		if b == '\n' && c.last != '\r' {
			b, c.owed = '\r', true
		}
		into[n], c.last = b, b
		n++
	}
	return n, nil
}
