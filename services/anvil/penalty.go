package anvil

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"culver/internal/anvilproto"
)

// Penalties remembers wrong passwords by network and user. An attacker's guesses
// at one user's password slow down nobody else, not even the same user elsewhere.
type Penalties struct {
	mu    sync.Mutex
	nets  map[netKey]*network
	order *list.List // of *network, the one heard of last in front
	pairs int
}

// Limits of what is remembered. The first two are spent by whoever connects.
const (
	maxPairs     = 1 << 16 // of all networks; then the network heard of longest ago is forgotten
	maxOfNetwork = 1 << 10 // users who logged in from one network; further ones have no trust
	// maxFailing is how many users of one network have a count each: an attacker
	// who tries more names shares the next count among all of them.
	maxFailing = 64
)

// netKey is an address's network; where the client told none, each user has one
// of his own, as the others who come that way are strangers.
type netKey struct {
	net  netip.Prefix
	user string
}

type network struct {
	key     netKey
	pairs   map[string]*pair
	failing int   // how many of them have wrong passwords or attempts
	rest    *pair // of the users beyond maxFailing; nil while there are none
	place   *list.Element
}

// NewPenalties gives an empty one.
func NewPenalties() *Penalties {
	return &Penalties{nets: map[netKey]*network{}, order: list.New()}
}

// networkOf is what counts as one place: an IPv6 customer has a /48 or more.
func networkOf(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 48
	}
	p, _ := ip.Prefix(bits)
	return p
}

func keyOf(a anvilproto.Attempt) netKey {
	if !a.IP.IsValid() {
		return netKey{user: a.User}
	}
	return netKey{net: networkOf(a.IP)}
}

// Before counts an attempt that begins now, and says how long it has to wait, or
// that it is not to be made.
func (p *Penalties) Before(a anvilproto.Attempt, now time.Time) (wait time.Duration, refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.network(keyOf(a))
	c := p.find(n, a.User, now)
	wait, refuse = c.judge(a.Checksum)
	if refuse && !a.IP.IsValid() {
		// Who comes without an address may be the user himself: he is not shut
		// out by another who does.
		wait, refuse = c.wait(a.Checksum), false
	}
	if !refuse {
		c.begin(a.Checksum, now)
		n.recount()
	}
	return wait, refuse
}

// After settles an attempt that Before had counted.
func (p *Penalties) After(a anvilproto.Attempt, o anvilproto.Outcome, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.network(keyOf(a))
	c := n.rest
	if n.pairs[a.User] != nil || c == nil || !ran(c.running, a.Checksum) {
		c = p.find(n, a.User, now)
	}
	c.end(a.Checksum, now)
	switch o {
	case anvilproto.Failed:
		c.fail(a.Checksum, now)
	case anvilproto.Succeeded:
		if c == n.rest {
			c = p.own(n, a.User)
		}
		if c != nil {
			c.succeed(now)
		}
	}
	p.tidy(n, a.User)
	n.recount()
}

// network finds one and makes it the last to be forgotten.
func (p *Penalties) network(k netKey) *network {
	n := p.nets[k]
	if n == nil {
		n = &network{key: k, pairs: map[string]*pair{}}
		n.place = p.order.PushFront(n)
		p.nets[k] = n
	}
	p.order.MoveToFront(n.place)
	return n
}

// find gives the count for a user. Beyond maxFailing it is that of the rest,
// except for users who are known here.
func (p *Penalties) find(n *network, user string, now time.Time) *pair {
	if c := n.pairs[user]; c != nil {
		c.forget(now)
		return c
	}
	if n.failing < maxFailing {
		if c := p.own(n, user); c != nil {
			return c
		}
	}
	if n.rest == nil {
		n.rest = &pair{}
	}
	n.rest.forget(now)
	return n.rest
}

// own makes a user's own count, or nil if the network has too many.
func (p *Penalties) own(n *network, user string) *pair {
	if len(n.pairs) >= maxOfNetwork {
		return nil
	}
	c := &pair{}
	n.pairs[user] = c
	p.pairs++
	for p.pairs > maxPairs {
		oldest := p.order.Back().Value.(*network)
		if oldest == n {
			break
		}
		p.drop(oldest)
	}
	return c
}

func (p *Penalties) drop(n *network) {
	p.pairs -= len(n.pairs)
	p.order.Remove(n.place)
	delete(p.nets, n.key)
}

// tidy forgets what is of no more use: one user's count, then the network.
func (p *Penalties) tidy(n *network, user string) {
	if c := n.pairs[user]; c != nil && c.empty() {
		delete(n.pairs, user)
		p.pairs--
	}
	if n.rest != nil && n.rest.empty() {
		n.rest = nil
	}
	if len(n.pairs) == 0 && n.rest == nil {
		p.drop(n)
	}
}

func (n *network) recount() {
	n.failing = 0
	for _, c := range n.pairs {
		if c.busy() {
			n.failing++
		}
	}
}

// Sweep forgets all that is of no more use.
func (p *Penalties) Sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nets {
		p.sweep(n, now)
	}
}

func (p *Penalties) sweep(n *network, now time.Time) {
	for user, c := range n.pairs {
		c.forget(now)
		if c.empty() {
			delete(n.pairs, user)
			p.pairs--
		}
	}
	if n.rest != nil {
		n.rest.forget(now)
	}
	n.recount()
	p.tidy(n, "")
}

// within tells whether a network is one of those that an administrator means;
// the zero Prefix means all.
func (n *network) within(of netip.Prefix) bool {
	return !of.IsValid() || n.key.net.IsValid() && n.key.net.Overlaps(of)
}

// List gives the penalties that count now.
func (p *Penalties) List(of netip.Prefix, now time.Time) (all []anvilproto.Penalty) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nets {
		if !n.within(of) {
			continue
		}
		p.sweep(n, now)
		add := func(user string, c *pair) {
			if c != nil && len(c.wrong) > 0 {
				all = append(all, anvilproto.Penalty{Net: n.key.net, User: user, Level: len(c.wrong), LastPenalty: c.failed, LastUpdate: c.heard})
			}
		}
		for user, c := range n.pairs {
			add(user, c)
		}
		add("", n.rest)
	}
	return all
}

// Clear forgets penalties, those of one user where it is not "", and gives how
// many there were. Who is trusted stays so.
func (p *Penalties) Clear(of netip.Prefix, user string, now time.Time) (cleared int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.nets {
		if !n.within(of) {
			continue
		}
		for name, c := range n.pairs {
			if (user == "" || user == name) && c.clear() {
				cleared++
			}
		}
		if user == "" && n.rest != nil && n.rest.clear() {
			cleared++
		}
		p.sweep(n, now)
	}
	return cleared
}
