package mailmessage

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// Param is one parameter of a field, such as charset; the name is in lower case.
type Param struct{ Name, Value string }

// Part is a message or a part of one, and where it lies in the message's bytes.
type Part struct {
	Header
	Type     string  // as written; "text" where nothing is said
	Subtype  string  // as written
	Params   []Param // of Content-Type
	Encoding string  // Content-Transfer-Encoding as written; "7bit" where nothing is said

	At   int64 // the header begins
	Body int64 // the body begins, after the empty line
	End  int64 // the body ends: the line end before a boundary is not part of it

	Lines int64 // line ends in the body
	head  int64 // line ends in the header that have no CR
	bare  int64 // line ends in the body that have no CR

	Children []*Part // of a multipart; of message/rfc822 the one message in it
}

// Is tells whether the part is of a type; subtype "" is any.
func (p *Part) Is(kind, subtype string) bool {
	return strings.EqualFold(p.Type, kind) && (subtype == "" || strings.EqualFold(p.Subtype, subtype))
}

// Param gives a parameter of Content-Type.
func (p *Part) Param(name string) string {
	for _, q := range p.Params {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// HeaderSize is the header's size with CRLF line ends, its empty line included.
func (p *Part) HeaderSize() int64 { return p.Body - p.At + p.head }

// BodySize is the body's size with CRLF line ends.
func (p *Part) BodySize() int64 { return p.End - p.Body + p.bare }

// Parse reads the structure of a message of size bytes in one pass.
func Parse(r io.ReaderAt, size int64) (*Part, error) {
	p := parser{in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 32<<10)}
	root, _ := p.part("text", "plain")
	return root, p.err
}

// ReadHeader reads the header of a message of size bytes, and no more of it than
// that takes.
func ReadHeader(r io.ReaderAt, size int64) (Header, error) {
	p := parser{in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 4<<10)}
	block, _ := p.header()
	return ParseHeader(block), p.err
}

// stop is why a part ended: a boundary of the multipart at level, which it closes
// or not; level -1 is the end of the message.
type stop struct {
	level   int
	closing bool
}

var ended = stop{level: -1}

// mark is a place in the message.
type mark struct{ at, lines, bare int64 }

type parser struct {
	in     *bufio.Reader
	bounds []string // of the multiparts around, outermost first
	depth  int
	parts  int
	fields int   // of all parts
	err    error // of reading; the end of the message is none

	line  []byte // the last one read, or a piece of a long one
	start bool   // line begins a line
	again bool   // the line is to be read again
	from  mark   // before line
	here  mark   // after line
	eol   mark   // the line end before line, as lengths
}

// next reads a line, or a piece of one that is longer than the buffer.
func (p *parser) next() bool {
	if p.again {
		p.again = false
		return true
	}
	whole := len(p.line) == 0 || p.line[len(p.line)-1] == '\n'
	p.eol = mark{}
	if len(p.line) > 0 && whole {
		p.eol = mark{1, 1, 1}
		if bytes.HasSuffix(p.line, []byte("\r\n")) {
			p.eol = mark{2, 1, 0}
		}
	}
	line, err := p.in.ReadSlice('\n')
	if len(line) == 0 {
		if err != nil && err != io.EOF && p.err == nil {
			p.err = err
		}
		p.from, p.line = p.here, nil
		return false
	}
	p.line, p.start, p.from = line, whole, p.here
	p.here.at += int64(len(line))
	if line[len(line)-1] == '\n' {
		p.here.lines++
		if !bytes.HasSuffix(line, []byte("\r\n")) {
			p.here.bare++
		}
	}
	return true
}

// boundary tells whether the line is one of the multiparts around.
func (p *parser) boundary() (stop, bool) {
	if !p.start || len(p.bounds) == 0 || !bytes.HasPrefix(p.line, []byte("--")) {
		return stop{}, false
	}
	text := bytes.TrimRight(p.line[2:], " \t\r\n")
	for i := len(p.bounds) - 1; i >= 0; i-- {
		if rest, ok := bytes.CutPrefix(text, []byte(p.bounds[i])); ok && (len(rest) == 0 || bytes.HasPrefix(rest, []byte("--"))) {
			return stop{i, len(rest) > 0}, true
		}
	}
	return stop{}, false
}

// header collects the lines of a header block up to its empty line, or to a
// boundary, which is left to be read again.
func (p *parser) header() (block []byte, at *stop) {
	for p.next() {
		if s, ok := p.boundary(); ok {
			p.again = true
			return block, &s
		}
		if p.start && len(bytes.TrimRight(p.line, "\r\n")) == 0 {
			return block, nil
		}
		if len(block)+len(p.line) <= MaxHeader {
			block = append(block, p.line...)
		}
	}
	return block, &ended
}

// part reads one part and the line that ends it. The arguments are its type
// where its header names none.
func (p *parser) part(kind, subtype string) (*Part, stop) {
	p.depth++
	defer func() { p.depth-- }()
	p.parts++
	part := &Part{At: p.here.at}
	before := p.here
	block, at := p.header()
	part.Header = parseHeader(block, min(MaxFields, maxAllFields-p.fields))
	p.fields += len(part.Fields)
	part.contentType(kind, subtype)
	if at != nil { // no empty line, and so no body
		end := p.here
		if p.again {
			end = p.from
		}
		part.Body, part.End, part.head = end.at, end.at, end.bare-before.bare
		if p.again {
			p.again = false
		}
		if at.level >= 0 {
			p.again = true
			p.next()
		}
		return part, *at
	}
	body := p.here
	part.Body, part.head = body.at, body.bare-before.bare
	s := p.body(part)
	// What stands before this line belongs to the part, but for the line end that
	// belongs to the boundary (RFC 2046 section 5.1.1).
	end := p.from
	if s.level >= 0 {
		end = mark{end.at - p.eol.at, end.lines - p.eol.lines, end.bare - p.eol.bare}
	}
	if end.at < body.at {
		end = body
	}
	part.End, part.Lines, part.bare = end.at, end.lines-body.lines, end.bare-body.bare
	part.confine()
	return part, s
}

// confine puts a last child that has nothing, not even the line end that is the
// boundary's, inside its parent.
func (part *Part) confine() {
	for p := part; len(p.Children) > 0; {
		last := p.Children[len(p.Children)-1]
		last.At, last.Body, last.End = min(last.At, p.End), min(last.Body, p.End), min(last.End, p.End)
		p = last
	}
}

func (p *parser) body(part *Part) stop {
	room := p.depth < MaxDepth && p.parts < MaxParts
	switch {
	case room && part.Is("multipart", "") && part.Param("boundary") != "":
		return p.multipart(part)
	case room && part.Is("message", "rfc822"):
		inner, s := p.part("text", "plain")
		part.Children = []*Part{inner}
		return s
	}
	return p.skip()
}

func (p *parser) multipart(part *Part) stop {
	level := len(p.bounds)
	p.bounds = append(p.bounds, strings.TrimRight(part.Param("boundary"), " \t"))
	kind, subtype := "text", "plain"
	if part.Is("multipart", "digest") {
		kind, subtype = "message", "rfc822"
	}
	s := p.skip()
	for s.level == level && !s.closing && p.parts < MaxParts {
		var child *Part
		child, s = p.part(kind, subtype)
		part.Children = append(part.Children, child)
	}
	p.bounds = p.bounds[:level]
	if s.level == level {
		return p.skip()
	}
	return s
}

// skip reads up to a boundary or the end.
func (p *parser) skip() stop {
	for p.next() {
		if s, ok := p.boundary(); ok {
			return s
		}
	}
	return ended
}

func (part *Part) contentType(kind, subtype string) {
	part.Type, part.Subtype, part.Encoding = kind, subtype, "7bit"
	if text := part.value("Content-Type"); text != "" {
		head, params := Params(text)
		if k, s, ok := strings.Cut(head, "/"); ok && k != "" && s != "" {
			part.Type, part.Subtype, part.Params = strings.TrimSpace(k), strings.TrimSpace(s), params
		}
	}
	if e := strings.TrimSpace(uncommented(part.value("Content-Transfer-Encoding"))); e != "" {
		part.Encoding = e
	}
}

// maxParams bounds the parameters of one field.
const maxParams = 100

// Params cuts a field such as Content-Type into its value and its parameters
// (RFC 2045 section 5.1).
func Params(text string) (head string, params []Param) {
	text = uncommented(text)
	head, rest, _ := strings.Cut(text, ";")
	for rest != "" && len(params) < maxParams {
		var name string
		var ok bool
		if name, rest, ok = strings.Cut(rest, "="); !ok {
			break
		}
		if i := strings.LastIndexByte(name, ';'); i >= 0 {
			name = name[i+1:]
		}
		var value string
		value, rest = paramValue(strings.TrimLeft(rest, " \t\r\n"))
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			params = append(params, Param{name, value})
		}
	}
	return strings.TrimSpace(head), params
}

func paramValue(from string) (value, rest string) {
	if from == "" || from[0] != '"' {
		value, rest, _ = strings.Cut(from, ";")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	i := 1
	for ; i < len(from) && from[i] != '"'; i++ {
		if from[i] == '\\' && i+1 < len(from) {
			i++
		}
		b.WriteByte(from[i])
	}
	if i < len(from) {
		i++
	}
	_, rest, _ = strings.Cut(from[i:], ";")
	return b.String(), rest
}

// uncommented leaves out comments that are in no quoted string.
func uncommented(text string) string {
	if !strings.Contains(text, "(") {
		return text
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted && i+1 < len(text):
			b.WriteByte(c)
			i++
		case c == '"':
			quoted = !quoted
		case c == '(' && !quoted:
			_, rest := comment(text[i:])
			text, i = rest, -1
			continue
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
