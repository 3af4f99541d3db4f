package mailmessage

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// ErrSection says that a section's name is none.
var ErrSection = errors.New("unknown section")

// Section is a place in a message, as IMAP names it: "", "header", "text",
// "1", "1.2.mime", "2.header", "2.text", "2.1" (RFC 3501 section 6.4.5).
type Section struct {
	path []int
	what string // "", header, text, mime
}

// maxPath bounds the numbers of a section.
const maxPath = MaxDepth

// ParseSection reads a section's name; letters may be of either case.
func ParseSection(name string) (Section, error) {
	var s Section
	if name == "" {
		return s, nil
	}
	words := strings.Split(strings.ToLower(name), ".")
	if len(words) > maxPath {
		return s, ErrSection
	}
	for i, w := range words {
		n, err := strconv.Atoi(w)
		switch {
		case err == nil && n > 0 && w[0] != '+':
			s.path = append(s.path, n)
		case i == len(words)-1 && (w == "header" || w == "text" || w == "mime" && i > 0):
			s.what = w
		default:
			return s, ErrSection
		}
	}
	return s, nil
}

// Read gives the bytes of a section, or nil where the message has no such. With
// binary, transfer encodings are decoded (RFC 3516). Lines end as stored.
func (p *Part) Read(r io.ReaderAt, s Section, binary bool) io.Reader {
	at := p
	for i, n := range s.path {
		if at = at.child(n, i == 0); at == nil {
			return nil
		}
	}
	part := func(from, to int64) io.Reader { return io.NewSectionReader(r, from, to-from) }
	message := at
	if len(s.path) > 0 {
		message = nil // HEADER and TEXT are of a message, not of any part
		if at.Is("message", "rfc822") && len(at.Children) == 1 {
			message = at.Children[0]
		}
	}
	switch {
	case s.what == "mime":
		return part(at.At, at.Body)
	case s.what != "" && message == nil:
		return nil
	case s.what == "header":
		return part(message.At, message.Body)
	case s.what == "text":
		return part(message.Body, message.End)
	case len(s.path) == 0:
		return part(at.At, at.End)
	case binary:
		return at.Decoded(r)
	}
	return at.Raw(r)
}

// child gives part n of a part. Part 1 of what is no multipart is itself; a
// message counts as what is in it.
func (p *Part) child(n int, root bool) *Part {
	if !root && p.Is("message", "rfc822") && len(p.Children) == 1 {
		p, root = p.Children[0], true
	}
	if p.Is("multipart", "") {
		if n <= len(p.Children) {
			return p.Children[n-1]
		}
		return nil
	}
	if n == 1 {
		return p
	}
	return nil
}
