package maildir

import (
	"fmt"
	"strings"
)

// HasWildcard tells a mask from a name.
func HasWildcard(mask string) bool { return strings.ContainsAny(mask, "*%") }

// matcher holds masks as IMAP's LIST has them: * is anything, % is anything
// within one level.
type matcher struct {
	s     *Store
	masks []string
	err   error
}

func (s *Store) matcher(masks []string) matcher {
	m := matcher{s: s, masks: masks}
	for _, mask := range masks {
		if len(mask) > maxMask {
			m.err = badName(fmt.Sprintf("A mask has more than %d bytes", maxMask))
		}
	}
	return m
}

func (m matcher) match(name string) bool {
	for _, mask := range m.masks {
		if m.s.Match(mask, name) {
			return true
		}
	}
	return len(m.masks) == 0
}

// Match compares a full name with a mask. INBOX has no case, also as the first
// level of other names.
func (s *Store) Match(mask, name string) bool {
	fold := 0
	if rest, ok := strings.CutPrefix(name, "INBOX"); ok && (rest == "" || strings.HasPrefix(rest, s.c.Separator)) {
		fold = len("INBOX")
	}
	// All places in the mask that the name so far may have led to. Trying one
	// after the other would let a hostile mask take for ever.
	at := make([]bool, len(mask)+1)
	next := make([]bool, len(mask)+1)
	at[0] = true
	passWildcards(mask, at)
	for i := range len(name) {
		clear(next)
		c, alive := name[i], false
		for p := range len(mask) {
			switch {
			case !at[p]:
			case mask[p] == '*', mask[p] == '%' && !strings.HasPrefix(name[i:], s.c.Separator):
				next[p], alive = true, true
			case mask[p] == c, i < fold && upper(mask[p]) == c:
				next[p+1], alive = true, true
			}
		}
		if !alive {
			return false
		}
		at, next = next, at
		passWildcards(mask, at)
	}
	return at[len(mask)]
}

// passWildcards lets each wildcard stand for nothing.
func passWildcards(mask string, at []bool) {
	for p := range len(mask) {
		if at[p] && (mask[p] == '*' || mask[p] == '%') {
			at[p+1] = true
		}
	}
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
