package field

import (
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, set, want string }{
		{"in their order", "b=1 a=2 c", "b=1 a=2 c"},
		{"the later one wins, in the old place", "a=1 b=2 a=3", "a=3 b=2"},
		{"default only where there is none", "a=1 a:default=2 b:default=3", "a=1 b=3"},
		{"protected is the older word", "a=1 a:protected=2", "a=1"},
		{"remove", "a=1 b=2 a:remove", "b=2"},
		{"an empty value is not a bare field", "a= b", "a= b"},
	} {
		var l List
		for text := range strings.FieldsSeq(tt.set) {
			l.Set(Cut(text))
		}
		if got := strings.Join(l.Wire(), " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
