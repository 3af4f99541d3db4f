package brain

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"culver/internal/backend"
	"culver/internal/doveadmproto"
)

// link is one connection to a server.
type link interface {
	Run(ctx context.Context, cmd doveadmproto.Command, input io.Reader, to doveadmproto.Sink) (int, error)
	Minor() int
	Referral() string
	Cancel() error
	Close() error
}

// server is where the users' commands go. All its connections share what is
// known of it: when it was last seen, and how long to leave it alone.
type server struct {
	name string // as on the command line
	at   backend.Target
	dial func(ctx context.Context) (link, error)
	wait func(ctx context.Context, d time.Duration) // time.Sleep, but for tests
	now  func() time.Time

	mu      sync.Mutex
	links   int // connections that are up
	delay   time.Duration
	missing time.Time // since when there was none; zero: it was there
	gone    error     // it is given up
}

// connect makes a connection, and again with growing pauses as long as the
// server may come back. The error is the last one, and then final for the run.
func (s *server) connect(ctx context.Context) (link, error) {
	for {
		s.mu.Lock()
		gone, delay := s.gone, s.delay
		s.mu.Unlock()
		if gone != nil {
			return nil, gone
		}
		if delay > 0 {
			s.wait(ctx, delay/2+rand.N(delay/2+1))
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := s.dial(ctx)
		if err == nil {
			s.mu.Lock()
			s.links++
			s.delay, s.missing = 0, time.Time{}
			s.mu.Unlock()
			return l, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s.failed(err)
	}
}

// failed notes an attempt that brought no connection.
func (s *server) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = min(max(2*s.delay, backoffFirst), backoffMost)
	now := s.now()
	if s.missing.IsZero() {
		s.missing = now
	}
	if final(err) || s.links == 0 && now.Sub(s.missing) >= patience {
		s.gone = err
	}
}

// errOld says that a server lacks what an option needs.
var errOld = errors.New("is too old for an option that was given")

// atLeast makes connections of servers with that minor version.
func atLeast(minor int, dial func(context.Context) (link, error)) func(context.Context) (link, error) {
	return func(ctx context.Context) (link, error) {
		l, err := dial(ctx)
		if err == nil && l.Minor() < minor {
			l.Close()
			return nil, errOld
		}
		return l, err
	}
}

// final errors do not pass: a wrong password stays wrong.
func final(err error) bool {
	return errors.Is(err, errOld) || errors.Is(err, doveadmproto.ErrAuth) || errors.Is(err, doveadmproto.ErrTrusted) || errors.Is(err, doveadmproto.ErrNoPassword) || errors.Is(err, doveadmproto.ErrVersion)
}

// lost notes that a connection is no more. Others may be well: a server that
// ends one for each command is no reason to wait long.
func (s *server) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links--
	if s.delay == 0 {
		s.delay = backoffFirst / 10
	}
}

// closed notes that we ended a connection.
func (s *server) closed() {
	s.mu.Lock()
	s.links--
	s.mu.Unlock()
}

// newServer is the server of that address: a path with a slash, or host:port. It
// has at least that minor version.
func newServer(o *access, at backend.Target, minor int) *server {
	network := "tcp"
	if strings.Contains(at.Address, "/") {
		network = "unix"
	}
	dial := func(ctx context.Context) (link, error) {
		ctx, cancel := context.WithTimeout(ctx, connectWait)
		defer cancel()
		return o.open(ctx, network, at)
	}
	return &server{name: at.Address, at: at, dial: atLeast(minor, dial), wait: pause, now: time.Now}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// netLink is a Client and its connection.
type netLink struct {
	*doveadmproto.Client
	conn net.Conn
}

func (l *netLink) Close() error { return l.conn.Close() }
