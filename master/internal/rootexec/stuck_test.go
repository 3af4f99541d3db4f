package rootexec

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/master/internal/rootexec/wire"
)

// fake is a spawner whose part the test plays: no time passes in it.
type fake struct {
	*spawner
	t   testing.TB
	end int
}

func fakePool(t testing.TB) *Pool {
	t.Helper()
	p := newPool(Program{Service: "test", Spawners: 1, Logf: t.Logf})
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.closed = true // no clock of ours starts a spawner any more
	})
	return p
}

func (p *Pool) fake(t testing.TB) *fake {
	t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(ours); unix.Close(theirs) })
	s := &spawner{pid: os.Getpid(), fd: ours, hello: true, ready: make(chan error, 1), births: map[uint64]*birth{}, born: time.Now()}
	p.mu.Lock()
	p.spawners[s] = true
	p.mu.Unlock()
	return &fake{s, t, theirs}
}

// next gives the kind and the serial of the master's next message.
func (f *fake) next() (wire.Kind, uint64) {
	f.t.Helper()
	poll := []unix.PollFd{{Fd: int32(f.end), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 5000)
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			f.t.Fatalf("no message: %v", err)
		}
		break
	}
	buf := make([]byte, wire.MaxMessage)
	n, _, _, _, err := unix.Recvmsg(f.end, buf, make([]byte, 64), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	if b, err := wire.ParseBirth(buf[:n]); err == nil {
		return wire.KindBirth, b.Serial
	}
	serial, _, err := wire.ParseGo(buf[:n])
	if err != nil {
		f.t.Fatal(err)
	}
	return wire.Kind(buf[0]), serial
}

func (f *fake) want(kind wire.Kind, serial uint64) {
	f.t.Helper()
	if k, s := f.next(); k != kind || s != serial {
		f.t.Fatalf("message %d for birth %d, want %d for %d", k, s, kind, serial)
	}
}

// ask starts a birth of the uid.
func ask(t testing.TB, p *Pool, uid int) (serial uint64, done chan Result) {
	t.Helper()
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	log, err := unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan Result, 1)
	serial = p.Start(Child{Identity: Identity{UID: uid, GID: uid}, Control: null, Log: log}, func(r Result) { done <- r })
	return serial, done
}

func TestPoolForkThatIsSlowIsWaitedFor(t *testing.T) {
	t.Parallel()
	const uid = 50601 // no process of this uid is stopped: the fork waits for a disk
	p := fakePool(t)
	s := p.fake(t)
	serial, done := ask(t, p, uid)
	s.want(wire.KindBirth, serial)
	p.heard(s.spawner, wire.Report{Kind: wire.KindForking, Serial: serial})
	p.mu.Lock()
	b := s.spawner.births[serial]
	p.mu.Unlock()
	for range 5 { // as often as its clock would call in three seconds
		b.clock.Stop()
		p.stuck(b)
	}
	p.heard(s.spawner, wire.Report{Kind: wire.KindStarted, Serial: serial, PID: 1 << 30})
	if r := <-done; r.Err != nil || r.PID != 1<<30 {
		t.Errorf("got %+v, want the child", r)
	}
	next, _ := ask(t, p, uid)
	s.want(wire.KindBirth, next) // and not held
}

func TestPoolHoldsNobodyWithTheMastersOwnUID(t *testing.T) {
	t.Parallel()
	p := fakePool(t)
	if p.stoppable(os.Getuid()) || !p.stoppable(os.Getuid()+1) {
		t.Error("want only other uids to be suspected of stopping their children")
	}
	p.Keep = true
	if p.stoppable(os.Getuid() + 1) {
		t.Error("a child that keeps the master's identity is suspected")
	}
}

func TestPoolOpenedBirthsLeaveASpawnerThatIsStuck(t *testing.T) {
	t.Parallel()
	p := fakePool(t)
	s := p.fake(t)
	waits, done := ask(t, p, 50611)
	s.want(wire.KindBirth, waits)
	p.heard(s.spawner, wire.Report{Kind: wire.KindSlow, Serial: waits})
	sticks, _ := ask(t, p, 50612)
	s.want(wire.KindBirth, sticks)
	p.heard(s.spawner, wire.Report{Kind: wire.KindForking, Serial: sticks})
	at := time.Now()
	p.heard(s.spawner, wire.Report{Kind: wire.KindOpened, Serial: waits})
	other := p.fake(t)
	s.want(wire.KindDrop, waits)
	other.want(wire.KindBirth, waits)
	if took := time.Since(at); took > stoppedAfter/2 {
		t.Errorf("it began again after %v, want far less than the %v after which the child is killed", took, stoppedAfter)
	}
	p.heard(other.spawner, wire.Report{Kind: wire.KindStarted, Serial: waits, PID: 1 << 30})
	if r := <-done; r.Err != nil || r.PID != 1<<30 {
		t.Errorf("got %+v, want the child of the second spawner", r)
	}
}

func TestPoolBirthThatOpensInAStuckSpawnerBeginsAgainAtOnce(t *testing.T) {
	t.Parallel()
	p := fakePool(t)
	s := p.fake(t)
	waits, _ := ask(t, p, 50621)
	s.want(wire.KindBirth, waits)
	p.heard(s.spawner, wire.Report{Kind: wire.KindSlow, Serial: waits})
	other := p.fake(t)
	p.mu.Lock()
	s.stuck, s.busy = true, &birth{}
	p.mu.Unlock()
	p.heard(s.spawner, wire.Report{Kind: wire.KindOpened, Serial: waits})
	s.want(wire.KindDrop, waits)
	other.want(wire.KindBirth, waits)
}

func TestPoolOpenedBirthThatMayNotForkKeepsNoSpawnerIdle(t *testing.T) {
	t.Parallel()
	const uid = 50631
	p := fakePool(t)
	s := p.fake(t)
	// Two births of one uid are open in s, a third one's fork is under way
	// elsewhere: they wait, and s is free for others.
	var open []uint64
	for range 2 {
		serial, _ := ask(t, p, uid)
		s.want(wire.KindBirth, serial)
		p.heard(s.spawner, wire.Report{Kind: wire.KindSlow, Serial: serial})
		open = append(open, serial)
	}
	p.mu.Lock()
	p.forks[uid]++
	p.mu.Unlock()
	for _, serial := range open {
		p.heard(s.spawner, wire.Report{Kind: wire.KindOpened, Serial: serial})
	}
	two := p.fake(t) // a second idle one, also with an opened birth that waits
	two.opened = s.opened[1:]
	s.opened = s.opened[:1]
	serial, _ := ask(t, p, uid+1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.births[serial] == nil && two.births[serial] == nil {
		t.Error("another user's birth waits although a spawner is idle")
	}
}

func TestSpawnerThatNeverSaysHelloIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	s := &spawner{pid: 1 << 30, ready: make(chan error, 1)} // a pid that none has
	err := s.await(10 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "not ready within 10ms") {
		t.Errorf("got %v, want an error that says so", err)
	}
}
