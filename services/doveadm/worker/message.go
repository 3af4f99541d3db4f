package worker

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"culver/internal/mailmessage"
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// How much of a message is read at a time. Most headers need one read of the
// first, most bodies one of the second.
const (
	headRead = 8 << 10
	bodyRead = 1 << 20
	maxKept  = 8 << 20 // of memory from one message for the next
)

// message is what was read of the message that is tested. Its memory serves
// one message after the other.
type message struct {
	box  *maildir.Mailbox
	i    int
	src  *maildir.Content // nil until it is opened
	size int64

	buf     []byte // the beginning of the message
	n       int    // so much of buf is read
	headLen int    // of the header, 0 until it is known
	scratch []byte

	unquoted []byte // see settle
}

func (m *message) reset(box *maildir.Mailbox, i int) {
	m.box, m.i, m.n, m.size, m.headLen = box, i, 0, 0, 0
}

func (m *message) close() {
	if m.src != nil {
		m.src.Close()
		m.src = nil
	}
	if len(m.buf) > maxKept {
		m.buf, m.n = nil, 0
	}
}

// open opens the message's file, once.
func (m *message) open() (err error) {
	if m.src != nil {
		return nil
	}
	if m.src, err = m.box.Content(m.i); err != nil {
		return err
	}
	m.size = m.src.FileSize()
	if m.src.Compressed() {
		return m.unpack()
	}
	return nil
}

// unpack keeps the text of a compressed message, which can be read in order
// only, whole.
func (m *message) unpack() error {
	for m.n = 0; ; {
		if m.n == len(m.buf) {
			if m.n >= maildir.MaxUnpacked {
				return wrap(maildir.ErrTooLarge, "%s: compressed, and %d MiB or more of text", m.box.Base(m.i), maildir.MaxUnpacked>>20)
			}
			m.buf = append(m.buf, make([]byte, max(m.n, headRead))...)
		}
		k, err := m.src.Read(m.buf[m.n:])
		m.n += k
		if err == io.EOF {
			m.size = int64(m.n)
			return nil
		}
		if err != nil {
			return wrap(err, "%s", m.box.Base(m.i))
		}
	}
}

// read makes sure that the first n bytes, or all there are, stand in buf.
func (m *message) read(n int) error {
	if err := m.open(); err != nil {
		return err
	}
	n = int(min(int64(n), m.size))
	if n <= m.n {
		return nil
	}
	if n > len(m.buf) {
		grown := make([]byte, max(n+n/4, headRead))
		copy(grown, m.buf[:m.n])
		m.buf = grown
	}
	k, err := m.src.ReadAt(m.buf[m.n:n], int64(m.n))
	m.n += k
	if err == io.EOF {
		m.size = int64(m.n) // shorter than it was said to be
		err = nil
	}
	return err
}

// head reads the header and no more than that takes.
func (m *message) head() ([]byte, error) {
	for n := headRead; m.headLen == 0; n *= 4 {
		if err := m.read(min(n, mailmessage.MaxHeader)); err != nil {
			return nil, err
		}
		end, whole := headerEnd(m.buf[:m.n])
		if whole || int64(m.n) == m.size || n >= mailmessage.MaxHeader {
			m.headLen = end
			break
		}
	}
	return m.buf[:m.headLen], nil
}

// header tests one field, or the addresses in it.
func (m *message) header(k *condition) (bool, error) {
	block, err := m.head()
	if err != nil {
		return false, err
	}
	for name, raw := range fields(block) {
		if !sameName(name, k.Name) {
			continue
		}
		if k.Node.Text == "" || m.fieldHas(k, raw) {
			return true, nil
		}
	}
	return false, nil
}

func (m *message) fieldHas(k *condition, raw []byte) (found bool) {
	n := &k.needle
	if k.Key == search.Header && n.ascii && !n.blanks && !hidesText(raw) {
		found, m.scratch = n.in(raw, m.scratch)
		return found
	}
	field := mailmessage.Field{Raw: raw}
	var text []byte
	switch {
	case k.Key == search.Address:
		for i, a := range mailmessage.Addresses(field.Text()) {
			if i > 0 {
				text = append(text, ", "...)
			}
			if a.Name != "" {
				text = append(append(append(appendName(text, mailmessage.DecodeWords(a.Name)), " <"...), a.String()...), '>')
				continue
			}
			text = append(text, a.String()...)
		}
	case k.Name == "Subject":
		text = collapse([]byte(field.Decoded()))
	default:
		text = []byte(field.Decoded())
	}
	found, m.scratch = n.in(text, m.scratch)
	return found
}

// appendName quotes a display name that is more than atoms.
func appendName(out []byte, name string) []byte {
	if !strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf || strings.ContainsRune(`()<>[]:;@\,."`, r) }) {
		return append(out, name...)
	}
	return append(append(append(out, '"'), name...), '"')
}

// hidesText tells that ASCII may stand in a field encoded.
func hidesText(raw []byte) bool { return bytes.Contains(raw, []byte("=?")) || !isASCII(raw) }

// text is the header or the body.
func (m *message) text(c *call, n *needle) (bool, error) {
	block, err := m.head()
	if err != nil {
		return false, err
	}
	if m.headHas(block, n) {
		return true, nil
	}
	return m.body(c, n, true)
}

func (m *message) headHas(block []byte, n *needle) (found bool) {
	if n.ascii && !n.blanks && !hidesText(block) {
		found, m.scratch = n.in(block, m.scratch)
		return found
	}
	var line []byte
	for name, raw := range fields(block) {
		line = append(append(line[:0], name...), ": "...)
		line = append(line, mailmessage.Field{Raw: raw}.Decoded()...)
		if found, m.scratch = n.in(line, m.scratch); found {
			return true
		}
	}
	return false
}

func (m *message) fieldsHave(all []mailmessage.Field, n *needle) (found bool) {
	for _, f := range all {
		if found, m.scratch = n.in([]byte(f.Name+": "+f.Decoded()), m.scratch); found {
			return true
		}
	}
	return false
}
