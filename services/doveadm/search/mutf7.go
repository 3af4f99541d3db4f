package search

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

var mutf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// decodeMUTF7 reads IMAP's modified UTF-7 (RFC 3501 section 5.1.3).
func decodeMUTF7(s string) (string, bool) {
	var b strings.Builder
	for {
		plain, rest, shifted := strings.Cut(s, "&")
		b.WriteString(plain)
		if !shifted {
			return b.String(), true
		}
		code, after, closed := strings.Cut(rest, "-")
		if !closed {
			return "", false
		}
		s = after
		if code == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := mutf7Base64.DecodeString(code)
		if err != nil || len(raw)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		for _, r := range utf16.Decode(units) {
			b.WriteRune(r)
		}
	}
}
