package worker

import (
	"bytes"
	"iter"

	"culver/internal/mailmessage"
)

// fields gives the fields of a header block as they are stored, without the
// blanks around them.
func fields(block []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, raw []byte) bool) {
		for name, raw := range mailmessage.Fields(block) {
			for n := len(raw); n > 0 && (raw[n-1] == ' ' || raw[n-1] == '\t' || raw[n-1] == '\r' || raw[n-1] == '\n'); n-- {
				raw = raw[:n-1]
			}
			if !yield(name, raw) {
				return
			}
		}
	}
}

// headerEnd gives how long the header is, its empty line included; false where
// the block does not hold its end.
func headerEnd(b []byte) (int, bool) {
	if len(b) > 0 && b[0] == '\n' {
		return 1, true
	}
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return 2, true
	}
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 {
			return len(b), false
		}
		at += n + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1, true
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2, true
		}
	}
}

// sameName compares header field names.
func sameName(a []byte, b string) bool {
	return len(a) == len(b) && bytes.EqualFold(a, []byte(b))
}

// collapse makes white space runs one blank, as a subject is shown.
func collapse(text []byte) []byte { return bytes.Join(bytes.Fields(text), []byte(" ")) }
