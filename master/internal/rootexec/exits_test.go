package rootexec

import "testing"

func TestExits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(e *Exits[string]) (string, bool)
		want string // "" for a child that lives
	}{
		{"a child that lives", func(e *Exits[string]) (string, bool) {
			e.Asked(1)
			return e.Born(1, 100)
		}, ""},
		{"a child reaped before its result", func(e *Exits[string]) (string, bool) {
			e.Asked(1)
			e.Ended(100, "gone")
			return e.Born(1, 100)
		}, "gone"},
		{"a pid that ended before the birth was asked for", func(e *Exits[string]) (string, bool) {
			e.Asked(1)
			e.Ended(100, "another")
			e.Asked(2)
			return e.Born(2, 100)
		}, ""},
		{"an exec that failed leaves nothing behind", func(e *Exits[string]) (string, bool) {
			e.Asked(1)
			e.Ended(100, "no exec")
			e.Born(1, 0)
			e.Asked(2)
			return e.Born(2, 100)
		}, ""},
		{"an end that nobody waits for", func(e *Exits[string]) (string, bool) {
			e.Ended(100, "spawner")
			e.Asked(1)
			return e.Born(1, 100)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var e Exits[string]
			got, ended := tt.do(&e)
			if got != tt.want || ended != (tt.want != "") {
				t.Errorf("got %q %t, want %q", got, ended, tt.want)
			}
			if len(e.early) != 0 && len(e.asked) == 0 {
				t.Errorf("%d ends are kept for nobody", len(e.early))
			}
		})
	}
}
