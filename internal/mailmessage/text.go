package mailmessage

import (
	"bufio"
	"html"
	"io"
	"strings"
)

// Walk calls f for each part, a parent before its children.
func (p *Part) Walk(f func(*Part) error) error {
	if err := f(p); err != nil {
		return err
	}
	for _, child := range p.Children {
		if err := child.Walk(f); err != nil {
			return err
		}
	}
	return nil
}

// Leaf tells that the part has a body of its own, and not parts.
func (p *Part) Leaf() bool { return len(p.Children) == 0 && !p.Is("multipart", "") }

// WriteText writes the message as readable UTF-8: each header line unfolded and
// decoded, each body decoded; boundaries, preambles and epilogues left out.
func (p *Part) WriteText(w io.Writer, r io.ReaderAt) error {
	return p.Walk(func(part *Part) error {
		for _, f := range part.Fields {
			if _, err := io.WriteString(w, f.Name+": "+f.Decoded()+"\n"); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
		if !part.Leaf() {
			return nil
		}
		body := part.Decoded(r)
		if part.Is("text", "") {
			body = part.Text(r)
		}
		_, err := io.Copy(w, body)
		return err
	})
}

// snippetSize is how many characters a Snippet has at most.
const snippetSize = 200

// Snippet is the beginning of the first text, without markup and quoted lines.
func (p *Part) Snippet(r io.ReaderAt) (string, error) {
	leaf := p.firstText()
	if leaf == nil {
		return "", nil
	}
	// Text, and the markup around it, is looked for this far.
	in := bufio.NewReader(io.LimitReader(leaf.Text(r), 128<<10))
	var b snippet
	var err error
	if leaf.Is("text", "html") {
		err = b.html(in)
	} else {
		err = b.plain(in)
	}
	return b.String(), err
}

func (p *Part) firstText() *Part {
	if p.Leaf() {
		if p.Is("text", "") {
			return p
		}
		return nil
	}
	for _, child := range p.Children {
		if t := child.firstText(); t != nil {
			return t
		}
	}
	return nil
}

// snippet collects words.
type snippet struct {
	strings.Builder
	n     int
	blank bool
}

func (s *snippet) full() bool { return s.n >= snippetSize }

func (s *snippet) put(c rune) {
	switch {
	case s.full():
	case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\u00a0' || c < ' ':
		s.blank = true
	default:
		if s.blank && s.n > 0 {
			s.WriteByte(' ')
			if s.n++; s.full() {
				return
			}
		}
		s.blank = false
		s.WriteRune(c)
		s.n++
	}
}

func (s *snippet) plain(in *bufio.Reader) error {
	quoted, start := false, true
	for !s.full() {
		c, _, err := in.ReadRune()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if start {
			quoted = c == '>'
		}
		if start = c == '\n'; !quoted || start {
			s.put(c)
		}
	}
	return nil
}

// html takes the text between tags, but for that of elements which are not read.
func (s *snippet) html(in *bufio.Reader) error {
	hidden := "" // the element whose end is awaited
	nested := 0
	for !s.full() {
		c, _, err := in.ReadRune()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		switch {
		case c == '<':
			name, err := tag(in)
			if err != nil {
				return nil
			}
			end := strings.HasPrefix(name, "/")
			name = strings.TrimPrefix(name, "/")
			switch {
			case hidden == "" && !end && unread(name):
				hidden, nested = name, 1
			case hidden == name && end:
				if nested--; nested == 0 {
					hidden = ""
				}
			case hidden == name:
				nested++
			}
			s.put(' ')
		case hidden != "":
		case c == '&':
			s.entity(in)
		default:
			s.put(c)
		}
	}
	return nil
}

func unread(element string) bool {
	switch element {
	case "head", "title", "style", "script", "blockquote":
		return true
	}
	return false
}

// tag reads to the end of a tag or comment and gives its name in lower case.
func tag(in *bufio.Reader) (name string, err error) {
	if b, _ := in.Peek(3); string(b) == "!--" {
		for dashes := 0; ; {
			switch c, err := in.ReadByte(); {
			case err != nil:
				return "", err
			case c == '-':
				dashes++
			case c == '>' && dashes >= 2:
				return "", nil
			default:
				dashes = 0
			}
		}
	}
	var b strings.Builder
	var quote byte
	inName := true
	for {
		c, err := in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '>':
			return strings.ToLower(strings.TrimSuffix(b.String(), "/")), nil
		case !inName && (c == '"' || c == '\''):
			quote = c
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			inName = false
		case inName && b.Len() < 20:
			b.WriteByte(c)
		}
	}
}

// entity reads what follows an ampersand.
func (s *snippet) entity(in *bufio.Reader) {
	const longest = 10
	b, _ := in.Peek(longest)
	name, _, ok := strings.Cut(string(b), ";")
	if !ok {
		s.put('&')
		return
	}
	text := html.UnescapeString("&" + name + ";")
	if strings.HasPrefix(text, "&") && name != "amp" {
		s.put('&')
		return
	}
	in.Discard(len(name) + 1)
	for _, c := range text {
		s.put(c)
	}
}
