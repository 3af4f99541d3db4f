package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// pattern is a way to ask.
type pattern struct {
	name  string
	links int // connections, each of which always waits for one answer
	deep  int // requests in one write
}

var patterns = []pattern{
	{"one at a time", 1, 1},
	{"pipelined by 16", 1, 16},
	{"50 connections", 50, 1},
}

// speed is what came of one run.
type speed struct {
	rate float64 // lookups a second
	cost float64 // CPU microseconds of the server for each
	mine float64 // the generator's
}

func rates(p plan, dir string) error {
	all, err := start(dir, passwd(p.users))
	defer func() { stop(all) }()
	if err != nil {
		return err
	}
	qs := questions(p.users)
	got := map[string][]speed{}
	for range p.rounds {
		for _, pt := range patterns {
			for _, c := range all {
				s, err := pt.run(c, qs, p.each)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", c.name, pt.name, err)
				}
				got[pt.name+c.name] = append(got[pt.name+c.name], s)
			}
		}
	}
	fmt.Printf("\nlookups a second, %d users, medians of %d rounds of %v (in brackets CPU us of the auth process for each)\n", p.users, p.rounds, p.each)
	fmt.Printf("%-18s %18s %18s %8s %8s %10s\n", "", "dovecot", "culver", "rate", "CPU", "generator")
	for _, pt := range patterns {
		d, c := got[pt.name+"dovecot"], got[pt.name+"culver"]
		fmt.Printf("%-18s %18s %18s %7.2fx %7.2fx %7.1f us\n", pt.name, shown(d), shown(c),
			ratio(c, d, func(s speed) float64 { return s.rate }), ratio(c, d, func(s speed) float64 { return s.cost }),
			median(c, func(s speed) float64 { return s.mine }))
	}
	return nil
}

// run asks for users in turn, for a time. Each link waits for the answers to one
// write; they are asked round and round, so all others wait meanwhile.
func (pt pattern) run(c contestant, qs []question, each time.Duration) (s speed, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	links, err := dialMany(c.lookup, pt.links)
	defer closeAll(links)
	if err != nil {
		return s, err
	}
	var chunks [][]question
	var writes [][]byte
	for chunk := range slices.Chunk(qs, pt.deep) {
		var w []byte
		for _, q := range chunk {
			w = append(w, q.ask...)
		}
		chunks, writes = append(chunks, chunk), append(writes, w)
	}
	waits := make([]int, len(links)) // the chunk that each link waits for
	next := 0
	ask := func(i int) error {
		waits[i], next = next, (next+1)%len(chunks)
		return links[i].send(writes[waits[i]])
	}
	done := 0
	round := func() error {
		for i, l := range links {
			for _, q := range chunks[waits[i]] {
				if err := l.answer(q); err != nil {
					return err
				}
			}
			done += len(chunks[waits[i]])
			if err := ask(i); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range links {
		if err := ask(i); err != nil {
			return s, err
		}
	}
	for begin := time.Now(); time.Since(begin) < each/10; { // warm
		if err := round(); err != nil {
			return s, err
		}
	}
	done = 0
	begin, server, mine := time.Now(), cpu(c.pid), cpu(os.Getpid())
	for time.Since(begin) < each {
		if err := round(); err != nil {
			return s, err
		}
	}
	took, server, mine := time.Since(begin), cpu(c.pid)-server, cpu(os.Getpid())-mine
	n := float64(done)
	return speed{n / took.Seconds(), float64(server.Nanoseconds()) / 1000 / n, float64(mine.Nanoseconds()) / 1000 / n}, nil
}

func shown(all []speed) string {
	return fmt.Sprintf("%.0f (%.1f)", median(all, func(s speed) float64 { return s.rate }), median(all, func(s speed) float64 { return s.cost }))
}

// ratio is the median of the rounds' ratios: what is compared was measured side
// by side.
func ratio[T any](a, b []T, f func(T) float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = f(a[i]) / f(b[i])
	}
	return median(r, func(x float64) float64 { return x })
}

func median[T any](all []T, f func(T) float64) float64 {
	v := make([]float64, len(all))
	for i, x := range all {
		v[i] = f(x)
	}
	slices.Sort(v)
	if len(v) == 0 {
		return 0
	}
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}
