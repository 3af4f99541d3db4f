package rootexec

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/master/internal/rootexec/wire"
)

// relaunchAfter keeps a spawner that dies at once from being started in a loop.
const relaunchAfter = time.Second

// spawner is the master's end of one culver-spawn. Its fields are under the
// Pool's lock.
type spawner struct {
	pid    int
	fd     int // of conn, for sending
	conn   *fdpass.Conn
	ready  chan error // closed or filled at Hello
	hello  bool
	gone   bool
	stuck  bool // its fork takes too long
	busy   *birth
	births map[uint64]*birth // all that it was given
	opened []*birth          // wait for Go
	born   time.Time
}

// working says whether a birth is under way that will still be answered.
func (s *spawner) working() bool {
	for _, b := range s.births {
		if b.phase != late {
			return true
		}
	}
	return false
}

func (s *spawner) free() bool { return s.hello && !s.gone && s.busy == nil }

// await waits for a spawner's Hello.
func (s *spawner) await(limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-s.ready:
		return err
	case <-late.C:
		unix.Kill(s.pid, unix.SIGKILL)
		return fmt.Errorf("spawner %d was not ready within %v of its start: the machine or its disk is too busy, or culver-spawn is not ours", s.pid, limit)
	}
}

// launch starts one spawner and the goroutine that hears it.
func (p *Pool) launch() (*spawner, error) {
	p.launching.Lock()
	defer p.launching.Unlock()
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed { // the descriptors to hand on are closed, their numbers perhaps another's
		return nil, ErrClosed
	}
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, fmt.Errorf("spawner: %w", err)
	}
	defer unix.Close(theirs)
	pid, err := p.exec(theirs)
	if err == nil {
		err = unix.SetNonblock(ours, true)
	}
	if err != nil {
		unix.Close(ours)
		return nil, fmt.Errorf("spawner %s: %w", p.Spawner, err)
	}
	conn, err := fdpass.New(ours, "spawner")
	if err != nil {
		return nil, fmt.Errorf("spawner: %w", err)
	}
	s := &spawner{pid: pid, fd: ours, conn: conn, ready: make(chan error, 1), births: map[uint64]*birth{}, born: time.Now()}
	setup := p.setup()
	if err := s.send(setup.Append(nil)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("spawner: setup: %w", err)
	}
	p.mu.Lock()
	p.spawners[s] = true
	p.mu.Unlock()
	go p.hear(s)
	return s, nil
}

// exec forks the spawner. It keeps the master's identity, so no user can stop
// it on its way.
func (p *Pool) exec(control int) (pid int, err error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(null)
	files := []uintptr{uintptr(null), uintptr(null), uintptr(p.SpawnerLog), uintptr(control), uintptr(p.Settings)}
	for _, fd := range p.Listeners {
		files = append(files, uintptr(fd))
	}
	return syscall.ForkExec(p.Spawner, orDefault(p.SpawnerArgs, p.Spawner), &syscall.ProcAttr{
		Dir: "/",
		// A fork holds one P until its exec; the other one hears the master and
		// opens directories. A third mostly costs wake-ups: with the master's timer
		// slack of 5 ms, two P and two busy loops beside it on two cores, a birth
		// of another user waited 33 ms at most beside 16 openings that hang, and
		// 57 ms beside two users who stop their children (30 and 38 without the
		// loops).
		Env:   []string{"GOMAXPROCS=2"},
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// send sends one message without waiting: what is under way in one spawner is
// far less than its socket holds, so a full one is a broken spawner.
func (s *spawner) send(msg []byte, fds ...int) error {
	if s.gone {
		return unix.EPIPE
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(s.fd, msg, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		if err != unix.EINTR {
			return err
		}
	}
}

// stop shuts the socket: the spawner reads end of file and exits, and so do we.
func (s *spawner) stop() {
	if !s.gone {
		unix.Shutdown(s.fd, unix.SHUT_RDWR)
	}
}

// hear reads a spawner's messages until it is gone.
func (p *Pool) hear(s *spawner) {
	buf := make([]byte, wire.MaxMessage)
	for {
		n, err := s.conn.RecvPlain(buf)
		if err != nil {
			p.lost(s, err)
			return
		}
		r, err := wire.ParseReport(buf[:n])
		if err != nil {
			p.lost(s, err)
			return
		}
		if r.Kind == wire.KindHello {
			p.greeted(s, r)
		} else {
			p.heard(s, r)
		}
	}
}

func (p *Pool) greeted(s *spawner, r wire.Report) {
	if r.Class != ClassNone {
		s.ready <- errors.New(r.Text)
		return // it exits
	}
	s.ready <- nil
	if r.Text != "" {
		p.Logf("service %s: %s", p.Service, r.Text)
	}
	p.mu.Lock()
	s.hello = true
	p.dispatch()
	p.unlock()
}

// lost ends what a spawner had under way as a temporary failure, and starts
// another one unless this one was let go.
func (p *Pool) lost(s *spawner, why error) {
	p.mu.Lock()
	if s.gone {
		p.unlock()
		return
	}
	wanted, opened := p.spawners[s] && !p.closed, p.opened // until then Open reports it
	delete(p.spawners, s)
	s.gone = true
	s.conn.Close()
	for _, b := range s.births {
		p.opens(b)
		if b.phase == late {
			continue // answered
		}
		p.ends(b, Result{Class: ClassTemp, Err: errors.New("the spawner died")})
	}
	p.dispatch()
	p.unlock()
	select {
	case s.ready <- fmt.Errorf("the spawner died at its start: %w", why):
	default:
	}
	if !wanted || !opened {
		return
	}
	p.Logf("service %s: spawner %d died: %v", p.Service, s.pid, why)
	if time.Since(s.born) < relaunchAfter {
		time.AfterFunc(relaunchAfter, p.relaunch)
		return
	}
	p.relaunch()
}

func (p *Pool) relaunch() {
	p.mu.Lock()
	enough := p.closed || p.sound() >= p.size
	p.mu.Unlock()
	if enough {
		return
	}
	if _, err := p.launch(); err != nil && err != ErrClosed {
		p.Logf("service %s: %v", p.Service, err)
		p.forsake(err)
		time.AfterFunc(relaunchAfter, p.relaunch)
	}
}

// forsake answers those who wait for a spawner when there is none and none can
// be started.
func (p *Pool) forsake(why error) {
	p.mu.Lock()
	defer p.unlock()
	if len(p.spawners) > 0 {
		return
	}
	for _, b := range p.queue {
		p.end(b, Result{Class: ClassTemp, Err: why})
	}
	p.queue = nil
}
