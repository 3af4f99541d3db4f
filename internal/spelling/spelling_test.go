package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, word, want string }{
		{"a letter left out", "sbject", "subject"},
		{"a letter too many", "subjectt", "subject"},
		{"another letter", "mailbux", "mailbox"},
		{"two letters exchanged", "form", "from"},
		{"two slips in a long word", "maibux", "mailbox"},
		{"two slips in a short word are another word", "foo", ""},
		{"three slips are another word", "mabxo", ""},
		{"the first of equals", "xeen", "seen"},
		{"nothing", "", ""},
		{"a word that goes on for ever", strings.Repeat("subject", 1<<16), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Nearest(tt.word, []string{"from", "seen", "been", "subject", "mailbox", "not"}); got != tt.want {
				t.Errorf("Nearest(%.20q) = %q, want %q", tt.word, got, tt.want)
			}
		})
	}
}
