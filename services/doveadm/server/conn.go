package server

import (
	"net"
	"sync"
	"time"
)

// phase is what a session waits for, by which its reads have their deadline.
type phase byte

const (
	hello phase = iota // until the client has shown who it is
	idle               // the next command
	busy               // a command runs: nothing is due
	input              // the command's input
)

// timed gives every read and write its deadline.
type timed struct {
	net.Conn
	front *Front
	by    time.Time // when the hello must be over

	mu    sync.Mutex
	phase phase
}

func (c *timed) Read(p []byte) (int, error) {
	c.poke()
	return c.Conn.Read(p)
}

func (c *timed) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.front.clientStall))
	return c.Conn.Write(p)
}

// enter begins a phase; it counts for a read that waits already, too.
func (c *timed) enter(p phase) {
	c.mu.Lock()
	c.phase = p
	c.mu.Unlock()
	c.poke()
}

// poke sets the deadline anew.
func (c *timed) poke() {
	rest, closing := c.front.house.leaveBy()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var t time.Time
	switch c.phase {
	case hello:
		if t = c.by; closing && now.Add(rest).Before(t) {
			t = now.Add(rest)
		}
	case idle:
		if t = now.Add(idleLimit); closing {
			t = now.Add(rest)
		}
	case input:
		t = now.Add(c.front.inputSilence)
	}
	c.SetReadDeadline(t)
}
