// Package guard stands between auth and a source of users that may be slow or
// down: an LDAP server, a database, an account table behind a network.
//
// Runs as:   the auth service user.
// Trusts:    nothing about the source's time.
// Distrusts: a source that hangs: it costs a bounded number of goroutines and
// holds nobody but those who ask it, and those no longer than its time-out.
// Speaks:    nothing.
//
// After several failures in a row the source is left alone for a while, and
// every lookup fails at once as temporary; then one lookup tries it again.
package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"culver/internal/maillog/logline"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
)

// Options are what a guard needs to know of its source.
type Options struct {
	Name    string        // `passdb "ldap"`, for errors and the log
	Timeout time.Duration // of one lookup
	Logf    func(l logline.Level, user, format string, args ...any)
}

// The shape of every guard.
const (
	// maxLookups are under way in one source at one time. A source that never
	// answers keeps this many goroutines and no more.
	maxLookups = 64
	// tripAfter is how many failures in a row open the breaker, and pause how long
	// it stays open before one lookup tries the source again.
	tripAfter = 5
	pause     = 10 * time.Second
)

// ErrOpen says that the source was not asked.
var ErrOpen = errors.New("it is left alone for a while, as it failed")

// guard is shared by all that asks one source.
type guard struct {
	Options
	slots   chan struct{}
	breaker *gobreaker.CircuitBreaker[any]

	mu      sync.Mutex
	last    error           // why it failed last
	timely  bool            // none of the failures in a row was a time-out
	failing map[string]bool // users of whom the failures in a row were; at most two are kept
	told    bool            // that it is tried again, since it opened
}

func newGuard(o Options) *guard {
	g := &guard{Options: o, slots: make(chan struct{}, maxLookups)}
	g.reset()
	g.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Timeout:       pause,
		ReadyToTrip:   g.trips,
		OnStateChange: g.changed,
		IsSuccessful:  Answered,
		IsExcluded:    func(err error) bool { return errors.Is(err, errLeft) },
	})
	return g
}

func (g *guard) reset() { g.timely, g.failing = true, map[string]bool{} }

var (
	errTimeout = errors.New("no answer")
	errFull    = fmt.Errorf("%d lookups are waiting for it", maxLookups)
	errLeft    = errors.New("nobody waits for the answer any more")
)

// Answered tells an answer from a failure of the source. What a source says of
// one user is an answer.
func Answered(err error) bool {
	var refused *userdb.Refused
	return err == nil || errors.As(err, &refused) ||
		errors.Is(err, userdb.ErrUnknown) || errors.Is(err, passdb.ErrMismatch) || errors.Is(err, passdb.ErrDisabled) ||
		errors.Is(err, passdb.ErrExpired) || errors.Is(err, passdb.ErrNoLookup)
}

// trips decides that the source is down. Errors of one user alone may be of his
// entry alone, and must not shut out all others.
func (g *guard) trips(c gobreaker.Counts) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.ConsecutiveFailures >= tripAfter && (!g.timely || len(g.failing) > 1)
}

func (g *guard) changed(_ string, from, to gobreaker.State) {
	g.mu.Lock()
	last, told := g.last, g.told
	g.told = to == gobreaker.StateHalfOpen || told && to == gobreaker.StateOpen
	g.mu.Unlock()
	switch {
	case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
		g.Logf(logline.Error, "", "%s failed %d times in a row and is left alone for %v; until then all that needs it is a temporary failure. The last reason: %v",
			g.Name, tripAfter, pause, last)
	case to == gobreaker.StateHalfOpen && !told:
		g.Logf(logline.Info, "", "%s is tried again with one lookup", g.Name)
	case to == gobreaker.StateClosed:
		g.Logf(logline.Info, "", "%s answers again", g.Name)
	}
}

// note keeps what the next decision needs of one lookup's end.
func (g *guard) note(user string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case errors.Is(err, errLeft):
	case Answered(err):
		g.reset()
	default:
		g.last = err
		g.timely = g.timely && !errors.Is(err, errTimeout)
		if len(g.failing) < 2 {
			g.failing[user] = true
		}
	}
}

// do makes one lookup. ask runs in a goroutine of its own, which outlives do
// where the source does not heed the end of its context.
func do[T any](ctx context.Context, g *guard, user string, ask func(context.Context) (T, error)) (T, error) {
	got, err := g.breaker.Execute(func() (any, error) {
		v, err := timed(ctx, g, ask)
		g.note(user, err)
		return v, err
	})
	v, _ := got.(T)
	switch {
	case err == nil:
		return v, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return v, g.open()
	case Answered(err):
		return v, err
	}
	return v, fmt.Errorf("%s: %w", g.Name, err)
}

// open is the answer of a breaker that is open.
func (g *guard) open() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Errorf("%s: %w: %v", g.Name, ErrOpen, g.last)
}

func timed[T any](ctx context.Context, g *guard, ask func(context.Context) (T, error)) (none T, err error) {
	limited, cancel := context.WithTimeout(ctx, g.Timeout)
	defer cancel()
	select {
	case g.slots <- struct{}{}:
	case <-limited.Done():
		return none, g.ended(ctx, errFull)
	}
	type answer struct {
		v   T
		err error
	}
	got := make(chan answer, 1)
	go func() {
		defer func() { <-g.slots }()
		v, err := ask(limited)
		got <- answer{v, err}
	}()
	select {
	case a := <-got:
		if a.err != nil && !Answered(a.err) && limited.Err() != nil {
			return none, g.ended(ctx, nil) // it heeded its context, whatever it calls that
		}
		return a.v, a.err
	case <-limited.Done():
		return none, g.ended(ctx, nil)
	}
}

// ended says why a lookup ended without an answer: who asked has left, or it
// took too long.
func (g *guard) ended(ctx context.Context, why error) error {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errLeft
	}
	if why != nil {
		return fmt.Errorf("%w within %v: %w", errTimeout, g.Timeout, why)
	}
	return fmt.Errorf("%w within %v (timeout)", errTimeout, g.Timeout)
}

// scrub takes a password out of an error that a source made with it.
func scrub(err error, password string) error {
	if err == nil || password == "" || Answered(err) || !strings.Contains(err.Error(), password) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), password, "***"))
}
