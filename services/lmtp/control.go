package lmtp

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// workerService is what a front of LMTP may ask the master for.
const workerService = "lmtp-deliver"

// errMasterGone says that nobody is left who could make a worker.
var errMasterGone = errors.New("the master is gone")

// Refusal is the master's answer where no worker comes.
type Refusal struct {
	Code    handoff.Code
	Setting string // the limit that was reached
	Text    string
}

func (r *Refusal) Error() string {
	switch {
	case r.Setting != "":
		return "no worker: limit reached: " + r.Setting
	case r.Text != "":
		return "no worker: " + r.Text
	}
	switch r.Code {
	case handoff.CodeNoUser:
		return "no worker: auth no longer knows the user"
	case handoff.CodeTempfail:
		return "no worker: the master could not start one (its own line says why)"
	case handoff.CodeForbidden:
		return "no worker: the master says that it is not ours to ask for"
	}
	return fmt.Sprintf("no worker: code %d", r.Code)
}

// Control is the front's side of the control socket: requests go out with
// numbers, answers come back in any order.
type Control struct {
	conn *fdpass.Conn

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan answer
	gone    bool
}

type answer struct {
	msg handoff.Message
	fd  int
}

// NewControl takes over the control socket, which must be non-blocking.
func NewControl(c *fdpass.Conn) *Control {
	return &Control{conn: c, waiting: map[uint64]chan answer{}}
}

// Worker asks the master for a worker, and waits for it as long as ctx lives.
func (c *Control) Worker(ctx context.Context, user string) (int, error) {
	id, ch, err := c.register()
	if err != nil {
		return -1, err
	}
	req := handoff.Message{Kind: handoff.KindRequest, ID: id, Service: workerService, User: user}
	if err := c.conn.Send(req.Append(make([]byte, 0, 128)), -1); err != nil {
		c.forget(id)
		return -1, fmt.Errorf("control socket: %w", err)
	}
	select {
	case a := <-ch:
		return a.worker()
	case <-ctx.Done():
	}
	if !c.forget(id) {
		// The answer is on its way to us already.
		a := <-ch
		return a.worker()
	}
	cancel := handoff.Message{Kind: handoff.KindCancel, ID: id}
	c.conn.Send(cancel.Append(nil), -1)
	return -1, ctx.Err()
}

func (a answer) worker() (int, error) {
	switch {
	case a.msg.Kind == 0:
		return -1, errMasterGone
	case a.msg.Code == handoff.CodeOK && a.fd >= 0:
		return a.fd, nil
	case a.fd >= 0:
		unix.Close(a.fd)
	}
	return -1, &Refusal{a.msg.Code, a.msg.Setting, a.msg.Text}
}

func (c *Control) register() (uint64, chan answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return 0, nil, errMasterGone
	}
	c.last++
	ch := make(chan answer, 1)
	c.waiting[c.last] = ch
	return c.last, ch, nil
}

// forget tells whether the request was still waiting.
func (c *Control) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, there := c.waiting[id]
	delete(c.waiting, id)
	return there
}

// Status tells the master how many more sessions there is room for.
func (c *Control) Status(available, served int) error {
	m := handoff.Message{Kind: handoff.KindStatus, Available: uint64(max(0, available)), Served: uint64(served)}
	return c.conn.Send(m.Append(nil), -1)
}

// Run reads the master's messages until it is gone, calling drain when the
// master wants this process to end.
func (c *Control) Run(drain func()) error {
	buf := make([]byte, handoff.MaxMessage)
	for {
		n, fd, err := c.conn.Recv(buf)
		var m handoff.Message
		if err == nil {
			m, err = handoff.Parse(buf[:n])
		}
		if err != nil {
			if fd >= 0 {
				unix.Close(fd)
			}
			c.end()
			return err
		}
		switch m.Kind {
		case handoff.KindAnswer:
			c.answered(answer{m, fd})
			continue
		case handoff.KindDrain:
			drain()
		}
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// answered hands the answer to who waits. Nobody waits after a Cancel that
// crossed it.
func (c *Control) answered(a answer) {
	c.mu.Lock()
	ch, there := c.waiting[a.msg.ID]
	delete(c.waiting, a.msg.ID)
	c.mu.Unlock()
	if there {
		ch <- a
	} else if a.fd >= 0 {
		unix.Close(a.fd)
	}
}

// end fails all who wait, now and later.
func (c *Control) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for id, ch := range c.waiting {
		delete(c.waiting, id)
		ch <- answer{fd: -1}
	}
}
