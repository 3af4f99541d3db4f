// Package auth is the auth service: it says who a user is, and lets users prove
// it. It speaks the client protocol (logins) and the master protocol (lookups),
// on sockets and on the connection that the master hands over.
//
// Runs as:   the auth service user, one process.
// Trusts:    the master for settings and listeners; the user sources in them.
// Distrusts: clients: a line is bounded, and so is what waits; a name is checked
// before it is looked up; nothing that a client sent is logged as it came; and
// one who may not ask for others learns of its own uid only.
// Speaks:    spec/auth.md 1, 2 and 8. Master requests may have 8192 bytes (Dovecot: 1024).
package auth

import (
	"crypto/rand"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/attempt"
	"culver/services/auth/cache"
	"culver/services/auth/sasl"
)

// Logf logs one line; user is "" where none is meant.
type Logf func(l logline.Level, user, format string, args ...any)

// Server answers from its sources. All fields are set before use.
type Server struct {
	*attempt.Judge
	Logf         Logf
	Mechanisms   []sasl.Mechanism // offered, in this order
	Facts        sasl.Facts       // of the mechanisms' surroundings
	Cleartext    bool             // a password may come over a line that is not secured
	Verbose      bool             // log each refusal
	FailureDelay time.Duration
	Penalty      Penalties    // nil counts nothing
	Cache        *cache.Cache // of the sources; nil keeps nothing
	// Slow says that a source is not in memory, and may keep lookups waiting.
	Slow bool
	// LookupTimeout bounds a lookup, whatever the sources' own bounds.
	LookupTimeout time.Duration
	// Clients bounds the connections of all listeners together (client_limit).
	// At the limit nothing more is accepted: who comes then waits in the
	// kernel's queue and is served when another leaves. It is not reset.
	Clients int

	once     sync.Once
	slots    chan struct{}
	registry registry
	hosts    hosts
	cuids    atomic.Uint32 // the last CUID
	requests atomic.Int64  // of all clients, that are not over
	secret   [32]byte      // of auth tokens
	try      func(Role, asked) Try

	mu      sync.Mutex
	stopped bool
	conns   map[*conn]struct{}
	wg      sync.WaitGroup
}

// acceptPause is how long a listener rests after it could not accept.
const acceptPause = 100 * time.Millisecond

// Serve accepts connections until the listener is closed.
func (s *Server) Serve(l net.Listener, role Role, sock Socket) {
	s.once.Do(func() {
		s.slots = make(chan struct{}, max(1, s.Clients))
		rand.Read(s.secret[:])
	})
	for {
		s.slots <- struct{}{}
		nc, err := l.Accept()
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
		p, err := sock.peerOf(nc)
		if err != nil {
			s.Logf(logline.Error, "", "who connected is not known: %v", err)
			nc.Close()
			<-s.slots
			continue
		}
		s.start(nc, role, p, func() { <-s.slots })
	}
}

// ServeConn serves one connection that the master made: unrestricted, and
// outside client_limit.
func (s *Server) ServeConn(nc net.Conn) { s.start(nc, masterRole(), peer{}, func() {}) }

func (s *Server) start(nc net.Conn, role Role, p peer, done func()) {
	c := &conn{Server: s, role: role, peer: p, net: nc}
	s.mu.Lock()
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	if s.stopped {
		c.stop()
	}
	s.mu.Unlock()
	s.wg.Go(func() {
		defer done()
		c.serve()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Drain ends every connection once what it has asked so far is answered, or at
// the deadline.
func (s *Server) Drain(deadline time.Duration) {
	s.mu.Lock()
	s.stopped = true
	for c := range s.conns {
		c.stop()
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() { s.wg.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(deadline):
	}
}
