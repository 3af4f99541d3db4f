package worker

import (
	"bytes"
	"errors"
	"io"

	"culver/internal/mailmessage"
)

// body looks for a needle in the decoded text of a message. Most messages are
// answered by one look at their bytes as they are stored; only those that may
// hide text in an encoding are taken apart. headers includes those of the parts.
func (m *message) body(c *call, n *needle, headers bool) (bool, error) {
	if len(n.run) > 0 {
		switch has, sure, err := m.rawBody(c, n); {
		case err != nil:
			return false, err
		case sure:
			return has, nil
		}
	}
	return m.decodedBody(c, n, headers)
}

// openWhole opens a message that will be read to its end.
func (m *message) openWhole() error {
	if err := m.open(); err != nil {
		return err
	}
	return m.src.CheckSize()
}

// rawBody looks at the stored bytes. sure means that decoding could change
// nothing: the needle is not there and nothing encodes text, or it is there and
// the message is one plain text.
func (m *message) rawBody(c *call, n *needle) (has, sure bool, err error) {
	if err := m.openWhole(); err != nil {
		return false, false, err
	}
	if m.src.Compressed() && m.size > bodyRead {
		return false, false, nil // all of it is in memory, where a copy has no room
	}
	if m.size <= bodyRead {
		if err := m.read(int(m.size)); err != nil {
			return false, false, err
		}
	}
	head, err := m.head()
	if err != nil {
		return false, false, err
	}
	simple := true
	for name, raw := range fields(head) {
		if len(name) > len("content-") && bytes.EqualFold(name[:len("content-")], []byte("content-")) {
			simple = simple && plainField(name, raw)
		}
	}
	if int64(m.n) == m.size {
		m.scratch = lower(m.scratch, m.buf[:m.n])
		has, sure = m.settle(m.scratch, n, simple)
		return has, sure, nil
	}
	return m.rawLarge(c, n, simple)
}

// settle decides by a message's text in lower case.
func (m *message) settle(text []byte, n *needle, simple bool) (has, sure bool) {
	has = bytes.Contains(text[m.headLen:], n.run)
	switch {
	case has:
		return true, simple && n.ascii
	case !isASCII(text): // a letter with its mark is found without it too
		return false, false
	case simple:
		return false, true
	}
	switch hiding(text) {
	case plain:
		return false, true
	case quoted:
		// One look at the whole message without its =XX and soft line ends is much
		// cheaper than to find the parts that have them.
		m.unquoted = unquote(m.unquoted[:0], text)
		return false, isASCII(m.unquoted) && !bytes.Contains(m.unquoted, n.run)
	}
	return false, false
}

// disguise is how a message may hide ASCII text.
type disguise int

const (
	plain  disguise = iota
	quoted          // in quoted-printable at most
	deep            // in ways that only taking it apart undoes
)

// hiding tells how a message, whose text is in lower case, may hide ASCII.
func hiding(text []byte) disguise {
	if hidingCharset(text) || encodesText(text, []byte("base64")) {
		return deep
	}
	if encodesText(text, []byte("quoted-printable")) {
		return quoted
	}
	return plain
}

// encodesText tells whether a part that may be text has this encoding. The word
// may stand anywhere, but a part that says it is an image, and so is not
// searched, is the usual case.
func encodesText(text, encoding []byte) bool {
	for at := 0; ; {
		n := bytes.Index(text[at:], encoding)
		if n < 0 {
			return false
		}
		end, data := headerOfData(text, at+n)
		if !data {
			return true
		}
		at = max(at+n+len(encoding), end-len(encoding)) // the word may stand there a thousand times
	}
}

// dataTypes are the beginnings of types that are not searched.
var dataTypes = [...]string{"application/", "image/", "audio/", "video/", "font/", "model/"}

// maxPartHeader bounds the look around for a part's header.
const maxPartHeader = 4 << 10

// headerOfData tells that what stands at a place is in the header of a part that
// is no text, and up to where that is so.
func headerOfData(text []byte, at int) (end int, data bool) {
	block := text[max(0, at-maxPartHeader):at]
	for _, begin := range []string{"\n\n", "\n\r\n", "\n--"} {
		if n := bytes.LastIndex(block, []byte(begin)); n >= 0 {
			block = block[n+len(begin)-1:]
		}
	}
	from := at - len(block)
	block = text[from:min(len(text), at+maxPartHeader)]
	for _, end := range []string{"\n\n", "\n\r\n"} {
		if n := bytes.Index(block[at-from:], []byte(end)); n >= 0 {
			block = block[:at-from+n]
		}
	}
	const field = "\ncontent-type:"
	n := bytes.Index(block, []byte(field))
	if n < 0 || bytes.Count(block, []byte(field)) > 1 {
		return 0, false
	}
	end = from + len(block)
	if n := bytes.Index(text[at:end], []byte("\n--")); n >= 0 {
		end = at + n
	}
	value := bytes.TrimLeft(block[n+len(field):], " \t\r\n")
	for _, kind := range dataTypes {
		if bytes.HasPrefix(value, []byte(kind)) {
			return end, true
		}
	}
	return 0, false
}

// unquote appends text, which is in lower case, without the escapes of
// quoted-printable, in lower case too.
func unquote(out, text []byte) []byte {
	for {
		n := bytes.IndexByte(text, '=')
		if n < 0 {
			return append(out, text...)
		}
		out = append(out, text[:n]...)
		text = text[n+1:]
		end := bytes.TrimLeft(text[:min(len(text), maxPadding)], " \t")
		end = bytes.TrimPrefix(end, []byte("\r"))
		switch {
		case len(end) > 0 && end[0] == '\n': // a soft line end
			text = text[bytes.IndexByte(text, '\n')+1:]
		case len(text) > 1 && hexDigit(text[0]) >= 0 && hexDigit(text[1]) >= 0:
			c := byte(hexDigit(text[0])<<4 | hexDigit(text[1]))
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			out = append(out, c)
			text = text[2:]
		default:
			out = append(out, '=')
		}
	}
}

// maxPadding bounds the blanks that may stand before a soft line end.
const maxPadding = 1 << 10

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// rawLarge is settle for a message that is read in pieces, which overlap by as
// much as a needle or a mark of an encoding may need.
func (m *message) rawLarge(c *call, n *needle, simple bool) (has, sure bool, err error) {
	overlap := max(len(n.run), longestMark)
	piece := make([]byte, bodyRead+overlap)
	encoded := !simple && encodes(lower(nil, m.buf[:m.headLen]))
	kept := 0
	for at := int64(m.headLen); at < m.size; {
		k, err := m.src.ReadAt(piece[kept:kept+bodyRead], at)
		if k == 0 {
			if err == nil || err == io.EOF {
				break
			}
			return false, false, err
		}
		at += int64(k)
		m.scratch = lower(m.scratch, piece[:kept+k])
		text := m.scratch[:kept+k]
		if has = bytes.Contains(text, n.run); has {
			return true, simple && n.ascii, nil
		}
		encoded = encoded || !isASCII(text) || !simple && encodes(text)
		if encoded {
			return false, false, nil
		}
		tail := min(overlap, len(text))
		copy(piece, piece[len(text)-tail:len(text)])
		kept = tail
		c.beat()
	}
	return false, true, nil
}

// Marks of what may hide ASCII text from a look at the bytes. longestMark is
// what they need: "charset" and the name after it.
const longestMark = 64

// plainField tells that a Content-... field of the message's header leaves its
// body as it is stored.
func plainField(name, raw []byte) bool {
	switch {
	case sameName(name, "Content-Type"):
		low := lower(nil, raw)
		return bytes.HasPrefix(low, []byte("text/")) && !hidingCharset(low)
	case sameName(name, "Content-Transfer-Encoding"):
		low := lower(nil, raw)
		return bytes.Equal(low, []byte("7bit")) || bytes.Equal(low, []byte("8bit")) || bytes.Equal(low, []byte("binary"))
	}
	return true
}

// encodes tells whether any part of a message, whose text is in lower case, may
// hide ASCII.
func encodes(text []byte) bool {
	return bytes.Contains(text, []byte("base64")) || bytes.Contains(text, []byte("quoted-printable")) || hidingCharset(text)
}

// plainCharsets are beginnings of charset names in which ASCII is ASCII.
var plainCharsets = [...]string{"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-", "iso8859", "windows-", "cp125", "koi8-", "latin", "gb2312", "gbk",
	"gb18030", "big5", "euc-", "macintosh", "ansi", "unknown", "binary"}

// hidingCharset finds a charset of which we are not sure that ASCII is ASCII in
// it.
func hidingCharset(text []byte) bool {
	for {
		at := bytes.Index(text, []byte("charset"))
		if at < 0 {
			return false
		}
		text = text[at+len("charset"):]
		value := bytes.TrimLeft(text, " \t\r\n")
		if len(value) == 0 || value[0] != '=' {
			if len(value) > 0 && value[0] == '*' {
				return true
			}
			continue // a word in some text
		}
		value = bytes.TrimLeft(value[1:], " \t\r\n\"'")
		plain := false
		for _, name := range plainCharsets {
			plain = plain || bytes.HasPrefix(value, []byte(name))
		}
		if !plain {
			return true
		}
	}
}

// errFound ends a walk early.
var errFound = errors.New("found")

// decodedBody takes the message apart.
func (m *message) decodedBody(c *call, n *needle, headers bool) (bool, error) {
	root, err := m.parts()
	if err != nil {
		return false, err
	}
	err = root.Walk(func(p *mailmessage.Part) error {
		if headers && p != root && m.fieldsHave(p.Fields, n) {
			return errFound
		}
		if !p.Leaf() || !p.Is("text", "") && !p.Is("message", "") {
			return nil
		}
		found, err := m.search(c, p.Text(m.reader()), n)
		if found {
			return errFound
		}
		return err
	})
	if err == errFound {
		return true, nil
	}
	return false, err
}

// parts reads the message's structure.
func (m *message) parts() (*mailmessage.Part, error) {
	if err := m.openWhole(); err != nil {
		return nil, err
	}
	if m.size <= bodyRead {
		if err := m.read(int(m.size)); err != nil {
			return nil, err
		}
	}
	return mailmessage.Parse(m.reader(), m.size)
}

// reader reads the message, from memory if it is there.
func (m *message) reader() io.ReaderAt {
	if int64(m.n) == m.size {
		return bytes.NewReader(m.buf[:m.n])
	}
	return m.src
}

// search looks for the needle in a stream, piece by piece.
func (m *message) search(c *call, r io.Reader, n *needle) (found bool, err error) {
	const size = 16 << 10
	piece := make([]byte, size+4*len(n.folded))
	kept := 0
	for {
		k, err := io.ReadFull(r, piece[kept:kept+size])
		if found, m.scratch = n.in(piece[:kept+k], m.scratch); found {
			return true, nil
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return false, nil
		default:
			return false, err
		}
		// What may be the beginning of the needle is looked at again. A letter that
		// is cut in two stays whole in the overlap, which is longer than the needle.
		tail := 4 * len(n.folded)
		tail = min(tail, kept+k)
		copy(piece, piece[kept+k-tail:kept+k])
		kept = tail
		c.beat()
	}
}
