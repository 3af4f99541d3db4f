package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// lookPause is between two lookups while pauses are measured: they are to be
// everywhere in time, not to load the server.
const lookPause = 100 * time.Microsecond

// disturbance is what happens beside lookups.
type disturbance struct {
	name  string
	times int           // how often, at the most
	every time.Duration // the least time between
	do    func(c contestant, text string, n int) error
}

var disturbances = []disturbance{
	{"alone", 0, 0, nil},
	{"beside a list", 100, 0, list},
	{"beside reloads", 100, 1200 * time.Millisecond, replace},
}

func pauses(p plan, dir string) error {
	text := passwd(p.large)
	all, err := start(dir, text)
	defer func() { stop(all) }()
	if err != nil {
		return err
	}
	qs := questions(p.large)
	fmt.Printf("\nms of a lookup, %d users, one lookup after the other every %v for %v\n", p.large, lookPause, 5*p.each)
	fmt.Printf("%-28s %10s %8s %8s %8s %8s %8s\n", "", "lookups", "p50", "p99", "p99.9", "p99.99", "longest")
	for _, d := range disturbances {
		for _, c := range all {
			took, n, err := disturb(c, p, d, text, qs)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, d.name, err)
			}
			slices.Sort(took)
			at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
			fmt.Printf("%-28s %10d %8.3f %8.3f %8.3f %8.3f %8.3f", c.name+", "+d.name, len(took), at(0.5), at(0.99), at(0.999), at(0.9999), at(1))
			if d.do != nil {
				fmt.Printf("   %d times, %.2f s each", n, 5*p.each.Seconds()/float64(n))
			}
			fmt.Println()
		}
	}
	return nil
}

// disturb measures lookups while something happens beside them.
func disturb(c contestant, p plan, d disturbance, text string, qs []question) (took []time.Duration, n int, err error) {
	end := time.Now().Add(5 * p.each)
	var wg sync.WaitGroup
	var beside error
	if d.do != nil {
		wg.Go(func() {
			for n < d.times && time.Now().Before(end) && beside == nil {
				begin := time.Now()
				beside = d.do(c, text, n)
				n++
				time.Sleep(d.every - time.Since(begin))
			}
		})
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := dialLookup(c.lookup)
	if err != nil {
		return nil, n, err
	}
	defer l.close()
	took = make([]time.Duration, 0, 1<<20)
	for i := 0; time.Now().Before(end) && len(took) < cap(took); i += 7919 {
		q := qs[i%len(qs)]
		begin := time.Now()
		if err := l.send(q.ask); err != nil {
			return nil, n, err
		}
		if err := l.answer(q); err != nil {
			return nil, n, err
		}
		took = append(took, time.Since(begin))
		nap(lookPause)
	}
	wg.Wait()
	return took, n, beside
}

// nap sleeps without Go's timers, which are up to a millisecond late.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	syscall.Nanosleep(&ts, nil)
}

// list reads all names once.
func list(c contestant, text string, _ int) error {
	want := strings.Count(text, "\n")
	l, err := dialLookup(c.lookup)
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.send([]byte("LIST\t1\tuser=*\tservice=doveadm\tprotocol=doveadm\n")); err != nil {
		return err
	}
	for n := 0; ; n++ {
		line, err := l.line()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(line, []byte("LIST\t")):
			continue
		case n != want || bytes.Contains(line, []byte("fail")):
			return fmt.Errorf("the list has %d names, want %d, and ends in %q", n, want, line)
		}
		return nil
	}
}

// replace puts a new version of the users file in the place of the old one.
func replace(c contestant, text string, n int) error {
	st, err := os.Stat(c.users)
	if err != nil {
		return err
	}
	fresh := c.users + ".new"
	if err := os.WriteFile(fresh, fmt.Appendf([]byte(text), "# version %d\n", n), st.Mode()); err != nil {
		return err
	}
	if err := like(fresh, st); err != nil {
		return err
	}
	return os.Rename(fresh, c.users)
}
