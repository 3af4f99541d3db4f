package anvil

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"culver/internal/anvilproto"
)

const (
	ok   = anvilproto.Succeeded
	bad  = anvilproto.Failed
	none = anvilproto.Undecided
)

// place has a clock that stands still unless told.
type place struct {
	*Penalties
	now time.Time
}

func newPlace() *place { return &place{NewPenalties(), time.Unix(1e9, 0)} }

func attemptOf(ip, user, password string) anvilproto.Attempt {
	a := anvilproto.Attempt{User: user, Checksum: password}
	if ip != "" {
		a.IP = netip.MustParseAddr(ip)
	}
	return a
}

// try makes a whole attempt and gives what Before said.
func (p *place) try(ip, user, password string, o anvilproto.Outcome) string {
	a := attemptOf(ip, user, password)
	said := p.before(a)
	if said != "refused" {
		p.After(a, o, p.now)
	}
	return said
}

func (p *place) before(a anvilproto.Attempt) string {
	wait, refuse := p.Before(a, p.now)
	if refuse {
		return "refused"
	}
	return wait.String()
}

// guess makes n attempts with a new wrong password each.
func (p *place) guess(ip, user string, n int) {
	for i := range n {
		p.try(ip, user, fmt.Sprintf("%s%s%d%d", ip, user, p.now.Unix(), i), bad)
	}
}

func TestPenalties(t *testing.T) {
	t.Parallel()
	const office, home = "192.0.2.1", "198.51.100.7"
	for _, tt := range []struct {
		name string
		do   func(p *place)
		ip   string
		want string // for ann with the password "right"
	}{
		{"nobody has tried", func(p *place) {}, office, "0s"},
		{"one mistake costs nothing", func(p *place) { p.guess(office, "ann", 1) }, office, "0s"},
		{"the second does", func(p *place) { p.guess(office, "ann", 2) }, office, "1s"},
		{"each costs more than the one before", func(p *place) { p.guess(office, "ann", 4) }, office, "4s"},
		{"up to a bound", func(p *place) { p.guess(office, "ann", 9) }, office, "15s"},
		{"and then the answer is no", func(p *place) { p.guess(office, "ann", 10) }, office, "refused"},
		{"refused attempts do not make it worse", func(p *place) {
			p.guess(office, "ann", 100)
			p.now = p.now.Add(forgetAfter)
		}, office, "15s"},
		{"the same wrong password counts once", func(p *place) {
			for range 20 {
				p.try(office, "ann", "old", bad)
			}
		}, office, "0s"},
		{"one without a checksum counts each time", func(p *place) {
			for range 3 {
				p.try(office, "ann", "", bad)
			}
		}, office, "2s"},
		{"another user there does not count", func(p *place) { p.guess(office, "bob", 50) }, office, "0s"},
		{"nor the same user elsewhere", func(p *place) { p.guess(home, "ann", 50) }, office, "0s"},
		{"an IPv6 customer has a /48", func(p *place) { p.guess("2001:db8:1:2::3", "ann", 2) }, "2001:db8:1:ffff::9", "1s"},
		{"and no more", func(p *place) { p.guess("2001:db8:1:2::3", "ann", 2) }, "2001:db8:2::1", "0s"},
		{"who succeeded lately does not wait for another's guesses", func(p *place) {
			p.try(office, "ann", "right", ok)
			p.guess(office, "ann", 30)
		}, office, "0s"},
		{"but there is an end", func(p *place) {
			p.try(office, "ann", "right", ok)
			p.guess(office, "ann", trustedRefuseAt)
		}, office, "refused"},
		{"nor does he elsewhere have trust", func(p *place) {
			p.try(home, "ann", "right", ok)
			p.guess(office, "ann", 10)
		}, office, "refused"},
		{"nor for ever", func(p *place) {
			p.try(office, "ann", "right", ok)
			p.now = p.now.Add(trustedFor)
			p.guess(office, "ann", 10)
		}, office, "refused"},
		{"a success forgives", func(p *place) {
			p.guess(office, "ann", 9)
			p.try(office, "ann", "right", ok)
		}, office, "0s"},
		{"each minute forgives one", func(p *place) {
			p.guess(office, "ann", 4)
			p.now = p.now.Add(2 * forgetAfter)
		}, office, "1s"},
		{"all are forgotten in the end", func(p *place) {
			p.guess(office, "ann", 10)
			p.now = p.now.Add(10 * forgetAfter)
		}, office, "0s"},
		{"an attempt that a source could not judge counts for nothing", func(p *place) {
			for i := range 20 {
				p.try(office, "ann", fmt.Sprint(i), none)
			}
		}, office, "0s"},
		{"attempts that run count as wrong", func(p *place) {
			for i := range 3 {
				p.before(attemptOf(office, "ann", fmt.Sprint(i)))
			}
		}, office, "2s"},
		{"so a hundred at once are not free", func(p *place) {
			for i := range 100 {
				p.before(attemptOf(office, "ann", fmt.Sprint(i)))
			}
		}, office, "refused"},
		{"a program that opens many connections with one password waits for none", func(p *place) {
			for range 20 {
				p.before(attemptOf(office, "ann", "right"))
			}
		}, office, "0s"},
		{"an attempt whose end nobody tells ends", func(p *place) {
			for i := range 10 {
				p.before(attemptOf(office, "ann", fmt.Sprint(i)))
			}
			p.now = p.now.Add(attemptLife)
		}, office, "0s"},
		{"clients without an address share nothing", func(p *place) { p.guess("", "bob", 50) }, "", "0s"},
		{"who has none is slowed down by others who have none, and not shut out", func(p *place) { p.guess("", "ann", 50) }, "", "15s"},
		{"many names from one address share a count in the end", func(p *place) {
			for i := range maxFailing + 10 {
				p.try(office, fmt.Sprint("user", i), "123456", bad)
			}
			for i := range 10 {
				p.try(office, fmt.Sprint("user", 1000+i), fmt.Sprint(i), bad)
			}
		}, office, "refused"},
		{"but not with somebody who is known there", func(p *place) {
			p.try(office, "ann", "right", ok)
			for i := range 2 * maxFailing {
				p.try(office, fmt.Sprint("user", i), fmt.Sprint(i), bad)
			}
		}, office, "0s"},
		{"cleared", func(p *place) {
			p.guess(office, "ann", 10)
			if n := p.Clear(netip.Prefix{}, "", p.now); n != 1 {
				t.Errorf("cleared %d, want 1", n)
			}
		}, office, "0s"},
		{"cleared for another user", func(p *place) {
			p.guess(office, "ann", 2)
			p.Clear(netip.MustParsePrefix("192.0.2.0/24"), "bob", p.now)
		}, office, "1s"},
		{"cleared for another network", func(p *place) {
			p.guess(office, "ann", 2)
			p.Clear(netip.MustParsePrefix("198.51.100.0/24"), "", p.now)
		}, office, "1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace()
			tt.do(p)
			if got := p.before(attemptOf(tt.ip, "ann", "right")); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	p := newPlace()
	p.guess("192.0.2.1", "ann", 10)
	for i := range maxPairs + 10 {
		p.try(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "bob", "x", bad)
	}
	if p.pairs > maxPairs {
		t.Errorf("%d pairs are kept, want at most %d", p.pairs, maxPairs)
	}
	if got := p.try("192.0.2.1", "ann", "y", bad); got != "0s" {
		t.Errorf("the network heard of longest ago: got %s, want it forgotten", got)
	}
	p.now = p.now.Add(trustedFor + time.Hour)
	p.Sweep(p.now)
	if p.pairs != 0 || len(p.nets) != 0 || p.order.Len() != 0 {
		t.Errorf("a day later %d pairs, %d networks and %d places are left, want none", p.pairs, len(p.nets), p.order.Len())
	}
}

func TestOneNetworkIsBounded(t *testing.T) {
	t.Parallel()
	p := newPlace()
	for i := range 2 * maxOfNetwork {
		p.try("192.0.2.1", fmt.Sprint("user", i), "right", ok)
	}
	if p.pairs != maxOfNetwork {
		t.Errorf("%d pairs, want %d", p.pairs, maxOfNetwork)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	p := newPlace()
	p.guess("192.0.2.1", "ann", 3)
	p.guess("2001:db8:1:2::3", "bob", 1)
	p.try("192.0.2.1", "cyd", "right", ok)
	p.now = p.now.Add(time.Second)
	p.try("192.0.2.1", "ann", "right", none)
	got := p.List(netip.MustParsePrefix("192.0.0.0/16"), p.now)
	if len(got) != 1 || got[0].Net.String() != "192.0.2.1/32" || got[0].User != "ann" || got[0].Level != 3 ||
		!got[0].LastPenalty.Equal(p.now.Add(-time.Second)) || !got[0].LastUpdate.Equal(p.now) {
		t.Errorf("got %+v, want ann's three", got)
	}
	if got := p.List(netip.MustParsePrefix("2001:db8:1:9::/64"), p.now); len(got) != 1 || got[0].User != "bob" {
		t.Errorf("got %+v, want bob's, whose network it is in", got)
	}
	if got := p.List(netip.Prefix{}, p.now); len(got) != 2 {
		t.Errorf("got %+v, want both", got)
	}
}

// TestCountsAreConsistent makes attempts of all kinds and then lets time pass:
// nothing may be left, and nobody waits for what another pair did.
func TestCountsAreConsistent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPlace()
		ips := []string{"", "192.0.2.1", "192.0.2.2", "2001:db8::1"}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			a := attemptOf(rapid.SampledFrom(ips).Draw(t, "ip"), rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "user"),
				rapid.SampledFrom([]string{"", "1", "2", "3"}).Draw(t, "password"))
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				p.before(a)
			case 1:
				p.After(a, rapid.SampledFrom([]anvilproto.Outcome{ok, bad, none}).Draw(t, "outcome"), p.now)
			case 2:
				p.now = p.now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			case 3:
				p.Sweep(p.now)
			default:
				p.try(a.Fields()[0], a.User, a.Checksum, bad)
			}
			pairs := 0
			for _, n := range p.nets {
				pairs += len(n.pairs)
			}
			if pairs != p.pairs || len(p.nets) != p.order.Len() {
				t.Fatalf("%d pairs counted as %d, %d networks as %d", pairs, p.pairs, len(p.nets), p.order.Len())
			}
		}
		if said := p.before(attemptOf("203.0.113.5", "ann", "x")); said != "0s" {
			t.Fatalf("an address that never tried waits %s", said)
		}
		p.now = p.now.Add(2 * trustedFor)
		p.Sweep(p.now)
		if p.pairs != 0 || len(p.nets) != 0 {
			t.Fatalf("%d pairs in %d networks are left", p.pairs, len(p.nets))
		}
	})
}
