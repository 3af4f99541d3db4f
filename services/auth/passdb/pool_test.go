package passdb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"culver/internal/maillog/logline"
	"culver/internal/password"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

func hash(t *testing.T, scheme string, rounds int) string {
	t.Helper()
	h, err := password.Hash(scheme, "bob", "right", rounds)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhoWaitsInThePoolCanLeave(t *testing.T) {
	t.Parallel()
	stored := hash(t, "SSHA", 0)
	p := NewPool(password.Checker{}, 1<<16, nil)
	p.cpus.Acquire(context.Background(), int64(runtime.NumCPU()))
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() { _, err := p.match(ctx, stored, "bob", "right"); left <- err }()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	c := Chain{Pool: p, Links: []Link{{Source: one{entry: Entry{Password: stored}}}}}
	if got := outcome(c.Run(ctx, Query{Values: &vars.Values{User: "bob@x"}, Password: "right"})); got != "temporary" {
		t.Errorf("who left got %q, want a temporary failure", got)
	}
	p.cpus.Release(int64(runtime.NumCPU()))
	if ok, err := p.match(context.Background(), stored, "bob", "right"); !ok || err != nil {
		t.Errorf("got %v, %v, want a match", ok, err)
	}
}

func TestMemoryOfTests(t *testing.T) {
	t.Parallel()
	stored := hash(t, "ARGON2ID", 1)
	info, err := password.Checker{}.Look(stored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewPool(password.Checker{}, info.Memory-1, nil).match(context.Background(), stored, "bob", "right"); !errors.Is(err, password.ErrMemory) {
		t.Errorf("more than there is: got %v, want %v", err, password.ErrMemory)
	}
	// There is room for one: the other waits, and both are right.
	p := NewPool(password.Checker{}, info.Memory, nil)
	done := make(chan string)
	for range 2 {
		go func() {
			ok, err := p.match(context.Background(), stored, "bob", "right")
			done <- fmt.Sprint(ok, err)
		}()
	}
	for range 2 {
		if got := <-done; got != "true <nil>" {
			t.Errorf("got %s", got)
		}
	}
}

func TestWeakSchemesAreToldOfOnce(t *testing.T) {
	t.Parallel()
	var told atomic.Int32
	p := NewPool(password.Checker{AllowWeak: true}, 1<<16, func(_ logline.Level, _, format string, args ...any) {
		if strings.Contains(fmt.Sprintf(format, args...), "PLAIN-MD5") {
			told.Add(1)
		}
	})
	stored := hash(t, "PLAIN-MD5", 0)
	for range 3 {
		if ok, err := p.match(context.Background(), stored, "bob", "right"); !ok || err != nil {
			t.Errorf("got %v, %v, want a match", ok, err)
		}
	}
	if got := told.Load(); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
}

// TestUnknownUsersCostATest: the time that an answer takes does not tell who
// exists, so every wrong password waits for its turn in the pool. Only where the
// source is away, which the answer tells, there is nothing to hide.
func TestUnknownUsersCostATest(t *testing.T) {
	t.Parallel()
	stored := hash(t, "SSHA", 0)
	for name, l := range map[string]Link{
		"known":    {Source: one{entry: Entry{Password: stored}}},
		"unknown":  {Source: one{err: userdb.ErrUnknown}},
		"empty":    {Source: one{}},
		"locked":   {Source: one{err: ErrDisabled}},
		"filtered": {Source: one{}, Filter: []string{"*@y"}},
		"away":     {Source: one{err: errBroken}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPool(password.Checker{}, 1<<16, nil)
			p.test(t.Context(), stored, "bob", "x")
			p.cpus.Acquire(t.Context(), int64(runtime.NumCPU()))
			answered := false
			go func() {
				Chain{Pool: p, Links: []Link{l}}.Run(t.Context(), Query{Values: &vars.Values{User: "bob@x"}, Password: "wrong"})
				answered = true
			}()
			synctest.Wait()
			if answered != (name == "away") {
				t.Errorf("%s: answered without a test is %v", name, answered)
			}
			p.cpus.Release(int64(runtime.NumCPU()))
			synctest.Wait()
			if !answered {
				t.Errorf("%s: not answered", name)
			}
		})
	}
}

func TestTheDecoyIsNobodysPassword(t *testing.T) {
	t.Parallel()
	p := NewPool(password.Checker{}, 1<<16, nil)
	p.test(context.Background(), "{PLAIN}secret", "bob", "x")
	if strings.Contains(*p.decoy.Load(), "secret") {
		t.Errorf("the decoy is %q", *p.decoy.Load())
	}
}
