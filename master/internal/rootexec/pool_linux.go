package rootexec

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec/wire"
)

const (
	// maxHanging bounds the openings of a Pool that hang: each holds a thread.
	maxHanging = 512
	// stuckAfter is how long a fork may take before a spare spawner replaces
	// the one that makes it.
	stuckAfter = 100 * time.Millisecond
	// stoppedAfter is how long it may take before the child is killed.
	stoppedAfter = time.Second
	// heldFor is how long the uid that stopped a child waits for its next one.
	heldFor = 60 * time.Second
	// maxScan bounds the look past births that cannot go now.
	maxScan = 256
	// graceAfter is the time that a spawner has to speak of a deadline itself.
	graceAfter = 3 * time.Second
)

// Pool is the spawners of one service.
type Pool struct {
	Program
	size int

	launching sync.Mutex // held while a spawner is started; before mu
	mu        sync.Mutex
	opened    bool
	closed    bool
	next      uint64
	spawners  map[*spawner]bool
	queue     []*birth
	opening   map[string]*birth // by user: one opening at a time
	forks     map[int]int       // by uid: births that a spawner is busy with
	heldTill  map[int]time.Time // by uid
	hanging   int
	calls     []func() // callbacks to make once mu is free
}

// birth is a child asked for and not yet there.
type birth struct {
	Child
	serial uint64
	done   func(Result)
	phase  phase
	s      *spawner
	clock  *time.Timer
	killed bool // its user stopped it, and we killed it
}

type phase byte

const (
	queued  phase = iota
	given         // the spawner is busy with it: opening, then waiting for its fork slot
	slow          // its opening takes long; the spawner is free for others
	late          // answered with ClassTimeout; the opening still hangs
	opened        // after slow: open, waits for a free spawner slot
	forking       // between fork and exec
)

// Open starts the spawners and returns when the first of them stands ready; its
// error is a fault of configuration (sandbox = required that cannot be had).
func Open(prog Program) (*Pool, error) {
	p := &Pool{Program: prog, size: prog.spawners(), spawners: map[*spawner]bool{}, opening: map[string]*birth{},
		forks: map[int]int{}, heldTill: map[int]time.Time{}}
	if p.VSZ != 0 && p.VSZ < LeastVSZ {
		return nil, fmt.Errorf("service %s: vsz_limit is %d, want 0 or at least %d: less does not start", p.Service, p.VSZ, LeastVSZ)
	}
	if err := p.keep(); err != nil {
		return nil, err
	}
	if p.Logf == nil {
		p.Logf = func(string, ...any) {}
	}
	first, err := p.launch()
	if err == nil {
		err = <-first.ready
	}
	p.mu.Lock()
	p.opened = err == nil
	p.mu.Unlock()
	for n := 1; n < p.size && err == nil; n++ {
		_, err = p.launch()
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("service %s: %w", p.Service, err)
	}
	return p, nil
}

// keep duplicates the caller's descriptors: a spawner may be started again
// long after the caller closed its own.
func (p *Pool) keep() (err error) {
	dup := func(fd *int) {
		if err == nil {
			*fd, err = unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3)
		}
	}
	dup(&p.Settings)
	dup(&p.SpawnerLog)
	p.Listeners = append([]int(nil), p.Listeners...)
	for i := range p.Listeners {
		dup(&p.Listeners[i])
	}
	if err != nil {
		return fmt.Errorf("service %s: keep descriptors: %w", p.Service, err)
	}
	return nil
}

// Start asks for a child and returns at once. done is called exactly once, on
// some goroutine, with no lock held.
func (p *Pool) Start(c Child, done func(Result)) (serial uint64) {
	p.mu.Lock()
	p.next++
	b := &birth{Child: c, serial: p.next, done: done}
	descriptors := b.keep()
	switch err := c.check(); {
	case descriptors != nil:
		p.end(b, Result{Class: ClassTemp, Err: fmt.Errorf("keep descriptors: %w", descriptors)})
	case err != nil:
		p.end(b, Result{Class: ClassConfig, Err: err})
	case p.closed:
		p.end(b, Result{Class: ClassTemp, Err: ErrClosed})
	default:
		p.queue = append(p.queue, b)
		p.dispatch()
	}
	serial = b.serial
	p.unlock()
	return serial
}

// keep duplicates the caller's descriptors: the birth may have to wait.
func (b *birth) keep() (err error) {
	for _, fd := range []*int{&b.Control, &b.Log} {
		if err == nil {
			*fd, err = unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 3)
		} else {
			*fd = -1
		}
	}
	return err
}

// unlock makes the callbacks that have become due: outside the lock, and on a
// goroutine of their own, since the caller of Start or Close may be the very
// loop that a callback hands its result to.
func (p *Pool) unlock() {
	calls := p.calls
	p.calls = nil
	p.mu.Unlock()
	if len(calls) == 0 {
		return
	}
	go func() {
		for _, call := range calls {
			call()
		}
	}()
}

// end answers a birth. Its descriptors have gone to the child or nowhere.
func (p *Pool) end(b *birth, r Result) {
	if b.phase == queued {
		unix.Close(b.Control)
		unix.Close(b.Log)
	}
	r.Serial = b.serial
	r.Held = r.Class == ClassStopped || r.Class == ClassHeld
	done := b.done
	p.calls = append(p.calls, func() { done(r) })
}

// dispatch gives free spawners what may go now: first the births that are
// open already, then the queue in its order.
func (p *Pool) dispatch() {
	for s := range p.spawners {
		if s.free() && len(s.opened) > 0 && p.mayFork(s.opened[0].UID, p.idle()) {
			b := s.opened[0]
			s.opened = s.opened[1:]
			p.occupy(s, b)
			if err := s.send(wire.Go(b.serial)); err != nil {
				s.stop()
			}
		}
	}
	idle := p.idle()
	keep := p.queue[:0]
	for i, b := range p.queue {
		if idle == 0 && !p.closed || i-len(keep) > maxScan+idle || len(keep) > maxScan {
			keep = append(keep, p.queue[i:]...)
			break
		}
		switch r, verdict := p.judge(b, idle); verdict {
		case refuse:
			p.end(b, r)
		case wait:
			keep = append(keep, b)
		case goes:
			if p.give(b) {
				idle--
			} else {
				keep = append(keep, b)
			}
		}
	}
	clear(p.queue[len(keep):])
	p.queue = keep
}

type verdict byte

const (
	wait verdict = iota
	goes
	refuse
)

// judge decides what happens to a birth at the head of the queue.
func (p *Pool) judge(b *birth, idle int) (Result, verdict) {
	if p.closed {
		return Result{Class: ClassTemp, Err: ErrClosed}, refuse
	}
	if till, ok := p.heldTill[b.UID]; ok {
		if left := time.Until(till); left > 0 {
			return Result{Class: ClassHeld, Err: fmt.Errorf("uid %d stopped a child before its birth; its next one waits %v more",
				b.UID, left.Round(time.Second))}, refuse
		}
		delete(p.heldTill, b.UID)
	}
	before := p.opening[b.User]
	switch {
	case b.User != "" && before != nil && before.phase == late:
		return Result{Class: ClassTimeout, Err: errors.New("an earlier opening of this user's directories still hangs")}, refuse
	case b.User != "" && before != nil:
		return Result{}, wait
	case p.hanging >= maxHanging:
		return Result{Class: ClassTimeout, Err: fmt.Errorf("%d openings hang, no more are begun", p.hanging)}, refuse
	case !p.mayFork(b.UID, idle):
		return Result{}, wait
	}
	return Result{}, goes
}

// mayFork keeps one uid from all the spawners: one fork each, and more only
// while that leaves spawners over for others. A user who stops every child he
// gets thus holds a few of them, never all.
func (p *Pool) mayFork(uid, idle int) bool {
	return p.Keep || p.forks[uid] == 0 || idle > runtime.NumCPU()
}

func (p *Pool) idle() (n int) {
	for s := range p.spawners {
		if s.free() {
			n++
		}
	}
	return n
}

// give sends a birth to a free spawner.
func (p *Pool) give(b *birth) bool {
	for s := range p.spawners {
		if !s.free() || len(s.opened) > 0 && p.idle() > 1 {
			continue
		}
		if err := s.send(b.packet(b.serial), b.Control, b.Log); err != nil {
			s.stop() // its end of file does the rest
			continue
		}
		unix.Close(b.Control)
		unix.Close(b.Log)
		b.s, b.phase = s, given
		s.births[b.serial] = b
		if b.User != "" {
			p.opening[b.User] = b
		}
		p.occupy(s, b)
		b.clock = time.AfterFunc(b.deadline()+graceAfter, func() { p.mute(b) })
		return true
	}
	return false
}

func (p *Pool) occupy(s *spawner, b *birth) {
	s.busy = b
	p.forks[b.UID]++
}

// vacate makes the spawner free again if it was busy with the birth.
func (p *Pool) vacate(b *birth) {
	if b.s.busy != b {
		return
	}
	b.s.busy = nil
	if p.forks[b.UID]--; p.forks[b.UID] == 0 {
		delete(p.forks, b.UID)
	}
}

// opens ends a birth's claim to be its user's only opening.
func (p *Pool) opens(b *birth) {
	if b.phase == slow || b.phase == late {
		p.hanging--
	}
	if p.opening[b.User] == b {
		delete(p.opening, b.User)
	}
}

// heard acts on a message of a spawner.
func (p *Pool) heard(s *spawner, r wire.Report) {
	p.mu.Lock()
	defer p.unlock()
	b := s.births[r.Serial]
	if b == nil {
		return // answered before, when its deadline passed
	}
	switch r.Kind {
	case wire.KindSlow:
		p.vacate(b)
		b.phase = slow
		p.hanging++
	case wire.KindOpened:
		b.clock.Stop()
		p.opens(b)
		b.phase = opened
		s.opened = append(s.opened, b)
	case wire.KindForking:
		b.clock.Stop()
		p.opens(b)
		b.phase = forking
		b.clock = time.AfterFunc(stuckAfter, func() { p.stuck(b) })
	case wire.KindStarted:
		p.ends(b, Result{PID: r.PID})
	case wire.KindFailed:
		p.fails(b, r)
	case wire.KindBack:
		p.opens(b)
		delete(s.births, b.serial)
	}
	p.trim()
	p.dispatch()
}

func (p *Pool) fails(b *birth, r wire.Report) {
	res := Result{Class: r.Class, Err: errors.New(r.Text)}
	if r.Class == ClassTimeout { // its thread still hangs: keep the count until it is back
		b.clock.Stop()
		p.end(b, res)
		b.phase = late
		return
	}
	p.opens(b)
	p.ends(b, res)
}

// ends answers a birth and forgets it.
func (p *Pool) ends(b *birth, r Result) {
	if b.clock != nil {
		b.clock.Stop()
	}
	if b.killed {
		r.Class = ClassStopped
		r.Err = fmt.Errorf("uid %d stopped the child before its birth", b.UID)
	}
	if b.phase == forking {
		b.s.stuck = false
	}
	p.vacate(b)
	delete(b.s.births, b.serial)
	p.end(b, r)
}

// stuck is called when a fork takes too long: first a spare spawner takes the
// place, then the child is killed.
func (p *Pool) stuck(b *birth) {
	p.mu.Lock()
	if b.s.births[b.serial] != b || b.phase != forking {
		p.unlock()
		return
	}
	again := stoppedAfter - stuckAfter
	first := !b.s.stuck
	b.s.stuck = true
	if !first {
		b.killed, again = true, stoppedAfter/4
		p.heldTill[b.UID] = time.Now().Add(heldFor)
	}
	b.clock = time.AfterFunc(again, func() { p.stuck(b) })
	spare := first && !p.closed && p.sound() < p.size && len(p.spawners) < 4*p.size
	pids := p.pids()
	p.unlock()
	switch {
	case spare:
		if _, err := p.launch(); err != nil {
			p.Logf("service %s: spare spawner: %v", p.Service, err)
		}
	case !first:
		p.Logf("service %s: uid %d stops a child before its birth: killed, its next one waits %v", p.Service, b.UID, heldFor)
		killUnborn(b.UID, b.s.pid, pids)
	}
}

// mute ends a spawner that says nothing, not even that a deadline has passed.
func (p *Pool) mute(b *birth) {
	p.mu.Lock()
	silent := b.s.births[b.serial] == b && (b.phase == given || b.phase == slow)
	p.mu.Unlock()
	if silent {
		unix.Kill(b.s.pid, unix.SIGKILL)
		// Not by its end of file: a thread that hangs in the kernel keeps even a
		// killed process's descriptors open.
		p.lost(b.s, errors.New("it does not answer"))
	}
}

// sound counts the spawners that are not stuck.
func (p *Pool) sound() (n int) {
	for s := range p.spawners {
		if !s.stuck {
			n++
		}
	}
	return n
}

// trim lets spare spawners go when the stuck ones are back.
func (p *Pool) trim() {
	for s := range p.spawners {
		if p.sound() <= p.size && !p.closed {
			return
		}
		if s.free() && !s.working() {
			delete(p.spawners, s)
			s.stop()
		}
	}
}

// SpawnerPIDs gives the spawners, which the master reaps too.
func (p *Pool) SpawnerPIDs() map[int]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pids()
}

func (p *Pool) pids() map[int]bool {
	pids := map[int]bool{}
	for s := range p.spawners {
		pids[s.pid] = true
	}
	return pids
}

// Close takes no more births; those under way end as they would, and each
// spawner when its last one has.
func (p *Pool) Close() {
	p.launching.Lock()
	defer p.launching.Unlock()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		unix.Close(p.Settings)
		unix.Close(p.SpawnerLog)
		for _, fd := range p.Listeners {
			unix.Close(fd)
		}
	}
	p.dispatch()
	for s := range p.spawners {
		if !s.hello {
			delete(p.spawners, s)
			s.stop()
		}
	}
	p.trim()
	p.unlock()
}
