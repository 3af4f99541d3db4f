package authproto

import (
	"strings"
	"testing"
)

func TestMatchMask(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mask, name string
		want       bool
	}{
		{"*", "", true}, {"*", "a@b", true}, {"", "", true}, {"", "a", false},
		{"a*", "alice", true}, {"A*", "alice", true}, {"*@x", "a@y", false}, {"*@x", "a@x", true},
		{"?ob", "bob", true}, {"?", "", false}, {"a**b", "ab", true}, {"*a*b*c*", "xxaxxbxxc", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\?`, "a?", true}, {"a*b*c", "abcb", false},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 200), false},
	} {
		if got := MatchMask(tt.mask, tt.name); got != tt.want {
			t.Errorf("%q on %q: got %t, want %t", tt.mask, tt.name, got, tt.want)
		}
	}
}
