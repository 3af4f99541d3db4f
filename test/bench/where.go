package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// endedChildren is the share of processes that lived and ended during the run:
// the per-user workers, whose CPU time is in their master's account.
const endedChildren = "ended workers"

// shares is CPU time by program, in ticks of 10 ms.
type shares map[string]float64

// byProgram reads the CPU time of a master and its living children: each under its
// name, and what the master has waited for under endedChildren.
func byProgram(master int) shares {
	s := shares{}
	if master == 0 {
		return s // not a server: the trials count for themselves
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, d := range dirs {
		text, err := os.ReadFile(d)
		if err != nil {
			continue // ended meanwhile
		}
		head, rest, _ := strings.Cut(string(text), ") ")
		pidText, name, _ := strings.Cut(head, " (")
		var pid int
		fmt.Sscan(pidText, &pid)
		f := strings.Fields(rest)
		if len(f) < 15 || pid != master && f[1] != fmt.Sprint(master) {
			continue
		}
		var own, ended float64
		for i, v := range f[11:15] { // proc(5): utime, stime, cutime, cstime
			var n float64
			fmt.Sscan(v, &n)
			if i < 2 {
				own += n
			} else {
				ended += n
			}
		}
		s[name] += own
		s[endedChildren] += ended
	}
	return s
}

// since is what was spent after before, in milliseconds per delivery.
func (s shares) since(before shares, deliveries int) shares {
	d := shares{}
	for name, n := range s {
		if spent := n - before[name]; spent > 0 {
			d[name] = spent * 10 / float64(deliveries)
		}
	}
	return d
}

// print writes the programs, the most expensive first.
func (s shares) print(w io.Writer, name string) {
	names := slices.SortedFunc(maps.Keys(s), func(a, b string) int {
		if s[a] > s[b] {
			return -1
		}
		return 1
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %.2f", n, s[n]))
	}
	fmt.Fprintf(w, "  %s, CPU ms per delivery (last round): %s\n", name, strings.Join(parts, ", "))
}
