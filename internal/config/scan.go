package config

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// fault is something wrong at a byte of a source.
type fault struct {
	offset     int
	what, hint string
}

// scanner walks a source once before HCL does: it guards %{ and ${ in strings,
// repairs a { on its own line, and finds what does not balance. HCL would
// report the last thing many times, at places far from the cause.
type scanner struct {
	*source
	open      []bracket
	suspect   *bracket // a block that its indentation says was meant to end
	before    int      // line index at which the suspicion arose
	comment   int      // where the comment on the current line begins, or -1
	minor     []fault  // repaired
	lastToken int      // line index of the last line that has text
}

type bracket struct {
	offset, line, indent int
	kind                 byte
}

// scan prepares s.safe. A fatal fault means that the rest cannot be understood.
func (s *source) scan() (minor []fault, fatal *fault) {
	if i := bytes.IndexByte(s.text, guard); i >= 0 {
		return nil, &fault{i, "control byte 0x01", "remove it"}
	}
	if !utf8.Valid(s.text) {
		return nil, &fault{firstInvalid(s.text), "bytes that are not UTF-8", "save the file as UTF-8"}
	}
	if bytes.HasPrefix(s.text, []byte("\ufeff")) {
		return nil, &fault{0, "a byte order mark", "save the file as UTF-8 without it"}
	}
	c := &scanner{source: s, lastToken: -1}
	inComment := false
	for i := range s.lines {
		var f *fault
		if l := s.lines[i]; l.end-l.start > maxLine {
			return c.minor, &fault{l.start, fmt.Sprintf("a line of more than %d bytes", maxLine), ""}
		}
		if inComment, f = c.line(i, inComment); f != nil {
			return c.minor, f
		}
		s.lines[i].depth = len(c.open)
	}
	if len(c.open) > 0 {
		return c.minor, c.unclosed()
	}
	return c.minor, nil
}

func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return 0
}

// line scans one line and tells whether a /* comment goes on behind it.
func (c *scanner) line(i int, inComment bool) (bool, *fault) {
	l := c.lines[i]
	first := true // no text seen yet
	c.comment = -1
	for at := l.start; at < l.end; at++ {
		b := c.text[at]
		next := byte(0)
		if at+1 < l.end {
			next = c.text[at+1]
		}
		switch {
		case inComment:
			if b == '*' && next == '/' {
				inComment = false
				at++
			}
			continue
		case b == ' ' || b == '\t' || b == '\r':
			continue
		case b == '#' || b == '/' && next == '/':
			c.noteText(i, first, at)
			return false, nil
		case b == '/' && next == '*':
			inComment = true
			at++
			continue
		case b == '"':
			c.indented(i, first)
			end, ok := c.quoted(at, l.end)
			if !ok {
				return false, &fault{at, "a quote that is not closed on its line", `end the text with "`}
			}
			at = end
		case b == '{' || b == '[' || b == '(':
			if b == '{' && first && c.lastToken >= 0 {
				c.rejoin(at)
			}
			c.open = append(c.open, bracket{at, i, c.indent(i), b})
			if len(c.open) > maxDepth {
				return false, &fault{at, fmt.Sprintf("more than %d brackets inside each other", maxDepth), ""}
			}
		case b == '}' || b == ']' || b == ')':
			if first && b == '}' && len(c.open) > 0 && c.indent(i) < c.top().indent {
				c.suspicious(i)
			}
			if f := c.close(at, b); f != nil {
				return false, f
			}
		default:
			c.indented(i, first)
		}
		first = false
	}
	if !first {
		c.lastToken = i
	}
	return inComment, nil
}

// noteText remembers a line that holds text before its comment.
func (c *scanner) noteText(i int, blank bool, comment int) {
	c.comment = comment
	if !blank {
		c.lastToken = i
	}
}

// quoted finds the end of a string and guards what HCL would interpret.
func (c *scanner) quoted(at, end int) (int, bool) {
	for i := at + 1; i < end; i++ {
		switch c.text[i] {
		case '\\':
			i++
		case '"':
			return i, true
		case '{':
			if p := c.text[i-1]; p == '%' || p == '$' {
				c.safe[i] = guard
			}
		}
	}
	return 0, false
}

// rejoin moves a { that begins a line to the end of the text before it, by
// exchanging it with the line end there: no line changes its number.
func (c *scanner) rejoin(at int) {
	c.minor = append(c.minor, fault{at, "{ on a line of its own", "put it at the end of the line before"})
	l := c.lines[c.lastToken]
	end := l.end
	blankComment(c.safe[l.start:l.end])
	if end >= len(c.safe) || c.safe[end] != '\n' {
		return
	}
	if c.safe[end-1] == '\r' {
		c.safe[end-1] = ' '
	}
	c.safe[end], c.safe[at] = '{', '\n'
}

// blankComment blanks a # or // comment at the end of a line.
func blankComment(text []byte) {
	inString := false
	for i := 0; i < len(text); i++ {
		switch {
		case inString && text[i] == '\\':
			i++
		case text[i] == '"':
			inString = !inString
		case !inString && (text[i] == '#' || text[i] == '/' && i+1 < len(text) && text[i+1] == '/'):
			for ; i < len(text); i++ {
				if text[i] != '\r' {
					text[i] = ' '
				}
			}
		}
	}
}

func (c *scanner) top() bracket { return c.open[len(c.open)-1] }

// indent is how far a line is indented; a tab counts as eight.
func (c *scanner) indent(i int) int {
	n := 0
	for _, b := range c.text[c.lines[i].start:c.lines[i].end] {
		switch b {
		case ' ':
			n++
		case '\t':
			n += 8
		default:
			return n
		}
	}
	return n
}

// indented looks at the first text of a line: standing no deeper than the line
// that opened a block, it was probably meant to be behind that block.
func (c *scanner) indented(i int, first bool) {
	if first && len(c.open) > 0 && c.top().line < i && c.indent(i) <= c.top().indent {
		c.suspicious(i)
	}
}

func (c *scanner) suspicious(i int) {
	if c.suspect == nil {
		b := c.top()
		c.suspect, c.before = &b, i
	}
}

func (c *scanner) close(at int, kind byte) *fault {
	if len(c.open) == 0 {
		return &fault{at, fmt.Sprintf("%q closes nothing", string(kind)), "a { too few before it, or one of these too many"}
	}
	if want := closer(c.top().kind); kind != want {
		if c.suspect != nil {
			return c.unclosed()
		}
		b := c.top()
		return &fault{b.offset, fmt.Sprintf("%q is not closed", string(b.kind)), fmt.Sprintf("line %d closes something else", c.lineAt(at)+1)}
	}
	c.open = c.open[:len(c.open)-1]
	return nil
}

func closer(open byte) byte {
	switch open {
	case '{':
		return '}'
	case '[':
		return ']'
	}
	return ')'
}

// unclosed is the one fault of a file with too few closing brackets.
func (c *scanner) unclosed() *fault {
	b, hint := c.top(), "the file ends before it is"
	if c.suspect != nil {
		b, hint = *c.suspect, fmt.Sprintf("probably a %s is missing before line %d", string(closer(c.suspect.kind)), c.before+1)
	}
	return &fault{b.offset, fmt.Sprintf("%q is not closed", string(b.kind)), hint}
}
