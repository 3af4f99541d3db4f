package auth

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
	"culver/internal/worker"
	"culver/services/auth/attempt"
)

// drainTime bounds the end: lookups take microseconds, lists are cut.
const drainTime = 5 * time.Second

// ballast is memory that is never touched, so it takes none. The collector runs
// when the heap has doubled: of the one megabyte that a few users need that is
// after each two thousand lookups, a third of their cost. (GOGC would do the same
// to the memory of password hashes.)
const ballast = 8 << 20

// Run is the life of the auth process; it returns the exit code.
func Run(p *worker.Process) int {
	defer runtime.KeepAlive(make([]byte, ballast))
	logf := func(l logline.Level, user, format string, args ...any) {
		logline.Print(l, "", head(user, authproto.MaxUser), format, args...)
	}
	s, err := New(p.Settings, logf)
	if err != nil {
		logf(logline.Fatal, "", "%v", err)
		return worker.ExitConfig
	}
	s.Audit = func(r attempt.Record) { os.Stderr.Write(audit(r)) }
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	signal.Ignore(syscall.SIGINT)
	listeners, err := s.listen(p)
	if err != nil {
		logf(logline.Fatal, "", "%v", err)
		return worker.ExitConfig
	}
	if err := p.Status(max(1, s.Clients), 0); err != nil {
		return 0 // the master is gone already
	}
	left := make(chan struct{})
	go func() { defer close(left); s.obey(p) }()
	select {
	case <-left:
	case <-end:
	}
	for _, l := range listeners {
		l.Close()
	}
	s.Drain(drainTime)
	return 0
}

// maxSession is how much of a session's name stands in front of a line.
const maxSession = 128

// audit is a record as a line for the log service. What stands in front of the
// text is cut: a line is cut at its end, and who asks with a session's name of 4 KiB
// would leave no record.
func audit(r attempt.Record) []byte {
	return logline.Append(nil, logline.Audit, head(r.Session, maxSession), head(r.Target, authproto.MaxUser), r.String())
}

func head(s string, most int) string { return s[:min(len(s), most)] }

// listen starts to serve the listeners that came from the master. One that
// cannot be served is closed, so that its clients do not wait, and costs no other.
func (s *Server) listen(p *worker.Process) ([]net.Listener, error) {
	var all []net.Listener
	for i, fd := range p.Listeners() {
		set := p.Settings.Sub(fmt.Sprintf("listener/%d/", i))
		file := os.NewFile(uintptr(fd), set["name"])
		l, err := net.FileListener(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("listener %q: %w", set["name"], err)
		}
		role, err := roleOf(set["name"], set["type"])
		ul, local := l.(*net.UnixListener)
		if local {
			ul.SetUnlinkOnClose(false) // the path is the master's
		}
		if err == nil && role.Local && !local {
			err = fmt.Errorf("listener %q: the role %s is for unix_listener only", set["name"], role.Name)
		}
		if err == nil && role.Client && len(s.Mechanisms) == 0 {
			err = fmt.Errorf("listener %q: there is no mechanism to offer", set["name"])
		}
		if err != nil {
			s.Logf(logline.Error, "", "%v: it is not served", err)
			l.Close()
			continue
		}
		all = append(all, l)
		go s.Serve(l, role, socketOf(set))
	}
	return all, nil
}

// socketOf reads a listener's mode and owner. An owner that is not given, or -1,
// is this process's own user: the master made the socket as itself.
func socketOf(set finished.Bag) Socket {
	number := func(key string, otherwise int) int64 {
		if n, err := strconv.ParseInt(set[key], 10, 64); err == nil && n >= 0 {
			return n
		}
		return int64(otherwise)
	}
	return Socket{
		Mode: number("mode", 0o600),
		UID:  number("uid", os.Getuid()),
		GID:  number("gid", os.Getgid()),
	}
}

// obey does what the master says until it says Drain or is gone.
func (s *Server) obey(p *worker.Process) {
	for {
		m, fd, err := p.Next()
		switch {
		case errors.Is(err, handoff.ErrMessage):
			s.Logf(logline.Error, "", "control: %v", err)
			continue
		case err != nil, m.Kind == handoff.KindDrain:
			return
		case m.Kind == handoff.KindAccess && fd >= 0:
			s.take(fd)
		case fd >= 0:
			unix.Close(fd)
		}
	}
}

// take serves a connection that came from the master.
func (s *Server) take(fd int) {
	file := os.NewFile(uintptr(fd), "master")
	nc, err := net.FileConn(file)
	file.Close()
	if err != nil {
		s.Logf(logline.Error, "", "connection from the master: %v", err)
		return
	}
	s.ServeConn(nc)
}
