package search

import (
	"math"
	"strconv"
	"strings"
)

// Range is from Lo to Hi, both included. Star stands for the "*" of a set.
type Range struct{ Lo, Hi uint32 }

// Star is the last message of a mailbox.
const Star = 0

// Set is a list of ranges.
type Set []Range

// parseSet reads "1,3:5,9:*".
func parseSet(s string) (Set, bool) {
	var set Set
	for part := range strings.SplitSeq(s, ",") {
		lo, hi, ranged := strings.Cut(part, ":")
		a, ok := parseSetNumber(lo)
		b := a
		if ok && ranged {
			b, ok = parseSetNumber(hi)
		}
		if !ok {
			return nil, false
		}
		if b != Star && (a == Star || a > b) {
			a, b = b, a
		}
		set = append(set, Range{a, b})
	}
	return set, true
}

func parseSetNumber(s string) (uint32, bool) {
	if s == "*" {
		return Star, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && s[0] != '+'
}

// HasSeq tells whether a sequence number is in the set, in a mailbox of last
// messages: "9:*" is the last one where there are fewer.
func (s Set) HasSeq(n, last uint32) bool {
	for _, r := range s {
		lo, hi := r.Lo, r.Hi
		if hi == Star {
			hi = last
		}
		if lo == Star || lo > last && r.Hi == Star {
			lo = last
		}
		if lo <= n && n <= hi {
			return true
		}
	}
	return false
}

// HasUID tells whether a UID is in the set. "*" alone is the mailbox's last
// mail, as the manual has it; "9:*" is 9 and above, and so may be nothing:
// whoever asks for what came since would not thank us for the mail before.
func (s Set) HasUID(n, last uint32) bool {
	for _, r := range s {
		lo, hi := r.Lo, r.Hi
		if lo == Star {
			lo, hi = last, last
		} else if hi == Star {
			hi = math.MaxUint32
		}
		if lo <= n && n <= hi {
			return true
		}
	}
	return false
}
