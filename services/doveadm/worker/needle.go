package worker

import (
	"bytes"
	"encoding/binary"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// needle is a text to look for, whatever the case of its letters.
type needle struct {
	folded []byte
	run    []byte // its longest piece of ASCII: where that is not, the needle is not
	ascii  bool
	blanks bool // has white space, which a folded header line may have doubled
}

func newNeedle(s string) needle {
	n := needle{folded: fold(nil, []byte(s)), ascii: true}
	for _, c := range n.folded {
		n.ascii = n.ascii && c < utf8.RuneSelf
		n.blanks = n.blanks || c == ' ' || c == '\t' || c == '\r' || c == '\n'
	}
	begin := 0
	for i := 0; i <= len(n.folded); i++ {
		if i == len(n.folded) || n.folded[i] >= utf8.RuneSelf {
			if i-begin > len(n.run) {
				n.run = n.folded[begin:i]
			}
			begin = i + 1
		}
	}
	return n
}

// in looks for the needle in text. scratch is memory to use, and is given back
// as it has grown.
func (n *needle) in(text, scratch []byte) (bool, []byte) {
	if len(n.folded) == 0 {
		return true, scratch
	}
	if n.ascii && isASCII(text) {
		scratch = lower(scratch, text)
	} else {
		scratch = fold(scratch[:0], text)
	}
	return bytes.Contains(scratch, n.folded), scratch
}

// lower gives text with A-Z in lower case, in the memory of scratch. Eight bytes
// at a time: the search for a word in a mailbox is mostly this.
func lower(scratch, text []byte) []byte {
	if cap(scratch) < len(text) {
		scratch = make([]byte, len(text)+len(text)/4)
	}
	out := scratch[:len(text)]
	i := 0
	for ; i+8 <= len(text); i += 8 {
		const ones = 0x0101010101010101
		w := binary.LittleEndian.Uint64(text[i:])
		low := w & (0x7f * ones)
		// The high bit of each byte: at least 'A', and not above 'Z', and ASCII.
		upper := (low + (0x80-'A')*ones) &^ (low + (0x7f-'Z')*ones) &^ w & (0x80 * ones)
		binary.LittleEndian.PutUint64(out[i:], w|upper>>2)
	}
	for ; i < len(text); i++ {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}

// isASCII tells that no byte has its highest bit set.
func isASCII(text []byte) bool {
	const high = 0x8080808080808080
	for len(text) >= 8 {
		if binary.LittleEndian.Uint64(text)&high != 0 {
			return false
		}
		text = text[8:]
	}
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// fold appends text with every letter in the form that all its cases share, and
// its marks after it, so that "cafe" is found in "café", as Dovecot does. Bytes
// that are no UTF-8 stay.
func fold(out, text []byte) []byte {
	for len(text) > 0 {
		c := text[0]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c |= 0x20
			}
			out = append(out, c)
			text = text[1:]
			continue
		}
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			out = append(out, c)
			text = text[1:]
			continue
		}
		if parts := norm.NFKD.Properties(text[:size]).Decomposition(); parts != nil {
			for _, r := range string(parts) {
				out = utf8.AppendRune(out, unicode.ToLower(unicode.ToUpper(r)))
			}
		} else {
			out = utf8.AppendRune(out, unicode.ToLower(unicode.ToUpper(r)))
		}
		text = text[size:]
	}
	return out
}
