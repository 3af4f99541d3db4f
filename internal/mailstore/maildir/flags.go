package maildir

import (
	"bytes"
	"slices"
	"strings"
)

// Flags are the flags of a message that have a letter of their own.
type Flags uint8

// In the order of their letters.
const (
	Draft Flags = 1 << iota
	Flagged
	Passed // forwarded: kept in the name, not an IMAP flag
	Answered
	Seen
	Deleted
)

// flagLetters are the letters of the Flags, from the lowest bit up.
const flagLetters = "DFPRST"

// Letters gives the flags as a file name has them.
func (f Flags) Letters() string {
	var b []byte
	for i := range len(flagLetters) {
		if f&(1<<i) != 0 {
			b = append(b, flagLetters[i])
		}
	}
	return string(b)
}

// parseInfo reads what follows the base name, from its colon on. Info of an
// unknown version has no flags.
func parseInfo(info []byte) (f Flags, keywords uint32) {
	letters, _, ok := cutInfo(info)
	if !ok {
		return 0, 0
	}
	for _, c := range letters {
		if i := strings.IndexByte(flagLetters, c); i >= 0 {
			f |= 1 << i
		} else if c >= 'a' && c <= 'z' {
			keywords |= 1 << (c - 'a')
		}
	}
	return f, keywords
}

// cutInfo finds the flag letters, and the rest from the second comma on, which
// belongs to others and is kept. A base name with a second colon is ambiguous;
// flags are read after the last one (spec/maildir.md 2).
func cutInfo(info []byte) (letters, rest []byte, ok bool) {
	at := bytes.LastIndexByte(info, ':')
	if at < 0 || !bytes.HasPrefix(info[at:], []byte(":2,")) {
		return nil, nil, false
	}
	letters = info[at+3:]
	if c := bytes.IndexByte(letters, ','); c >= 0 {
		letters, rest = letters[:c], letters[c:]
	}
	return letters, rest, true
}

// withFlags gives the name that the file shall have. Letters that nobody knows
// stay; all are sorted, as Dovecot writes them.
func withFlags(name []byte, f Flags, keywords uint32) []byte {
	base, info := name, []byte(nil)
	if at := bytes.IndexByte(name, ':'); at >= 0 {
		base, info = name[:at], name[at:]
	}
	old, rest, _ := cutInfo(info)
	letters := []byte(f.Letters())
	for i := range 26 {
		if keywords&(1<<i) != 0 {
			letters = append(letters, byte('a'+i))
		}
	}
	for _, c := range old {
		if strings.IndexByte(flagLetters, c) < 0 && (c < 'a' || c > 'z') {
			letters = append(letters, c)
		}
	}
	slices.Sort(letters)
	letters = slices.Compact(letters)
	out := append(slices.Clip(slices.Clone(base)), ":2,"...)
	return append(append(out, letters...), rest...)
}
