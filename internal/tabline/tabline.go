// Package tabline is the framing that our line protocols share: fields
// separated by single TABs, with five bytes escaped by 0x01 (spec/auth.md 1.1).
//
// Runs as:   whoever imports it; pure.
// Trusts:    nobody.
// Distrusts: every line; decoding never fails and never grows a field.
// Speaks:    0x01 '0' NUL, '1' 0x01, 't' TAB, 'r' CR, 'n' LF.
package tabline

import "strings"

const escape = 0x01

// Escape gives s with NUL, 0x01, TAB, CR and LF escaped.
func Escape(s string) string {
	if !strings.ContainsAny(s, "\x00\x01\t\r\n") {
		return s
	}
	return string(appendEscaped(make([]byte, 0, len(s)+8), s))
}

// AppendBytes adds b to out, escaped.
func AppendBytes(out, b []byte) []byte { return appendEscaped(out, b) }

func appendEscaped[T string | []byte](out []byte, s T) []byte {
	done := 0 // what is before was added
	for i := range len(s) {
		var c byte
		switch s[i] {
		case 0:
			c = '0'
		case escape:
			c = '1'
		case '\t':
			c = 't'
		case '\r':
			c = 'r'
		case '\n':
			c = 'n'
		default:
			continue
		}
		out = append(append(out, s[done:i]...), escape, c)
		done = i + 1
	}
	return append(out, s[done:]...)
}

// Unescape reverses Escape. Another byte after 0x01 stands for itself and a
// lone 0x01 at the end is dropped, as Dovecot does.
func Unescape(s string) string {
	if strings.IndexByte(s, escape) < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != escape {
			out = append(out, s[i])
			continue
		}
		i++
		if i == len(s) {
			break
		}
		switch s[i] {
		case '0':
			out = append(out, 0)
		case '1':
			out = append(out, escape)
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

// Append adds the fields to out, escaped and separated by TABs, without a line
// end.
func Append(out []byte, fields ...string) []byte {
	for i, f := range fields {
		if i > 0 {
			out = append(out, '\t')
		}
		out = appendEscaped(out, f)
	}
	return out
}

// Split cuts a line, without its line end, into unescaped fields.
func Split(line string) []string {
	fields := strings.Split(line, "\t")
	for i, f := range fields {
		fields[i] = Unescape(f)
	}
	return fields
}
