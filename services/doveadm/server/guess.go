package server

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxGuessers bounds the addresses that wait after a wrong password; more of
	// them wait for each other.
	maxGuessers = 4096
	// maxRefusals is how many refused clients a minute are logged.
	maxRefusals = 60
)

// guesses allows each address one wrong password in a while, over however many
// connections it comes.
type guesses struct {
	mu    sync.Mutex
	until map[string]time.Time // when an address that was wrong may try again
}

// try calls right, unless the address has to wait, and says until when it has to.
func (g *guesses) try(address string, delay time.Duration, right func() bool) (ok bool, wait time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	who := g.who(address, now)
	if until := g.until[who]; until.After(now) {
		return false, until
	}
	delete(g.until, who)
	if right() {
		return true, time.Time{}
	}
	if g.until == nil {
		g.until = map[string]time.Time{}
	}
	g.until[who] = now.Add(delay)
	return false, time.Time{}
}

// who is one that guesses: of an IPv6 host all of its network, for it has 2^64
// addresses. The lock is held.
func (g *guesses) who(address string, now time.Time) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Unmap().Is6() {
		if network, err := ip.WithZone("").Prefix(64); err == nil {
			address = network.String()
		}
	}
	if _, known := g.until[address]; known || len(g.until) < maxGuessers {
		return address
	}
	for a, until := range g.until {
		if !until.After(now) {
			delete(g.until, a)
		}
	}
	if len(g.until) < maxGuessers {
		return address
	}
	return "all others"
}

// refusals counts the lines about refused clients.
type refusals struct {
	mu    sync.Mutex
	since time.Time // when this minute began
	n     int       // in this minute
}

// log tells whether a line is logged, and how many were not in the minute before.
func (r *refusals) log(now time.Time) (ok bool, missed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) >= time.Minute {
		missed = max(0, r.n-maxRefusals)
		r.since, r.n = now, 0
	}
	r.n++
	return r.n <= maxRefusals, missed
}
