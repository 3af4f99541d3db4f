package passdb

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"culver/internal/maillog/logline"
	"culver/internal/password"
	"culver/services/auth/aside"
)

// Pool tests passwords: as many at one time as there are processors, and no
// more than the memory for them allows. Who waits in it can leave.
type Pool struct {
	checker password.Checker
	logf    func(l logline.Level, user, format string, args ...any)
	cpus    *semaphore.Weighted
	memory  *semaphore.Weighted // KiB
	weak    sync.Map            // schemes that were complained of
	decoy   atomic.Pointer[string]
}

// NewPool makes a pool whose tests may together take so many KiB. Until the
// first user's password was tested, that of an unknown user takes as long as a
// new one of the best scheme.
func NewPool(checker password.Checker, memory int, logf func(l logline.Level, user, format string, args ...any)) *Pool {
	checker.Memory = memory
	return &Pool{
		checker: checker, logf: logf,
		cpus:   semaphore.NewWeighted(int64(runtime.NumCPU())),
		memory: semaphore.NewWeighted(int64(memory)),
	}
}

// look says whether a stored password may be used at all.
func (p *Pool) look(stored string) (password.Info, error) {
	if p == nil {
		return password.Checker{}.Look(stored)
	}
	info, err := p.checker.Look(stored)
	if err != nil {
		return info, err
	}
	if info.Weak != "" {
		if _, told := p.weak.LoadOrStore(info.Scheme, true); !told {
			p.logf(logline.Warn, "", "passwords are stored by the weak scheme %s: %s", info.Scheme, info.Weak)
		}
	}
	return info, nil
}

// match says whether the password is that of a stored one.
func (p *Pool) match(ctx context.Context, stored, login, text string) (bool, error) {
	if p == nil {
		return password.Checker{}.Match(stored, login, text)
	}
	info, err := p.look(stored)
	if err != nil {
		return false, err
	}
	// The memory first: who waits for that is not to keep a processor.
	if err := p.memory.Acquire(ctx, int64(info.Memory)); err != nil {
		return false, err
	}
	defer p.memory.Release(int64(info.Memory))
	if err := p.cpus.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer p.cpus.Release(1)
	if _, clear := password.Cleartext(stored); clear {
		return p.checker.Match(stored, login, text)
	}
	var ok bool
	aside.Run(func() { ok, err = p.checker.Match(stored, login, text) })
	return ok, err
}

// test is match for a password that counts. What it takes is remembered for decoys.
func (p *Pool) test(ctx context.Context, stored, login, text string) (bool, error) {
	ok, err := p.match(ctx, stored, login, text)
	if err == nil && p != nil {
		if _, clear := password.Cleartext(stored); clear {
			stored = "{PLAIN}decoy" // it costs the same, and is nobody's
		}
		p.decoy.Store(&stored)
	}
	return ok, err
}

// waste takes as long as the last test did, so that an unknown user cannot be
// told from a known one by the time that the answer takes (spec/auth.md 9.6).
// What it finds is of no matter.
func (p *Pool) waste(ctx context.Context, text string) {
	if p == nil {
		return
	}
	decoy := p.decoy.Load()
	if decoy == nil {
		made, err := password.Dummy(password.Default)
		if err != nil {
			return
		}
		p.decoy.CompareAndSwap(nil, &made)
		decoy = &made
	}
	p.match(ctx, *decoy, "", text)
}
