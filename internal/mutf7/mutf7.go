// Package mutf7 is IMAP's modified UTF-7, in which mailbox names are written on
// disk and on the wire.
//
// Runs as:   whoever imports it; pure.
// Trusts:    nobody.
// Distrusts: names on disk: one that Encode would not write is none.
// Speaks:    RFC 3501 section 5.1.3.
package mutf7

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// RFC 3501 section 5.1.3: printable ASCII stands for itself, "&" is "&-", and
// all else is UTF-16 in a base64 that has "," for "/" and no padding.
const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

func direct(r rune) bool { return r >= ' ' && r <= '~' }

// Encode gives a name in UTF-8 as modified UTF-7.
func Encode(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = direct(rune(s[i])) && s[i] != '&'
	}
	if plain {
		return s
	}
	var b strings.Builder
	var units []uint16
	shift := func() {
		if len(units) > 0 {
			b.WriteByte('&')
			appendBase64(&b, units)
			b.WriteByte('-')
			units = units[:0]
		}
	}
	for _, r := range s {
		if !direct(r) {
			units = utf16.AppendRune(units, r)
			continue
		}
		shift()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	shift()
	return b.String()
}

func appendBase64(b *strings.Builder, units []uint16) {
	bits, n := uint32(0), 0
	for _, u := range units {
		bits, n = bits<<16|uint32(u), n+16
		for n >= 6 {
			n -= 6
			b.WriteByte(base64Digits[bits>>n&63])
		}
		bits &= 1<<n - 1
	}
	if n > 0 {
		b.WriteByte(base64Digits[bits<<(6-n)&63])
	}
}

// Decode reads what Encode writes, and nothing else: two names on
// disk never show as one.
func Decode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case !direct(rune(c)):
			return "", false
		case c != '&':
			b.WriteByte(c)
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		switch {
		case end < 0:
			return "", false
		case end == 1:
			b.WriteByte('&')
		default:
			text, ok := decodeBase64(s[i+1 : i+end])
			if !ok {
				return "", false
			}
			b.WriteString(text)
		}
		i += end
	}
	d := b.String()
	return d, Encode(d) == s
}

func decodeBase64(s string) (string, bool) {
	var units []uint16
	bits, n := uint32(0), 0
	for i := range len(s) {
		d := strings.IndexByte(base64Digits, s[i])
		if d < 0 {
			return "", false
		}
		bits, n = bits<<6|uint32(d), n+6
		if n >= 16 {
			n -= 16
			units = append(units, uint16(bits>>n))
			bits &= 1<<n - 1
		}
	}
	text := string(utf16.Decode(units))
	return text, !strings.ContainsRune(text, utf8.RuneError)
}
