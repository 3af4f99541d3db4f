package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"culver/internal/tabline"
	"culver/services/auth/guard"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// recheck is how old an answer must be before its source is asked once more
// because a password did not match. It bounds what wrong passwords cost the source.
const recheck = time.Second

// keyOf is all that a lookup uses: the block, the user's whole name whatever the
// templates make of it, and what each of them makes of the request.
func keyOf(block string, templates []vars.Template, v *vars.Values) string {
	fields := append(make([]string, 0, 2+len(templates)), block, v.User)
	for _, t := range templates {
		fields = append(fields, t.Expand(v))
	}
	return string(tabline.Append(nil, fields...))
}

// question is one lookup.
type question[T any] struct {
	key, user string
	ask       func(context.Context) (T, error)
	size      func(T) int64 // of an answer; below 0: it is not kept
	delivery  bool          // an answer that is too old is better than none
	old       time.Duration // how long it may be
	// For what can be asked with a password only: its HMAC, and whether what is
	// kept was proved with it.
	mac  string
	fits func(T) bool
}

// serves says whether what is kept answers the question.
func (q *question[T]) serves(e *entry) bool { return q.fits == nil || q.fits(e.value.(T)) }

// answer gives what the source says, or said not long ago. known is for how long
// that has been known; 0 if it was asked now.
func answer[T any](ctx context.Context, c *Cache, q question[T]) (value T, known time.Duration, err error) {
	c.mu.Lock()
	e, age := c.find(q.key)
	if e != nil && (e.unknown || age < c.TTL && q.serves(e)) {
		c.counts.Hits++
		c.mu.Unlock()
		if e.unknown {
			return value, age, userdb.ErrUnknown
		}
		return e.value.(T), age, nil
	}
	c.counts.Misses++
	c.mu.Unlock()
	value, err = fetch(ctx, c, q)
	if err == nil || guard.Answered(err) || !q.delivery {
		return value, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, age := c.find(q.key); e != nil && !e.unknown {
		return e.value.(T), age, nil
	}
	return value, 0, err
}

// flight is a lookup that has begun and for which several may wait.
type flight struct {
	done  chan struct{}
	value any
	err   error
}

// errLeft says that who asked waits no longer.
var errLeft = errors.New("nobody waits for the answer any more")

// fetch asks the source, once for all who ask the same at one time.
func fetch[T any](ctx context.Context, c *Cache, q question[T]) (none T, err error) {
	c.mu.Lock()
	f := c.flights[q.key+q.mac]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flights[q.key+q.mac] = f
		// In a goroutine of its own and without the context's end: others may come
		// to wait for it. The source's guard bounds both.
		go run(context.WithoutCancel(ctx), c, q, f, c.flushes)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		value, _ := f.value.(T)
		return value, f.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", errLeft, ctx.Err())
	}
}

func run[T any](ctx context.Context, c *Cache, q question[T], f *flight, flushes int) {
	value, err := q.ask(ctx)
	c.mu.Lock()
	defer func() {
		c.mu.Unlock()
		close(f.done) // when it is kept: who waited may ask again
	}()
	f.value, f.err = value, err
	delete(c.flights, q.key+q.mac)
	if flushes != c.flushes {
		return // somebody knows that it was changed meanwhile
	}
	old, _ := c.find(q.key)
	switch {
	case err == nil:
		c.forget(q.key)
		if size := q.size(value); size >= 0 {
			c.keep(&entry{key: q.key, user: q.user, life: c.TTL + q.old, value: value, size: size})
		}
	case errors.Is(err, userdb.ErrUnknown):
		c.forget(q.key)
		c.keep(&entry{key: q.key, user: q.user, life: c.Negative, unknown: true})
	case errors.Is(err, passdb.ErrMismatch) && old != nil && !old.unknown && !q.serves(old):
		// Another password than the right one: that one stays.
	case guard.Answered(err):
		c.forget(q.key)
	}
}
