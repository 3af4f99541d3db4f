// Package spawn is the whole of culver-spawn: a process that makes the children
// of one service, each in its box, so that the master need not fork anything
// that a user could stop.
//
// Runs as:   ROOT, or whoever runs the master.
// Trusts:    the master at the other end of descriptor 3.
// Distrusts: the users: what lies in their directories, how long it takes to
// open, and the signals they send to a child that already has their uid.
// Speaks:    package wire; design 2; spec/platform.md 4.1.
//
// Opening a user's paths happens on one thread per birth, side by side; forks
// come one at a time. Go's fork holds a scheduler's P until the exec, and a
// child that its user stops before the exec holds it for ever: no garbage
// collection may begin then, or the whole process would wait for it. So the
// collector is off and runs only between forks.
package spawn

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec/box"
	"culver/master/internal/rootexec/wire"
)

// The main thread is kept for main: a boxed thread ends with its goroutine,
// which the main thread of a process cannot.
func init() { runtime.LockOSThread() }

// exitConfig is spec/master.md 14's: what no restart mends.
const exitConfig = 78

// birthsPerCollection is how many births' garbage may lie about.
const birthsPerCollection = 256

// spawner is one process.
type spawner struct {
	wire.Setup
	abi    int    // the Landlock in use, 0 for none
	weak   string // what a best-effort sandbox lacks
	null   int
	slot   sync.Mutex // one fork at a time, and the collector at no fork's time
	births int        // since the last collection; under slot
	attr   syscall.SysProcAttr

	mu   sync.Mutex
	held map[uint64]*birth // said Opened, wait for Go
}

// Main runs until the master is gone.
func Main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "culver-spawn: %v\n", err)
		os.Exit(exitConfig)
	}
}

func run() error {
	buf := make([]byte, wire.MaxMessage)
	n, fds, err := receive(buf)
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	closeAll(fds)
	s := &spawner{held: map[uint64]*birth{}}
	if s.Setup, err = wire.ParseSetup(buf[:n]); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	if err := s.prepare(); err != nil {
		report(&wire.Report{Kind: wire.KindHello, Class: wire.ClassConfig, Text: err.Error()})
		return err
	}
	report(&wire.Report{Kind: wire.KindHello, ABI: s.abi, Text: s.weak})
	return s.serve(buf)
}

// serve reads requests until end of file, which is the master's death or its
// leave to go.
func (s *spawner) serve(buf []byte) error {
	for {
		n, fds, err := receive(buf)
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		if n == 0 {
			return nil
		}
		switch wire.Kind(buf[0]) {
		case wire.KindBirth:
			b := &birth{s: s, fds: fds}
			if b.Birth, err = wire.ParseBirth(buf[:n]); err == nil && len(fds) != 2 {
				err = errors.New("a birth without its two descriptors")
			}
			if err == nil {
				go b.run()
			}
		case wire.KindGo, wire.KindDrop:
			var serial uint64
			var drop bool
			if serial, drop, err = wire.ParseGo(buf[:n]); err == nil {
				s.release(serial, !drop)
			}
		default:
			err = wire.ErrMessage
		}
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
}

// prepare makes this process what its children inherit.
func (s *spawner) prepare() error {
	// The children share our memory until their exec: not dumpable, so that
	// their user can neither trace them there, nor have them dump core, which on
	// kernels before 5.16 ended every process of that memory.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("PR_SET_DUMPABLE: %w", err)
	}
	// A supervisor may signal all of us at once: the master decides when this
	// process ends. Caught and not ignored, since an exec hands on what is ignored.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	unix.Umask(0o077)
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	// Whatever the master's own parent left open ends here.
	if err := unix.CloseRange(wire.FDControl, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	var err error
	if s.null, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	if err := s.limit(); err != nil {
		return err
	}
	debug.SetGCPercent(-1)
	// The master reaps: the child is its own, as if it had forked it.
	s.attr = syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT, Setsid: true}
	return s.shut()
}

func (s *spawner) limit() error {
	for _, l := range []struct {
		name  string
		which int
		value uint64
		set   bool
	}{
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0, true},
		{"RLIMIT_DATA", unix.RLIMIT_DATA, s.Data, s.Data != 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, s.Files, s.Files != 0},
	} {
		if !l.set {
			continue
		}
		if err := syscall.Setrlimit(l.which, &syscall.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// shut loads the filter and finds out which box the kernel gives. What cannot be
// had ends a required sandbox; else it is left out, and weak says so.
func (s *spawner) shut() error {
	if s.Sandbox == wire.SandboxOff {
		return nil
	}
	calls := box.WorkerCalls()
	if s.Filter == wire.FilterDaemon {
		calls = box.DaemonCalls()
	}
	filter := calls.Load()
	if filter == nil {
		filter = box.ProbeFilter()
	}
	abi := box.ABI()
	landlock := error(nil)
	if abi < box.LeastABI {
		landlock = fmt.Errorf("the kernel has Landlock ABI %d, want %d or more", abi, box.LeastABI)
	} else {
		landlock = box.ProbeLandlock(abi)
	}
	if landlock == nil {
		s.abi = abi // what was refused once is not tried at each birth
	}
	err := errors.Join(landlock, filter)
	if err != nil && s.Sandbox == wire.SandboxRequired {
		return fmt.Errorf("sandbox = required: %w", err)
	}
	if err != nil {
		s.weak = "sandbox = best-effort: " + err.Error()
	}
	return nil
}

// report sends one message. A master that is gone ends us.
func report(r *wire.Report) {
	var room [wire.MaxText + 64]byte
	for {
		err := unix.Sendmsg(wire.FDControl, r.Append(room[:0]), nil, nil, unix.MSG_NOSIGNAL)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			os.Exit(0)
		}
	}
}

// receive waits for one message and the descriptors with it.
func receive(buf []byte) (n int, fds []int, err error) {
	var oob [64]byte
	var oobn, flags int
	for {
		n, oobn, flags, _, err = unix.Recvmsg(wire.FDControl, buf, oob[:], unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range msgs {
		if got, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = wire.ErrMessage
	}
	return n, fds, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
