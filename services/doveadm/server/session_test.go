package server

import "testing"

func TestACommandIsRelayed(t *testing.T) {
	t.Parallel()
	c := start(t, testOptions()).hello(2)
	got, logs := c.ask("\talice\tsearch\t-u\talice\t--\tmailbox\tINBOX\tall\n")
	if want := "-u\talice\t--\tmailbox\tINBOX\tall\t\n+\n"; got != want || logs != "" {
		t.Errorf("got %q, logs %q, want %q", got, logs, want)
	}
}
