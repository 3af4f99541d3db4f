// Package cache remembers what slow sources said of users.
//
// Runs as:   the auth service user.
// Trusts:    its sources, for as long as the settings say.
// Distrusts: nothing: keys are made of all that a lookup uses, so that nobody
// gets what was said of another (CVE-2025-30189 was a key too short).
// Speaks:    nothing.
//
// What is kept and what is not:
//   - Answers: who a user is, for auth_cache_ttl, and that there is none, for
//     auth_cache_negative_ttl. Failures never: they are no answer, and what was
//     known stays. Who is disabled or expired is asked for anew each time.
//   - While a source fails, deliveries of mail (lmtp, lda) get from a userdb what it
//     said last, for auth_cache_stale_ttl more. Nothing that proves a password
//     is ever older than auth_cache_ttl, and nobody becomes unknown by a failure.
//   - No password: an entry that has one in cleartext, or a hash without salt, is
//     not kept. What proves a password to a source that shows none is an HMAC
//     under a key of this process. Auth is not dumpable (package worker), so
//     neither is in a core.
package cache

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
)

// Options are the settings.
type Options struct {
	Size     int64         // auth_cache_size, bytes; 0 keeps nothing
	TTL      time.Duration // auth_cache_ttl
	Negative time.Duration // auth_cache_negative_ttl
	Stale    time.Duration // auth_cache_stale_ttl, after TTL
	Now      func() time.Time
	Logf     func(l logline.Level, user, format string, args ...any)
}

// Cache is shared by all sources. Where memory ends the entry that was asked for
// longest ago goes.
type Cache struct {
	Options
	mac []byte // the key of HMACs

	mu      sync.Mutex
	entries map[string]*list.Element // of *entry
	order   *list.List               // the one asked for last in front
	flights map[string]*flight
	flushes int // how often something was flushed
	counts  Status
}

// Status is what CACHE-STATUS tells (spec/auth.md 2.2).
type Status struct {
	Hits, Misses       int64
	Positive, Negative int64 // entries
	PositiveSize       int64 // bytes
	NegativeSize       int64
	UsedSize, MaxSize  int64
}

// entry is one answer.
type entry struct {
	key     string
	user    string
	made    time.Time
	life    time.Duration
	unknown bool // the answer that there is no such user
	value   any  // all other answers
	size    int64
}

// overhead is what an entry costs besides its texts: itself, its places in the
// list and the map. TestSizeIsHonest holds it against the heap.
const overhead = 400

// New makes a cache.
func New(o Options) *Cache {
	c := &Cache{Options: o, mac: make([]byte, sha256.Size), order: list.New(), entries: map[string]*list.Element{}, flights: map[string]*flight{}}
	c.counts.MaxSize = o.Size
	rand.Read(c.mac)
	return c
}

// On says whether anything is kept. A nil Cache keeps nothing.
func (c *Cache) On() bool { return c != nil && c.Size > 0 }

// Status gives the numbers so far.
func (c *Cache) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// ResetStatus begins to count hits and misses anew.
func (c *Cache) ResetStatus() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Hits, c.counts.Misses = 0, 0
}

// Flush forgets what is known of the users whom a mask matches, or of all where
// there is no mask, and gives the number of entries.
func (c *Cache) Flush(masks ...string) int {
	if !c.On() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushes++ // what is being asked now was asked before
	n := 0
	for _, place := range c.entries {
		e := place.Value.(*entry)
		if len(masks) == 0 || matches(masks, e.user) {
			c.drop(place)
			n++
		}
	}
	return n
}

func matches(masks []string, user string) bool {
	for _, m := range masks {
		if authproto.MatchMask(m, user) {
			return true
		}
	}
	return false
}

// find gives what is kept, also what can serve deliveries alone.
func (c *Cache) find(key string) (e *entry, age time.Duration) {
	place := c.entries[key]
	if place == nil {
		return nil, 0
	}
	e = place.Value.(*entry)
	age = c.Now().Sub(e.made)
	if age < 0 || age >= e.life {
		c.drop(place) // the clock was set back, or it can serve nobody
		return nil, 0
	}
	c.order.MoveToFront(place)
	return e, age
}

// keep puts an entry in the place of the one with its key.
func (c *Cache) keep(e *entry) {
	c.forget(e.key)
	e.made = c.Now()
	e.size += overhead + int64(len(e.key)+len(e.user))
	if e.size > c.Size || e.life <= 0 {
		return
	}
	c.entries[e.key] = c.order.PushFront(e)
	c.tally(e, 1)
	for c.counts.UsedSize > c.Size {
		c.drop(c.order.Back())
	}
}

func (c *Cache) forget(key string) {
	if place := c.entries[key]; place != nil {
		c.drop(place)
	}
}

func (c *Cache) drop(place *list.Element) {
	e := c.order.Remove(place).(*entry)
	delete(c.entries, e.key)
	c.tally(e, -1)
}

func (c *Cache) tally(e *entry, sign int64) {
	number, size := &c.counts.Positive, &c.counts.PositiveSize
	if e.unknown {
		number, size = &c.counts.Negative, &c.counts.NegativeSize
	}
	*number += sign
	*size += sign * e.size
	c.counts.UsedSize += sign * e.size
}
