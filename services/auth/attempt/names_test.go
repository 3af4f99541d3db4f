package attempt

import (
	"strings"
	"testing"

	"culver/services/auth/vars"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	const chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@"
	for _, tt := range []struct {
		why    string
		names  Names
		format string
		name   string
		want   string // "" for an error
	}{
		{"as it is", Names{}, "%u", "Alice@Example.org", "Alice@Example.org"},
		{"in lower case", Names{Chars: chars}, "%Lu", "Alice@Example.org", "alice@example.org"},
		{"the realm where there is no domain", Names{Realm: "example.org"}, "%Lu", "alice", "alice@example.org"},
		{"and not where there is one", Names{Realm: "example.org"}, "%Lu", "alice@x", "alice@x"},
		{"and not an empty one", Names{Realm: "example.org"}, "%Lu", "alice@", "alice@"},
		{"the realm comes before the translation, as with Dovecot", Names{Realm: "realm", Translation: "%@", Chars: chars}, "%u", "alice%host", "alice@host@realm"},
		{"translated before the check", Names{Translation: "#@", Chars: chars}, "%u", "alice#host", "alice@host"},
		{"each byte once", Names{Translation: "abba"}, "%u", "aabb", "bbaa"},
		{"the first pair of a byte", Names{Translation: "abac"}, "%u", "a", "b"},
		{"half a pair is none", Names{Translation: "abc"}, "%u", "cab", "cbb"},
		{"translated before the format", Names{Translation: "/A"}, "%Lu", "/", "a"},
		{"into a byte that may not be", Names{Translation: "a*", Chars: chars}, "%u", "alice", ""},
		{"into a control byte", Names{Translation: "a\n"}, "%u", "alice", ""},
		{"a byte that may not be", Names{Chars: chars}, "%u", "alice+x", ""},
		{"a letter of two bytes", Names{Chars: chars}, "%u", "j\u00fcrgen", ""},
		{"and where all may be", Names{}, "%Lu", "J\u00dcRGEN", "j\u00dcrgen"},
		{"a realm with bytes that may not be", Names{Realm: "ex*", Chars: chars}, "%u", "alice", ""},
		{"the name alone", Names{}, "%n", "alice@example.org", "alice"},
		{"which is empty", Names{}, "%n", "@example.org", ""},
		{"empty", Names{Realm: "example.org"}, "%u", "", ""},
		{"control bytes", Names{}, "%u", "a\x00b", ""},
		{"TAB", Names{}, "%u", "a\tb", ""},
		{"as long as may be", Names{}, "%u", strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{"longer", Names{}, "%u", strings.Repeat("a", 256), ""},
		{"longer with the realm", Names{Realm: "x"}, "%u", strings.Repeat("a", 254), ""},
		{"longer, and cut by the format", Names{}, "%1u", strings.Repeat("a", 1<<20), ""},
	} {
		var err error
		if tt.names.Format, err = vars.Parse(tt.format); err != nil {
			t.Fatal(err)
		}
		got, err := tt.names.Canonical(tt.name)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %q %v, want %q", tt.why, got, err, tt.want)
		}
	}
}
