package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// measure is one run of one contestant, from empty Maildirs to counted mail.
func measure(ctx context.Context, c contestant, l load) (result, error) {
	if err := c.users.Empty(); err != nil {
		return result{}, err
	}
	before, err := cpuTimes()
	if err != nil {
		return result{}, err
	}
	spent := byProgram(c.pid)
	r, err := c.run(ctx, l)
	if err != nil {
		return r, err
	}
	r.where = byProgram(c.pid).since(spent, l.total*l.recipients)
	after, err := cpuTimes()
	if err != nil {
		return r, err
	}
	r.steal = 100 * (after.steal - before.steal) / max(1, after.all-before.all)
	n, err := c.users.Count()
	if err == nil && n != l.total*l.recipients {
		err = fmt.Errorf("the Maildirs hold %d messages, want %d", n, l.total*l.recipients)
	}
	return r, err
}

// ticks are the machine's CPU times, as vmstat reads them.
type ticks struct{ all, steal float64 }

func cpuTimes() (ticks, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	var t ticks
	for i, f := range strings.Fields(first)[1:] {
		var v float64
		fmt.Sscan(f, &v)
		if i < 8 { // guest times are part of user and nice
			t.all += v
		}
		if i == 7 {
			t.steal = v
		}
	}
	return t, nil
}

// table gathers the rounds of one load.
type table struct {
	load   load
	plan   plan
	names  []string
	rounds map[string][]result
}

func (t *table) add(name string, round int, r result) {
	if t.rounds == nil {
		t.rounds = map[string][]result{}
	}
	if round == 0 {
		t.names = append(t.names, name)
	}
	t.rounds[name] = append(t.rounds[name], r)
}

// target is a promise: this contestant against that one.
type target struct {
	name, than string
	rate       float64 // at least so many times the rate
	cpu        float64 // at most this share of the CPU per delivery; 0: none
}

var targets = map[int][]target{
	1: {{culverOne, dovecotOne, 3, 1.0 / 3}, {culverUID, dovecotMany, 3, 0}, {culverUID, rawName, 0.5, 0}, {culverOne, floorName, 0, 0}},
	5: {{culverOne, dovecotOne, 1, 0}, {culverUID, dovecotMany, 3, 0}, {culverOne, floorName, 0, 0}},
}

// print writes the medians of all rounds and how the targets were met. Medians of
// ratios, not ratios of medians: what is compared was measured side by side.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d sessions, %d bytes, %d messages a round, %d rounds, %d users (medians)\n",
		t.load.name, t.load.sessions, t.load.size, t.load.total, t.plan.rounds, t.plan.users)
	fmt.Fprintf(w, "%-34s %8s %9s %9s %8s %8s %8s %8s %6s\n", "", "rate/s", "x dovecot", "x floor", "p50 ms", "p95 ms", "p99 ms", "cpu ms", "steal")
	for _, n := range t.names {
		r := t.rounds[n]
		of := func(f func(result) float64) float64 { return median(r, f) }
		fmt.Fprintf(w, "%-34s %8.0f %9s %9s %8.1f %8.1f %8.1f %8.2f %5.1f%%\n", n,
			of(rate), t.ratio(n, dovecotOne, rate), t.ratio(n, floorName, rate),
			of(func(r result) float64 { return r.Session.P50 }), of(func(r result) float64 { return r.Session.P95 }),
			of(func(r result) float64 { return r.Session.P99 }), of(cpuPer), of(func(r result) float64 { return r.steal }))
	}
	for _, n := range t.names {
		if last := t.rounds[n][len(t.rounds[n])-1]; len(last.where) > 0 {
			last.where.print(w, n)
		}
	}
	for _, g := range targets[t.load.recipients] {
		if got := t.verdict(g); got != "" {
			fmt.Fprintln(w, got)
		}
	}
}

func (t *table) verdict(g target) string {
	rates, ok := t.ratios(g.name, g.than, rate)
	if !ok {
		return ""
	}
	cpus, _ := t.ratios(g.name, g.than, cpuPer)
	got, share := median(rates, itself), median(cpus, itself)
	s := fmt.Sprintf("%s is %.2f times %s in rate, %.2f times in CPU per delivery", g.name, got, g.than, share)
	if g.rate == 0 {
		return s
	}
	word := "met"
	if got < g.rate || g.cpu > 0 && share > g.cpu {
		word = "MISSED"
	}
	s += fmt.Sprintf(" (target: at least %.2g in rate", g.rate)
	if g.cpu > 0 {
		s += fmt.Sprintf(", at most %.2f in CPU", g.cpu)
	}
	return s + "): " + word
}

func (t *table) ratio(name, than string, f func(result) float64) string {
	r, ok := t.ratios(name, than, f)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(r, itself))
}

// ratios are name's values over than's, round by round.
func (t *table) ratios(name, than string, f func(result) float64) ([]float64, bool) {
	a, b := t.rounds[name], t.rounds[than]
	if len(a) == 0 || len(b) != len(a) {
		return nil, false
	}
	r := make([]float64, len(a))
	for i := range a {
		r[i] = f(a[i]) / f(b[i])
	}
	return r, true
}

func rate(r result) float64    { return r.Rate }
func cpuPer(r result) float64  { return r.CPUPer }
func itself(f float64) float64 { return f }

func median[T any](all []T, f func(T) float64) float64 {
	v := make([]float64, len(all))
	for i, x := range all {
		v[i] = f(x)
	}
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}
