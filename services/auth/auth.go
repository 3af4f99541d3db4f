// Package auth is the auth service: it says who a user is. In this version it
// speaks the master protocol: USER, PASS and LIST, on unix sockets and on the
// connection that the master hands over.
//
// Runs as:   the auth service user, one process.
// Trusts:    the master for settings and listeners; the user sources in them.
// Distrusts: clients: a line is bounded, a name is checked before it is looked
// up, and one who may not ask for others learns of its own uid only.
// Speaks:    spec/auth.md 2, 6 and 8.5. Requests may have 8192 bytes (Dovecot: 1024).
package auth

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
)

// Logf logs one line; user is "" where none is meant.
type Logf func(l logline.Level, user, format string, args ...any)

// Server answers from its sources. All fields are set before use.
type Server struct {
	Names     Names
	Users     userdb.Chain
	Passwords passdb.Chain
	Logf      Logf
	// Clients bounds the connections of all listeners together (client_limit).
	// At the limit nothing more is accepted: who comes then waits in the
	// kernel's queue and is served when another leaves. It is not reset.
	Clients int

	once  sync.Once
	slots chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// acceptPause is how long a listener rests after it could not accept.
const acceptPause = 100 * time.Millisecond

// Serve accepts connections until the listener is closed.
func (s *Server) Serve(l *net.UnixListener, role Role, sock Socket) {
	s.once.Do(func() { s.slots = make(chan struct{}, max(1, s.Clients)) })
	for {
		s.slots <- struct{}{}
		nc, err := l.AcceptUnix()
		if err != nil {
			<-s.slots
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors or memory: who waits stays in the kernel's queue.
			s.Logf(logline.Error, "", "accept: %v", err)
			<-time.After(acceptPause)
			continue
		}
		uid, gid, err := credentials(nc)
		if err != nil {
			s.Logf(logline.Error, "", "who connected is not known: %v", err)
			nc.Close()
			<-s.slots
			continue
		}
		s.start(nc, role, sock.judge(uid, gid), func() { <-s.slots })
	}
}

// ServeConn serves one connection that the master made: unrestricted, and
// outside client_limit.
func (s *Server) ServeConn(nc net.Conn) { s.start(nc, roles["master"], peer{}, func() {}) }

func (s *Server) start(nc net.Conn, role Role, p peer, done func()) {
	c := &conn{
		Server: s, role: role, peer: p, net: nc,
		r: bufio.NewReaderSize(nc, authproto.MaxServerRequest),
		w: bufio.NewWriterSize(nc, 2*authproto.MaxReply),
	}
	s.mu.Lock()
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[nc] = struct{}{}
	s.mu.Unlock()
	s.wg.Go(func() {
		defer done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	})
}

// Drain ends every connection once what it has asked so far is answered, or at
// the deadline.
func (s *Server) Drain(deadline time.Duration) {
	s.mu.Lock()
	for nc := range s.conns {
		nc.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() { s.wg.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(deadline):
	}
}
