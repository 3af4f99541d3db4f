package server

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// maxRefusals is how many refused clients a minute are logged.
const maxRefusals = 60

// turns has the clients of one address judged one after the other, so that over
// many connections nobody guesses faster than over one: auth holds back its
// answer to a wrong password.
type turns struct {
	mu sync.Mutex
	at map[string]*turn // no more than there are strangers
}

type turn struct {
	gate  chan struct{} // holds who is being judged
	users int           // the judged one, and those who wait
}

// take waits for the address's turn; release ends it.
func (t *turns) take(ctx context.Context, address string) (release func(), err error) {
	who := network(address)
	t.mu.Lock()
	if t.at == nil {
		t.at = map[string]*turn{}
	}
	mine := t.at[who]
	if mine == nil {
		mine = &turn{gate: make(chan struct{}, 1)}
		t.at[who] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.at, who)
		}
	}
	select {
	case mine.gate <- struct{}{}:
		return func() { <-mine.gate; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// network is one that guesses: of an IPv6 host all of its network, for it has 2^64
// addresses.
func network(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Unmap().Is6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address
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
