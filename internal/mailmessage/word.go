package mailmessage

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// DecodeWords replaces encoded words (RFC 2047) by their text. White space
// between two of them is not text; a word that cannot be decoded stays.
func DecodeWords(text string) string {
	if !strings.Contains(text, "=?") {
		return validUTF8(text)
	}
	var out strings.Builder
	rest := text
	lastWord := false
	for {
		at := strings.Index(rest, "=?")
		if at < 0 {
			break
		}
		word, n, ok := decodeWord(rest[at:])
		if !ok {
			out.WriteString(validUTF8(rest[:at+2]))
			rest, lastWord = rest[at+2:], false
			continue
		}
		if !lastWord || strings.Trim(rest[:at], " \t\r\n") != "" {
			out.WriteString(validUTF8(rest[:at]))
		}
		out.WriteString(word)
		rest, lastWord = rest[at+n:], true
	}
	out.WriteString(validUTF8(rest))
	return out.String()
}

// maxWord bounds an encoded word. RFC 2047 section 2 has 75; programs write more.
const maxWord = 4096

// decodeWord reads =?charset*language?q?text?= at the beginning of from, and
// tells how long it is.
func decodeWord(from string) (text string, n int, ok bool) {
	from = from[:min(len(from), maxWord)]
	q := strings.IndexByte(from[2:], '?')
	if q <= 0 || len(from) < 2+q+3 || from[2+q+2] != '?' {
		return "", 0, false
	}
	name, _, _ := strings.Cut(from[2:2+q], "*")
	kind := from[2+q+1]
	body := from[2+q+3:]
	end := strings.Index(body, "?=")
	if end < 0 {
		return "", 0, false
	}
	var raw []byte
	switch kind {
	case 'q', 'Q':
		raw = wordQ(body[:end])
	case 'b', 'B':
		var err error
		if raw, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(body[:end], "=")); err != nil {
			return "", 0, false
		}
	default:
		return "", 0, false
	}
	return toUTF8(name, raw), 2 + q + 3 + end + 2, true
}

func wordQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
