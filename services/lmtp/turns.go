package lmtp

import (
	"context"
	"sync"
)

// turns holds each user to a number of things at one time; 0 is no limit. It
// remembers only those who have some under way.
type turns struct {
	limit int

	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	places chan struct{}
	here   int // who has a place or waits for one
}

// enter waits for a place, first come first served. leave gives it back; !ok
// when ctx ended before.
func (t *turns) enter(ctx context.Context, user string) (leave func(), ok bool) {
	if t.limit == 0 {
		return func() {}, true
	}
	t.mu.Lock()
	u := t.of[user]
	if u == nil {
		u = &turn{places: make(chan struct{}, t.limit)}
		t.of[user] = u
	}
	u.here++
	t.mu.Unlock()
	select {
	case u.places <- struct{}{}:
		return func() {
			<-u.places
			t.gone(user, u)
		}, true
	case <-ctx.Done():
		t.gone(user, u)
		return nil, false
	}
}

func (t *turns) gone(user string, u *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.here--; u.here == 0 {
		delete(t.of, user)
	}
}
