package roster

import "time"

// The delays of a service that dies before it served: 2, 4, ... 60 s
// (spec/master.md 14).
const (
	FirstDelay = 2 * time.Second
	LastDelay  = 60 * time.Second
)

// Backoff is how long to leave a service alone. The zero value lets it start at
// once.
type Backoff struct {
	delay time.Duration
	until time.Time
}

// Fail notes a death before the first service, an exit 0 without service
// included: Dovecot forks about 230 times a second for that one. It gives the
// time to wait from now.
func (b *Backoff) Fail(now time.Time) time.Duration {
	b.delay = min(max(2*b.delay, FirstDelay), LastDelay)
	b.until = now.Add(b.delay)
	return b.delay
}

// Hold keeps the service away for d, whatever the delay was.
func (b *Backoff) Hold(now time.Time, d time.Duration) { b.until = now.Add(d) }

// Served forgets the failures.
func (b *Backoff) Served() { *b = Backoff{} }

// Until is the time before which nothing is started.
func (b *Backoff) Until() time.Time { return b.until }

// Forgettable tells whether the failures are so old that nobody need remember.
func (b *Backoff) Forgettable(now time.Time) bool { return now.Sub(b.until) > 2*LastDelay }
