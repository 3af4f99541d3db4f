package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Report is the outcome of a run; its JSON form is for programs, so names and
// units stay as they are.
type Report struct {
	Complete    bool           `json:"complete"` // every recipient of every message got a 2xx
	Seconds     float64        `json:"seconds"`
	Messages    int            `json:"messages"`   // that got all their replies
	Deliveries  int            `json:"deliveries"` // recipients with a 2xx
	Temporary   int            `json:"temporary"`  // with a 4xx
	Permanent   int            `json:"permanent"`  // with a 5xx
	Rate        float64        `json:"deliveries_per_second"`
	Transaction Latency        `json:"transaction"`
	Session     Latency        `json:"session"`
	Errors      map[string]int `json:"errors"`
	CPUSeconds  float64        `json:"server_cpu_seconds,omitempty"`
	CPUPer      float64        `json:"server_cpu_ms_per_delivery,omitempty"`
	First       []string       `json:"first_failures,omitempty"`
}

// Latency is in milliseconds.
type Latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

func (l *load) report() Report {
	r := Report{
		Seconds: l.end.Sub(l.start).Seconds(), Messages: l.sent,
		Deliveries: l.class[2], Temporary: l.class[4], Permanent: l.class[5],
		Transaction: latency(l.trans), Session: latency(l.sess),
		Errors: l.errs, First: l.failed,
	}
	r.Rate = float64(r.Deliveries) / r.Seconds
	r.Complete = r.Deliveries == l.o.total*l.o.rcpts && len(r.Errors) == 0
	return r
}

// addCPU adds what the server spent.
func (r *Report) addCPU(spent time.Duration) {
	r.CPUSeconds = spent.Seconds()
	if r.Deliveries > 0 {
		r.CPUPer = r.CPUSeconds * 1000 / float64(r.Deliveries)
	}
}

func latency(d []time.Duration) Latency {
	slices.Sort(d)
	ms := func(q float64) float64 { return float64(percentile(d, q)) / 1e6 }
	return Latency{Count: len(d), P50: ms(0.50), P95: ms(0.95), P99: ms(0.99), Max: ms(1)}
}

// percentile is the smallest value that a share q of all does not exceed
// (nearest rank): never one that was not measured.
func percentile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func (r *Report) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "deliveries   %d in %.2f s: %.1f/s (%d messages)\n", r.Deliveries, r.Seconds, r.Rate, r.Messages)
	for _, l := range []struct {
		name string
		Latency
	}{{"transaction", r.Transaction}, {"session", r.Session}} {
		fmt.Fprintf(&b, "%-12s p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms (%d)\n",
			l.name, l.P50, l.P95, l.P99, l.Max, l.Count)
	}
	fmt.Fprintf(&b, "replies      2xx %d, 4xx %d, 5xx %d\n", r.Deliveries, r.Temporary, r.Permanent)
	errs := "none"
	if len(r.Errors) > 0 {
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(r.Errors)) {
			parts = append(parts, fmt.Sprintf("%s %d", k, r.Errors[k]))
		}
		errs = strings.Join(parts, ", ")
	}
	fmt.Fprintf(&b, "errors       %s\n", errs)
	if r.CPUSeconds > 0 {
		fmt.Fprintf(&b, "server cpu   %.2f ms per delivery (%.2f s)\n", r.CPUPer, r.CPUSeconds)
	}
	for _, f := range r.First {
		// The server wrote this: it is not to drive the terminal.
		fmt.Fprintf(&b, "  %q\n", f)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
