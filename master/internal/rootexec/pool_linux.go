package rootexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec/wire"
)

const (
	// maxHanging bounds the openings of a Pool that hang: each holds a thread.
	maxHanging = 512
	// stuckAfter is how long a fork may take before what waits for the spawner
	// that makes it goes elsewhere. Fifty forks' time: a busy machine seldom
	// gets there, and beside a stopped one others still begin again in time.
	stuckAfter = 50 * time.Millisecond
	// spareAfter is how long until a spare spawner replaces it.
	spareAfter = 100 * time.Millisecond
	// stoppedAfter is how long it may take before the child is killed.
	stoppedAfter = time.Second
	// heldFor is how long the uid that stopped a child waits for its next one.
	heldFor = 60 * time.Second
	// maxScan bounds the look past births that cannot go now.
	maxScan = 256
	// helloWithin bounds the start of the first spawner, for which the master's
	// loop waits.
	helloWithin = 10 * time.Second
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
	told   bool // the log has heard that its fork takes long
	checks int  // how often stuck has looked at its fork
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
	p := newPool(prog)
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("service %s: %w", p.Service, err)
	}
	if err := p.keep(); err != nil {
		return nil, err
	}
	if p.Logf == nil {
		p.Logf = func(string, ...any) {}
	}
	first, err := p.launch()
	if err == nil {
		err = first.await(helloWithin)
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

func newPool(prog Program) *Pool {
	return &Pool{Program: prog, size: prog.spawners(), spawners: map[*spawner]bool{}, opening: map[string]*birth{},
		forks: map[int]int{}, heldTill: map[int]time.Time{}}
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

// Start asks for a child and returns at once; it takes over Control and Log,
// whatever becomes of the birth. done is called exactly once, on some goroutine,
// with no lock held.
func (p *Pool) Start(c Child, done func(Result)) (serial uint64) {
	p.mu.Lock()
	p.next++
	b := &birth{Child: c, serial: p.next, done: done}
	switch err := c.check(); {
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

// letGo closes the child's ends of its channels: the spawner has copies. They
// are kept until the fork, since a birth may have to begin again.
func (b *birth) letGo() {
	for _, fd := range []*int{&b.Control, &b.Log} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// end answers a birth.
func (p *Pool) end(b *birth, r Result) {
	b.letGo()
	r.Serial = b.serial
	r.Held = r.Class == ClassStopped || r.Class == ClassHeld
	done := b.done
	p.calls = append(p.calls, func() { done(r) })
}

// dispatch gives free spawners what may go now: first the births that are
// open already, then the queue in its order.
func (p *Pool) dispatch() {
	for s := range p.spawners {
		if !s.free() {
			continue
		}
		idle := p.idle()
		if i := slices.IndexFunc(s.opened, func(b *birth) bool { return p.mayFork(b.UID, idle) }); i >= 0 {
			b := s.opened[i]
			s.opened = slices.Delete(s.opened, i, i+1)
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

// give sends a birth to a free spawner; best to one in which no opened birth
// waits, since only the spawner that opened a birth's paths can fork it.
func (p *Pool) give(b *birth) bool {
	var to *spawner
	for s := range p.spawners {
		if s.free() && (to == nil || len(s.opened) < len(to.opened)) {
			to = s
		}
	}
	if to == nil {
		return false
	}
	if err := to.send(b.packet(b.serial), b.Control, b.Log); err != nil {
		to.stop() // its end of file does the rest
		return false
	}
	b.s, b.phase = to, given
	to.births[b.serial] = b
	if b.User != "" {
		p.opening[b.User] = b
	}
	p.occupy(to, b)
	b.clock = time.AfterFunc(b.deadline()+graceAfter, func() { p.mute(b) })
	return true
}

// restart takes births that wait for Go from a spawner whose fork is stuck, and
// has them begin again in others, before the queue: a fork that another user
// holds up must not hold up theirs.
func (p *Pool) restart(s *spawner) {
	if p.closed {
		return // those under way end as they would; none begins any more
	}
	n := 0
	for _, b := range s.opened {
		if err := s.send(wire.Drop(b.serial)); err != nil {
			s.stop() // and lost ends the rest
			break
		}
		delete(s.births, b.serial)
		b.s, b.phase = nil, queued
		n++
	}
	p.queue = slices.Concat(s.opened[:n], p.queue)
	s.opened = s.opened[n:]
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
		if s.stuck {
			p.restart(s)
		}
	case wire.KindForking:
		b.clock.Stop()
		p.opens(b)
		b.phase = forking
		b.letGo()
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

// stuck is called when a fork takes too long: first what else waits in that
// spawner goes elsewhere and a spare takes its place; later a child that its
// user has stopped is killed. One that is merely slow, on a disk that stalls or
// a machine that swaps, is nobody's doing: it is waited for.
func (p *Pool) stuck(b *birth) {
	p.mu.Lock()
	if !p.unborn(b) {
		p.unlock()
		return
	}
	b.checks++
	switch b.checks {
	case 1:
		b.s.stuck = true
		p.restart(b.s)
		p.dispatch()
		b.clock = time.AfterFunc(spareAfter-stuckAfter, func() { p.stuck(b) })
		p.unlock()
	case 2:
		if p.stoppable(b.UID) {
			b.clock = time.AfterFunc(stoppedAfter-spareAfter, func() { p.stuck(b) })
		}
		spare := !p.closed && p.sound() < p.size && len(p.spawners) < 4*p.size
		p.unlock()
		if spare {
			if _, err := p.launch(); err != nil {
				p.Logf("service %s: spare spawner: %v", p.Service, err)
			}
		}
	default:
		p.unlock()
		p.unstick(b)
	}
}

// unborn says that the birth is still between its fork and its exec.
func (p *Pool) unborn(b *birth) bool {
	return b.phase == forking && b.s.births[b.serial] == b
}

// stoppable says that somebody other than the master may stop a child of the
// uid: not where children keep the master's own, under which its spawners and
// itself run as well. There is nobody else to blame, and all mail would wait.
func (p *Pool) stoppable(uid int) bool { return !p.Keep && uid != os.Getuid() }

// unstick kills the uid's children that are stopped before their exec, and
// holds the uid's next birth only if there was one.
func (p *Pool) unstick(b *birth) {
	found := findStopped(b.UID, b.s.pid)
	p.mu.Lock()
	slow := false
	// Under the lock, so that the spawner's word on this child, which comes once
	// it is dead, finds it marked.
	if p.unborn(b) {
		for _, fd := range found {
			if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
				b.killed = true
			}
		}
		if b.killed {
			p.heldTill[b.UID] = time.Now().Add(heldFor)
		}
		slow = !b.killed && !b.told
		b.told = b.told || slow
		b.clock = time.AfterFunc(stoppedAfter/4, func() { p.stuck(b) })
	}
	killed := b.killed
	p.unlock()
	for _, fd := range found {
		unix.Close(fd)
	}
	switch {
	case killed:
		p.Logf("service %s: uid %d stops a child before its birth: killed, its next one waits %v", p.Service, b.UID, heldFor)
	case slow:
		p.Logf("service %s: the start of a child of uid %d takes more than %v, waiting for it", p.Service, b.UID, stoppedAfter)
	}
}

// mute ends a spawner that says nothing, not even that a deadline has passed.
func (p *Pool) mute(b *birth) {
	p.mu.Lock()
	s := b.s // nil while it waits to begin again
	silent := (b.phase == given || b.phase == slow) && s.births[b.serial] == b
	p.mu.Unlock()
	if silent {
		unix.Kill(s.pid, unix.SIGKILL)
		// Not by its end of file: a thread that hangs in the kernel keeps even a
		// killed process's descriptors open.
		p.lost(s, errors.New("it does not answer"))
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
