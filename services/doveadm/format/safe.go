package format

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Safe gives text as a log line or a terminal may show it: control characters
// and bytes that are not UTF-8 as \xNN, or \u{NNNN} where they are characters
// that turn the direction of text. One line in is one line out.
func Safe(text string) string {
	var b strings.Builder
	s := safeText{to: func(p []byte) { b.Write(p) }, oneLine: true}
	s.write([]byte(text))
	s.end()
	return b.String()
}

// hostile says whether a terminal would obey the character and not show it, or
// show others in another order.
func hostile(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x61c
}

// SafeJSON gives JSON in which the characters that Safe escapes are escaped as
// JSON does it. It means the same.
func SafeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r >= 0x7f && hostile(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// safeText escapes text that comes in pieces. LF and TAB stay, and CR before
// LF: they are layout.
type safeText struct {
	to      func([]byte)
	part    []byte // a CR or the beginning of a character, until the rest comes
	oneLine bool   // LF and CR are escaped too
}

func (s *safeText) write(piece []byte) {
	if len(s.part) > 0 {
		piece = append(s.part, piece...)
		s.part = nil
	}
	s.escape(piece, false)
}

// end takes what was held back as it is: nothing follows.
func (s *safeText) end() {
	part := s.part
	s.part = nil
	s.escape(part, true)
}

func (s *safeText) escape(piece []byte, last bool) {
	from := 0
	for i := 0; i < len(piece); {
		r, n := utf8.DecodeRune(piece[i:])
		bad := r == utf8.RuneError && n == 1
		if !last && (r == '\r' && i+1 == len(piece) || bad && !utf8.FullRune(piece[i:])) {
			s.to(piece[from:i])
			s.part = append([]byte(nil), piece[i:]...)
			return
		}
		if !bad && (!hostile(r) || r == '\t' || !s.oneLine && (r == '\n' || r == '\r' && i+1 < len(piece) && piece[i+1] == '\n')) {
			i += n
			continue
		}
		s.to(piece[from:i])
		if bad || r < 0x100 {
			r = rune(piece[i])
			if !bad {
				r, _ = utf8.DecodeRune(piece[i:])
			}
			s.to([]byte(`\x` + strconv.FormatInt(0x100+int64(r), 16)[1:]))
		} else {
			s.to([]byte(`\u{` + strconv.FormatInt(int64(r), 16) + `}`))
		}
		i += n
		from = i
	}
	s.to(piece[from:])
}
