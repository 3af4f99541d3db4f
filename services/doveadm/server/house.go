package server

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"culver/internal/maillog/logline"
)

// drainRest is how long a client may rest between commands after a Drain before
// it is sent away. One that goes on is in the middle of a run over many users,
// which nobody wants to see fail over a reload: it may take as long as it likes.
const drainRest = 5 * time.Second

// house is who is in, and whether it is closing.
type house struct {
	limit int
	rest  time.Duration // drainRest

	mu        sync.Mutex
	sessions  map[*session]struct{}
	strangers int // of them who have not shown who they are
	listeners []Listener
	served    int
	logins    int           // of those who were strangers
	changed   chan struct{} // 1 deep: the numbers are not those last told
	empty     sync.WaitGroup

	draining atomic.Bool
	stopping atomic.Bool   // no command may begin
	closing  chan struct{} // closed with the first Drain or Stop
}

func (h *house) init(limit int, rest time.Duration) {
	h.limit, h.rest = limit, rest
	h.sessions = map[*session]struct{}{}
	h.changed = make(chan struct{}, 1)
	h.closing = make(chan struct{})
}

// Serve accepts on all listeners and returns when, after Drain or Stop, the
// last session is gone.
func (f *Front) Serve(listeners []Listener) {
	h := &f.house
	var accepting sync.WaitGroup
	h.mu.Lock()
	h.listeners = listeners
	closed := h.draining.Load()
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
			if f.Single { // the next connection is another process's
				f.house.shut()
				return
			}
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of descriptors, most likely: sessions that end give some back
			f.Log(logline.Error, "", "", "accept: "+err.Error())
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
		}
	}
}

// admit starts a session. The protocol has no word for "too many": a client
// beyond the limit finds its connection closed. Strangers may have half of it,
// so that they keep nobody out who is known already; and one that took its time
// goes for another that comes, so that they do not keep out who knows the password.
func (f *Front) admit(c net.Conn, l Listener) {
	s := f.newSession(c, l)
	h := &f.house
	h.mu.Lock()
	s.stranger = !s.trusted
	full := len(h.sessions) >= h.limit
	if s.stranger && h.strangers >= max(1, h.limit/2) {
		slow := h.slowest()
		if full = slow == nil || s.came.Sub(slow.came) < f.strangerRest; !full {
			slow.conn.Close()
			h.forget(slow)
		}
	}
	if !full {
		h.sessions[s] = struct{}{}
		h.empty.Add(1)
		if s.stranger {
			h.strangers++
		}
	}
	h.mu.Unlock()
	if full {
		f.refuse("client_limit reached, refused " + s.peer.name)
		c.Close()
		return
	}
	h.notify()
	go func() {
		defer f.depart(s)
		s.serve()
	}()
}

// slowest is the stranger that is here longest. The lock is held.
func (h *house) slowest() (slow *session) {
	for s := range h.sessions {
		if s.stranger && (slow == nil || s.came.Before(slow.came)) {
			slow = s
		}
	}
	return slow
}

// forget takes a session off the books, once. The lock is held.
func (h *house) forget(s *session) {
	delete(h.sessions, s)
	if s.stranger {
		s.stranger = false
		h.strangers--
	}
}

// known notes that a stranger is none any more.
func (h *house) known(s *session) {
	h.mu.Lock()
	if s.stranger {
		s.stranger = false
		h.strangers--
	}
	h.logins++
	h.mu.Unlock()
	h.notify()
}

// shut stops listening.
func (h *house) shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		l.Close()
	}
}

func (f *Front) depart(s *session) {
	h := &f.house
	h.mu.Lock()
	h.forget(s)
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
// five times a second. One who serves a single connection tells at once when it
// has come, and in place of what it has served that its client has logged in: the
// master has another process listen, and where all places are taken it ends one
// whose client has not.
func (f *Front) Report(tell func(available, served int) error) {
	h := &f.house
	for {
		h.mu.Lock()
		available, served := h.limit-len(h.sessions), h.served
		if f.Single {
			available, served = available-served, h.logins
		}
		h.mu.Unlock()
		if tell(available, served) != nil {
			return
		}
		<-h.changed
		if !f.Single {
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// Drain takes no new sessions and lets those that are here finish.
func (f *Front) Drain() { f.close(false) }

// Stop is Drain, but no session begins another command, and what still runs
// after StopGrace is cancelled: it ends before its next message.
func (f *Front) Stop() { f.close(true) }

func (f *Front) close(stop bool) {
	h := &f.house
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining.CompareAndSwap(false, true) {
		close(h.closing)
	}
	if stop && h.stopping.CompareAndSwap(false, true) {
		time.AfterFunc(f.StopGrace, f.cancelAll)
	}
	for _, l := range h.listeners {
		l.Close()
	}
	for s := range h.sessions {
		s.conn.poke()
	}
}

func (f *Front) cancelAll() {
	h := &f.house
	h.mu.Lock()
	all := slices.Collect(maps.Keys(h.sessions))
	h.mu.Unlock()
	for _, s := range all {
		s.cancel()
	}
}

// leaveBy tells how long a session may still rest between commands; !closing
// while the house is open.
func (h *house) leaveBy() (rest time.Duration, closing bool) {
	switch {
	case !h.draining.Load():
		return 0, false
	case h.stopping.Load():
		return 0, true
	}
	return h.rest, true
}
