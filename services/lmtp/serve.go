package lmtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
)

// Listener is one that the master opened.
type Listener struct {
	net.Listener
	SSL     bool
	HAProxy bool
}

const (
	// drainGrace is how long a session may rest between transactions after a
	// Drain before it is sent away, and busyGrace how long a busy one may go on
	// beginning new ones: a reload lets sessions finish, but an MTA that never
	// pauses must not keep the old process for ever.
	drainGrace = time.Second
	busyGrace  = 10 * time.Second

	// lingerTime and lingerBytes bound what is read from a client after our last
	// word. Closing a socket with unread bytes resets it, and a reset can
	// overtake the 421 that explains it.
	lingerTime  = 2 * time.Second
	lingerBytes = 1 << 20

	// maxRefusals is how many clients beyond client_limit are told so at one
	// time; more of them wait unaccepted.
	maxRefusals = 256
)

// house is who is in, and whether it is closing.
type house struct {
	limit int

	mu        sync.Mutex
	sessions  map[*session]struct{}
	listeners []Listener
	served    int
	changed   chan struct{} // 1 deep: the numbers are not those last told
	empty     sync.WaitGroup

	drainSince atomic.Int64 // unix nanoseconds, 0 while open
	stopping   atomic.Bool  // no transaction may begin
	refusals   chan struct{}
}

func (h *house) init(limit int) {
	h.limit = limit
	h.sessions = map[*session]struct{}{}
	h.changed = make(chan struct{}, 1)
	h.refusals = make(chan struct{}, maxRefusals)
}

// Serve accepts on all listeners and returns when, after Drain or Stop, the
// last session is gone.
func (f *Front) Serve(listeners []Listener) {
	h := &f.house
	var accepting sync.WaitGroup
	h.mu.Lock()
	h.listeners = listeners
	closed := h.drainSince.Load() != 0
	h.mu.Unlock()
	for _, l := range listeners {
		if closed {
			l.Close()
			continue
		}
		accepting.Go(func() { f.accept(l) })
	}
	accepting.Wait()
	h.empty.Wait()
}

func (f *Front) accept(l Listener) {
	for pause := time.Millisecond; ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
			f.admit(c, l)
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely: sessions that end give some back
			f.Log(logline.Error, "", "", "accept: "+err.Error())
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
		}
	}
}

// admit starts a session, or says why not.
func (f *Front) admit(c net.Conn, l Listener) {
	s := f.newSession(c, l)
	h := &f.house
	h.mu.Lock()
	full := len(h.sessions) >= h.limit
	if !full {
		h.sessions[s] = struct{}{}
		h.empty.Add(1)
	}
	h.mu.Unlock()
	if full {
		f.refuse(c, l)
		return
	}
	h.notify()
	go func() {
		defer f.depart(s)
		s.serve()
	}()
}

// refuse answers a client beyond client_limit. A TLS client would not
// understand, and is closed.
func (f *Front) refuse(c net.Conn, l Listener) {
	h := &f.house
	h.refusals <- struct{}{}
	h.empty.Go(func() {
		defer func() { <-h.refusals }()
		f.Log(logline.Warn, "", "", "client_limit reached, refused "+peerOf(c).name())
		if !l.SSL {
			c.SetWriteDeadline(time.Now().Add(lingerTime))
			c.Write(lmtpproto.Reply{Code: 421, Enhanced: "4.3.2",
				Text: f.Hostname + " Too many sessions, try again later (client_limit)"}.Append(nil))
		}
		linger(c)
	})
}

func (f *Front) depart(s *session) {
	h := &f.house
	h.mu.Lock()
	delete(h.sessions, s)
	h.served++
	h.mu.Unlock()
	h.notify()
	h.empty.Done()
}

func (h *house) notify() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// Report calls tell with the numbers, at first and after changes, but at most
// five times a second.
func (f *Front) Report(tell func(available, served int) error) {
	h := &f.house
	for {
		h.mu.Lock()
		available, served := h.limit-len(h.sessions), h.served
		h.mu.Unlock()
		if tell(available, served) != nil {
			return
		}
		<-h.changed
		time.Sleep(200 * time.Millisecond)
	}
}

// Drain takes no new sessions and lets those that are here finish.
func (f *Front) Drain() { f.close(false) }

// Stop is Drain, but no session begins another transaction.
func (f *Front) Stop() { f.close(true) }

func (f *Front) close(stop bool) {
	h := &f.house
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drainSince.CompareAndSwap(0, time.Now().UnixNano())
	if stop {
		h.stopping.Store(true)
	}
	for _, l := range h.listeners {
		l.Close()
	}
	for s := range h.sessions {
		s.conn.poke()
	}
}

// leaveBy tells how long a session may still rest between transactions;
// !closing while the house is open.
func (h *house) leaveBy() (rest time.Duration, closing bool) {
	since := h.drainSince.Load()
	switch {
	case since == 0:
		return 0, false
	case h.stopping.Load() || time.Now().UnixNano()-since > int64(busyGrace):
		return 0, true
	}
	return drainGrace, true
}

// idleConn gives every read and write its deadline.
type idleConn struct {
	net.Conn
	house *house
	idle  time.Duration

	mu      sync.Mutex
	between bool      // no transaction is open
	end     time.Time // when the message must be here, zero while none comes in
	line    time.Time // when the command must be here, or TLS
}

func (c *idleConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.SetReadDeadline(c.deadline())
	c.mu.Unlock()
	return c.Conn.Read(p)
}

func (c *idleConn) deadline() time.Time {
	d := c.idle
	if rest, closing := c.house.leaveBy(); closing && c.between {
		d = min(d, rest)
	}
	by := time.Now().Add(d)
	for _, t := range [...]time.Time{c.end, c.line} {
		if !t.IsZero() && t.Before(by) {
			by = t
		}
	}
	return by
}

// endBy bounds all reads together from now on; the zero time lifts that.
func (c *idleConn) endBy(t time.Time) {
	c.mu.Lock()
	c.end = t
	c.mu.Unlock()
}

// late tells whether the time of endBy has come.
func (c *idleConn) late() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.end.IsZero() && !time.Now().Before(c.end)
}

// poke lets a read that waits now see that the house is closing.
func (c *idleConn) poke() {
	c.mu.Lock()
	c.SetReadDeadline(c.deadline())
	c.mu.Unlock()
}

// wrap puts the connection into another one.
func (c *idleConn) wrap(outer net.Conn) {
	c.mu.Lock()
	c.Conn = outer
	c.mu.Unlock()
}

// await begins the wait for a command, or for TLS, that must be here at a time,
// however many bytes come until then.
func (c *idleConn) await(between bool, by time.Time) {
	c.mu.Lock()
	c.between, c.line = between, by
	c.mu.Unlock()
}

// arrived ends it, and tells whether the time was up.
func (c *idleConn) arrived() (late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	late = !c.line.IsZero() && !time.Now().Before(c.line)
	c.between, c.line = false, time.Time{}
	return late
}

func (c *idleConn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.idle))
	return c.Conn.Write(p)
}

// linger closes a connection whose last reply must arrive.
func linger(c net.Conn) {
	defer c.Close()
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, c, lingerBytes)
}

var (
	lineReaders  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 8<<10) }}
	replyWriters = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 2<<10) }}
)
