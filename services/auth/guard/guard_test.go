package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// fake is a source that does what it is told, and counts.
type fake struct {
	mu     sync.Mutex
	err    error
	hang   bool // and it does not heed its context
	slow   bool // it waits for the end of its context
	end    chan struct{}
	asked  int
	inside int
}

func (f *fake) Lookup(ctx context.Context, v *vars.Values) (passdb.Entry, error) {
	f.mu.Lock()
	f.asked++
	f.inside++
	hang, slow, err := f.hang, f.slow, f.err
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.inside--; f.mu.Unlock() }()
	switch {
	case hang:
		<-f.end
	case slow:
		<-ctx.Done()
		return passdb.Entry{}, fmt.Errorf("connection: %w", ctx.Err())
	}
	return passdb.Entry{Password: "{PLAIN}" + v.User}, err
}

func (f *fake) Verify(_ context.Context, _ *vars.Values, password string) (passdb.Entry, error) {
	return passdb.Entry{}, fmt.Errorf("bind with %s: server is gone", password)
}

func (f *fake) set(hang, slow bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang, f.slow, f.err = hang, slow, err
}

type house struct {
	*fake
	guarded passdb.Source
	mu      sync.Mutex
	lines   []string
}

func newHouse() *house {
	h := &house{fake: &fake{end: make(chan struct{})}}
	h.guarded = Source(h.fake, h.options())
	return h
}

func (h *house) options() Options {
	return Options{Name: `passdb "ldap"`, Timeout: 5 * time.Second, Logf: func(_ logline.Level, _, format string, args ...any) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, fmt.Sprintf(format, args...))
	}}
}

func (h *house) ask(user string) error {
	e, err := h.guarded.Lookup(context.Background(), &vars.Values{User: user})
	if err == nil && e.Password != "{PLAIN}"+user {
		return fmt.Errorf("got %q for %s", e.Password, user)
	}
	return err
}

// fail asks n times, of two users in turn.
func (h *house) fail(n int) {
	for i := range n {
		h.ask(fmt.Sprint("user", i%2))
	}
}

var errDown = errors.New("connection refused")

func TestWhatASourceSaysOfOneUserIsAnAnswer(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, userdb.ErrUnknown, passdb.ErrMismatch, passdb.ErrDisabled, passdb.ErrExpired, passdb.ErrNoLookup, &userdb.Refused{Reason: "moving"}} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse()
			h.set(false, false, err)
			h.fail(100)
			if got := h.ask("ann"); got != err || h.asked != 101 || len(h.lines) != 0 {
				t.Errorf("%v became %v after %d lookups, with %q in the log", err, got, h.asked, h.lines)
			}
		})
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.set(false, false, errDown)
		h.fail(tripAfter)
		began := time.Now()
		err := h.ask("ann")
		if !errors.Is(err, ErrOpen) || errors.Is(err, userdb.ErrUnknown) || time.Since(began) != 0 || h.asked != tripAfter {
			t.Errorf("open: got %v after %v and %d lookups, want a refusal at once", err, time.Since(began), h.asked)
		}
		for _, want := range []string{`passdb "ldap"`, "connection refused"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %q, want %q in it", err, want)
			}
		}
		for range 5 { // it stays away
			time.Sleep(pause + 1)
			if err := h.ask("ann"); !errors.Is(err, errDown) {
				t.Errorf("half-open: got %v, want the source's error", err)
			}
			if err := h.ask("ann"); !errors.Is(err, ErrOpen) {
				t.Errorf("open again: got %v", err)
			}
		}
		h.set(false, false, nil)
		time.Sleep(pause + 1)
		h.fail(3)
		if err := h.ask("ann"); err != nil {
			t.Errorf("closed: got %v", err)
		}
		want := []string{"failed 5 times in a row and is left alone for 10s", "is tried again with one lookup", "answers again"}
		if len(h.lines) != len(want) {
			t.Fatalf("logged %q, want three lines", h.lines)
		}
		for i, w := range want {
			if !strings.Contains(h.lines[i], `passdb "ldap" `+w) {
				t.Errorf("line %d is %q, want %q", i, h.lines[i], w)
			}
		}
	})
}

func TestOneUsersBadEntryShutsOutNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.set(false, false, errors.New("uid 0 is not allowed"))
		for range 50 {
			h.ask("zero")
		}
		h.set(false, false, nil)
		if err := h.ask("ann"); err != nil || len(h.lines) != 0 {
			t.Errorf("got %v and %q in the log, want an answer", err, h.lines)
		}
	})
}

func TestASourceThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, other := newHouse(), newHouse()
		h.set(true, false, nil)
		var all sync.WaitGroup
		began := time.Now()
		var mu sync.Mutex
		var worst time.Duration
		for range 1000 {
			all.Go(func() {
				err := h.ask("ann")
				mu.Lock()
				defer mu.Unlock()
				worst = max(worst, time.Since(began))
				if err == nil || Answered(err) {
					t.Errorf("got %v of a source that hangs", err)
				}
			})
		}
		synctest.Wait()
		if h.inside != maxLookups {
			t.Errorf("%d lookups are in the source, want %d", h.inside, maxLookups)
		}
		if err := other.ask("ann"); err != nil || time.Since(began) != 0 {
			t.Errorf("another source: got %v after %v, want an answer at once", err, time.Since(began))
		}
		all.Wait()
		if worst != 5*time.Second {
			t.Errorf("the last one waited %v, want the time-out", worst)
		}
		now := time.Now()
		if err := h.ask("ann"); !errors.Is(err, ErrOpen) || time.Since(now) != 0 {
			t.Errorf("then: got %v after %v, want a refusal at once", err, time.Since(now))
		}
		for range 10 {
			time.Sleep(pause + 1)
			h.ask("ann")
		}
		if h.asked > maxLookups {
			t.Errorf("%d lookups went to the source, want %d", h.asked, maxLookups)
		}
		h.set(false, false, nil)
		close(h.end)
		synctest.Wait()
		if h.inside != 0 {
			t.Errorf("%d lookups are still there", h.inside)
		}
		time.Sleep(pause + 1)
		if err := h.ask("ann"); err != nil {
			t.Errorf("when it is back: got %v", err)
		}
	})
}

func TestTimeoutOfASourceThatHeedsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.set(false, true, nil)
		began := time.Now()
		err := h.ask("ann")
		if took := time.Since(began); took != 5*time.Second || !errors.Is(err, errTimeout) || !strings.Contains(err.Error(), `passdb "ldap": no answer within 5s`) {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestClientsThatLeaveAreNotTheSourcesFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.set(false, true, nil)
		for i := range 20 {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(time.Second, cancel)
			if _, err := h.guarded.Lookup(ctx, &vars.Values{User: fmt.Sprint(i)}); !errors.Is(err, errLeft) {
				t.Errorf("got %v", err)
			}
		}
		h.set(false, false, nil)
		if err := h.ask("ann"); err != nil || len(h.lines) != 0 {
			t.Errorf("got %v, %q", err, h.lines)
		}
	})
}

func TestNoPasswordInAnError(t *testing.T) {
	t.Parallel()
	h := newHouse()
	v := Verifier(h.fake, h.options())
	for i := range 2 * tripAfter {
		_, err := v.Verify(context.Background(), &vars.Values{User: fmt.Sprint(i)}, "hunter2")
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "server is gone") {
			t.Errorf("got %v", err)
		}
	}
	if said := strings.Join(h.lines, "\n"); strings.Contains(said, "hunter2") || !strings.Contains(said, "bind with ***") {
		t.Errorf("logged %q", said)
	}
}

type users struct{ fake }

func (u *users) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	_, err := u.fake.Lookup(ctx, v)
	return field.List{{Key: "uid", Value: "5000"}}, err
}
func (u *users) Names(*vars.Values) bool { return true }
func (u *users) Each(_ context.Context, _ func(string) (string, bool), yield func(string) error) error {
	return yield("ann")
}

func TestUserdb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		u := &users{}
		g := DB(u, h.options())
		f, err := g.Lookup(context.Background(), &vars.Values{User: "ann"})
		if err != nil || len(f) != 1 || !g.Names(nil) {
			t.Errorf("got %v, %v", f, err)
		}
		list := func() error {
			return g.Each(context.Background(), nil, func(string) error { return nil })
		}
		if err := list(); err != nil {
			t.Error(err)
		}
		u.err = errDown
		for i := range tripAfter {
			g.Lookup(context.Background(), &vars.Values{User: fmt.Sprint(i)})
		}
		if err := list(); !errors.Is(err, ErrOpen) {
			t.Errorf("a list while the breaker is open: got %v", err)
		}
	})
}
