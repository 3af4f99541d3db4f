package spawn

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec/box"
	"culver/master/internal/rootexec/wire"
)

// slowAfter is how long an opening may take before the master is told to give
// this spawner other work. Being called slow costs a birth two more messages;
// each opening that will hang costs the others this time of one spawner, and a
// file server that is gone brings many at once.
const slowAfter = 3 * time.Millisecond

// state is how far a birth's opening is. Whoever moves it speaks to the master
// before the other one can: the master relies on the order.
type state byte

const (
	opening state = iota
	slow          // the master was told Slow
	late          // the master was told Failed: the deadline has passed
	open          // the paths are open
)

// birth is one child in the making.
type birth struct {
	wire.Birth
	s     *spawner
	fds   []int // control, log
	timer *time.Timer
	leave chan bool // true: Go came; false: Drop
	paths []int     // the user's directories, O_PATH

	mu    sync.Mutex
	state state
}

// move goes from one state to another, if it is in the one, and tells the
// master; r may be nil.
func (b *birth) move(from, to state, r *wire.Report) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != from {
		return false
	}
	b.state = to
	if r != nil {
		r.Serial = b.Serial
		report(r)
	}
	return true
}

// run is a birth from first to last, on a thread that ends with it: its eyes
// and its box can never be taken off again.
func (b *birth) run() {
	runtime.LockOSThread() // never unlocked
	defer b.s.tidy()
	defer closeAll(b.fds)
	// Two steps: tick uses b.timer, and may run at once.
	b.timer = time.AfterFunc(time.Hour, b.tick)
	b.timer.Reset(slowAfter)
	class, err := b.open()
	defer func() { closeAll(b.paths) }()
	b.timer.Stop()
	if !b.move(opening, open, nil) {
		if !b.move(slow, open, nil) {
			report(&wire.Report{Kind: wire.KindBack, Serial: b.Serial})
			return
		}
		// The master may have given our slot away: a fork that another user
		// holds up in it must not hold up this one.
		if err == nil && !b.await() {
			return
		}
	}
	var pid int
	if err == nil {
		class = wire.ClassConfig
		err = b.enclose()
	}
	if err == nil {
		pid, class, err = b.s.fork(b)
	}
	if err != nil {
		report(&wire.Report{Kind: wire.KindFailed, Serial: b.Serial, Class: class, Text: err.Error()})
		return
	}
	report(&wire.Report{Kind: wire.KindStarted, Serial: b.Serial, PID: pid})
}

// tick is the timer's: first slow, then late.
func (b *birth) tick() {
	if b.move(opening, slow, &wire.Report{Kind: wire.KindSlow}) {
		b.timer.Reset(max(time.Duration(b.Deadline)-slowAfter, slowAfter))
		return
	}
	b.move(slow, late, &wire.Report{Kind: wire.KindFailed, Class: wire.ClassTimeout,
		Text: fmt.Sprintf("the directories did not open within %v", time.Duration(b.Deadline))})
}

// await says Opened and waits for the master's word: Go, or Drop.
func (b *birth) await() bool {
	b.leave = make(chan bool, 1)
	b.s.mu.Lock()
	b.s.held[b.Serial] = b
	b.s.mu.Unlock()
	report(&wire.Report{Kind: wire.KindOpened, Serial: b.Serial})
	return <-b.leave
}

func (s *spawner) release(serial uint64, forks bool) {
	s.mu.Lock()
	b := s.held[serial]
	delete(s.held, serial)
	s.mu.Unlock()
	if b != nil {
		b.leave <- forks
	}
}

// open takes the user's eyes and opens what the box will hold. Nothing of the
// user's is touched before the eyes are the user's.
func (b *birth) open() (wire.Class, error) {
	if !b.s.Keep {
		if err := box.Become(b.UID, b.GID, b.Groups); err != nil {
			return wire.ClassTemp, err
		}
	}
	if b.Marker != "" {
		if err := box.Exists(b.Marker); err != nil {
			return wire.ClassMount, fmt.Errorf("mail_mount_marker: %w", err)
		}
	}
	o := box.Opener{UID: b.UID, GID: b.GID, Root: !b.s.Keep}
	for _, p := range b.Paths {
		fd, err := o.Open(p.Above, p.Below, p.Make)
		if p.Spare && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return classOf(err), err
		}
		b.paths = append(b.paths, fd)
	}
	return wire.ClassNone, nil
}

// classOf tells what the user's paths are to blame for from what the machine is.
func classOf(err error) wire.Class {
	for _, e := range []error{unix.EACCES, unix.EPERM, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EXDEV,
		unix.ENAMETOOLONG, unix.EINVAL, box.ErrLink} {
		if errors.Is(err, e) {
			return wire.ClassPath
		}
	}
	return wire.ClassTemp
}

// enclose shuts this thread in the box; the child is forked from it.
func (b *birth) enclose() error {
	if b.s.abi == 0 {
		return nil
	}
	if err := box.NoNewPrivileges(); err != nil {
		return err
	}
	daemon := b.s.Filter == wire.FilterDaemon
	rules, err := box.NewRules(b.s.abi, daemon)
	if err != nil {
		return err
	}
	defer rules.Close()
	// Opened anew each time: an upgrade puts a new file in the old one's place.
	program, err := unix.Open(b.s.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", b.s.Path, err)
	}
	defer unix.Close(program)
	if err := rules.Program(program); err != nil {
		return err
	}
	for _, fd := range b.paths {
		if err := rules.Mail(fd); err != nil {
			return err
		}
	}
	for access, paths := range map[box.Access][]string{
		box.Read: b.s.ReadOnly, box.Write: b.s.ReadWrite, box.Execute: b.s.Libraries,
	} {
		if err := fixed(rules, paths, access); err != nil {
			return err
		}
	}
	return rules.Enforce()
}

// fixed opens the service's own paths, which come from the configuration.
func fixed(rules *box.Rules, paths []string, access box.Access) error {
	for _, p := range paths {
		fd, err := unix.Open(p, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue
		}
		if err == nil {
			err = rules.Fixed(fd, access)
			unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// fork waits for the slot and makes the child.
func (s *spawner) fork(b *birth) (pid int, class wire.Class, err error) {
	attr := syscall.ProcAttr{Env: append(s.Env[:len(s.Env):len(s.Env)], b.Identity), Files: s.files(b), Sys: &s.attr}
	if !s.Keep {
		sys := s.attr
		sys.Credential = credential(&b.Birth)
		attr.Sys = &sys
	}
	s.slot.Lock()
	defer s.slot.Unlock()
	// From here on the master watches the clock: between setuid and exec the
	// child's user may stop it, and we could not even notice.
	report(&wire.Report{Kind: wire.KindForking, Serial: b.Serial})
	pid, err = syscall.ForkExec(s.Path, s.Args, &attr)
	switch {
	case err == nil:
		return pid, wire.ClassNone, nil
	case err == syscall.EAGAIN, err == syscall.ENOMEM, err == syscall.ENFILE, err == syscall.EMFILE:
		class = wire.ClassTemp
	default:
		class = wire.ClassConfig
	}
	return 0, class, fmt.Errorf("start %s: %w", s.Path, err)
}

// tidy collects the garbage of many births, those that failed as well; holding
// the slot, so that no fork can make the collector wait.
func (s *spawner) tidy() {
	s.slot.Lock()
	defer s.slot.Unlock()
	if s.births++; s.births >= birthsPerCollection {
		s.births = 0
		runtime.GC()
	}
}

// files places exactly the child's descriptors; every other one of ours is
// close-on-exec.
func (s *spawner) files(b *birth) []uintptr {
	null := uintptr(s.null)
	f := []uintptr{null, null, uintptr(b.fds[1]), uintptr(b.fds[0]), wire.FDSettings}
	for i := range s.Listeners {
		f = append(f, uintptr(wire.FDListen+i))
	}
	return f
}

func credential(b *wire.Birth) *syscall.Credential {
	c := &syscall.Credential{Uid: uint32(b.UID), Gid: uint32(b.GID)}
	for _, g := range b.Groups {
		c.Groups = append(c.Groups, uint32(g))
	}
	return c
}
