package main

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	rows := func(rate, cpu float64) []result {
		return []result{{Rate: rate, CPUPer: cpu}, {Rate: rate, CPUPer: cpu}}
	}
	tab := table{rounds: map[string][]result{"ours": rows(300, 3), "theirs": rows(100, 10), "short": rows(1, 1)[:1]}}
	for _, tt := range []struct {
		name, want string
		target     target
	}{
		{"rate and CPU", "): met", target{"ours", "theirs", 3, 1.0 / 3}},
		{"too slow", "): MISSED", target{"ours", "theirs", 3.1, 0}},
		{"too much CPU", "): MISSED", target{"ours", "theirs", 2, 0.25}},
		{"a distance is no target", "0.30 times in CPU per delivery", target{"ours", "theirs", 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tab.verdict(tt.target); !strings.HasSuffix(got, tt.want) {
				t.Errorf("got %q, want it to end in %q", got, tt.want)
			}
		})
	}
	for _, than := range []string{"nobody", "short"} {
		if got := tab.verdict(target{"ours", than, 1, 0}); got != "" {
			t.Errorf("against %s: got %q, want no verdict", than, got)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := median([]float64{9, 1, 5}, itself); got != 5 {
		t.Errorf("of three: got %v, want 5", got)
	}
	if got := median([]float64{4, 1, 2, 9}, itself); got != 3 {
		t.Errorf("of four: got %v, want 3", got)
	}
}
