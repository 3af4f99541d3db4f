package lmtp

import (
	"errors"
	"sync"
	"time"
)

// errSpoolLimit says that all spools together stayed at spool_limit for
// worker_queue_timeout, or that too many wait already.
var errSpoolLimit = errors.New("spool_limit reached")

// budget is the bytes that all spools together may hold. Who asks for more than
// there is waits, first come first served.
type budget struct {
	limit   int64
	queue   int
	timeout time.Duration

	mu      sync.Mutex
	used    int64
	waiting []*claim
}

type claim struct {
	n     int64
	ready chan struct{}
}

func newBudget(limit int64, queue int, timeout time.Duration) *budget {
	return &budget{limit: limit, queue: queue, timeout: timeout}
}

// take reserves n bytes. A limit of 0 is none.
func (b *budget) take(n int64) error {
	b.mu.Lock()
	if b.limit == 0 || len(b.waiting) == 0 && n <= b.limit-b.used {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	if n > b.limit || len(b.waiting) >= b.queue {
		b.mu.Unlock()
		return errSpoolLimit
	}
	c := &claim{n, make(chan struct{})}
	b.waiting = append(b.waiting, c)
	b.mu.Unlock()
	t := time.NewTimer(b.timeout)
	defer t.Stop()
	select {
	case <-c.ready:
		return nil
	case <-t.C:
		return b.giveUp(c)
	}
}

// giveUp leaves the queue, unless the bytes came at the last moment.
func (b *budget) giveUp(c *claim) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.admit() // a smaller claim behind may fit now
			return errSpoolLimit
		}
	}
	return nil
}

// give returns n bytes.
func (b *budget) give(n int64) {
	b.mu.Lock()
	b.used -= n
	b.admit()
	b.mu.Unlock()
}

func (b *budget) admit() {
	for len(b.waiting) > 0 && b.waiting[0].n <= b.limit-b.used {
		c := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.used += c.n
		close(c.ready)
	}
}
