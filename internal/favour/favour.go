// Package favour is a front's side of its control socket: it asks the master
// for workers, and tells it how many more clients there is room for.
//
// Runs as:   a front, under its service's user.
// Trusts:    the master.
// Distrusts: nobody else speaks here; an answer that nobody waits for is closed.
// Speaks:    package handoff on descriptor 3.
package favour

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// ErrMasterGone says that nobody is left who could make a worker.
var ErrMasterGone = errors.New("the master is gone")

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
		return "no worker: the master says that it is not ours to ask for (its own line says why)"
	}
	return fmt.Sprintf("no worker: code %d", r.Code)
}

// errStalled says that the master has not taken our messages for long.
var errStalled = errors.New("the master does not read its messages")

// maxLetters bounds the messages that wait for a master that does not read.
const maxLetters = 1 << 16

// Control is the front's side of the control socket: requests go out with
// numbers, answers come back in any order. A master that is slow to read holds
// up nobody: each waits as long as its own context lives.
type Control struct {
	conn    *fdpass.Conn
	service string // the workers that this front may ask for

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*pending
	queue   []letter // what the socket had no room for
	sending bool     // a goroutine sends the queue
	gone    bool
}

// pending is a request without its answer.
type pending struct {
	answer chan answer
	sent   bool // or about to be: a Cancel must follow it
}

type answer struct {
	msg handoff.Message
	fd  int
	err error // it could not be asked
}

type letter struct {
	id      uint64
	request bool // void once nobody waits for it
	packet  []byte
}

// NewControl takes over the control socket, which must be non-blocking.
func NewControl(c *fdpass.Conn, service string) *Control {
	return &Control{conn: c, service: service, waiting: map[uint64]*pending{}}
}

// Worker asks the master for a worker, and waits for it as long as ctx lives.
// The caller closes fd. The error may be a *Refusal.
func (c *Control) Worker(ctx context.Context, user string) (fd int, err error) {
	fd, _, err = c.Numbered(ctx, user, "")
	return fd, err
}

// Numbered is Worker for who may have to Abandon the worker by its number, and
// may need auth's ticket to get it.
func (c *Control) Numbered(ctx context.Context, user, ticket string) (fd int, id uint64, err error) {
	id, p, err := c.ask(user, ticket)
	if err != nil {
		return -1, 0, err
	}
	var a answer
	select {
	case a = <-p.answer:
	case <-ctx.Done():
		if c.cancel(id) {
			return -1, 0, ctx.Err()
		}
		a = <-p.answer // it is on its way to us already
	}
	fd, err = a.worker()
	return fd, id, err
}

func (a answer) worker() (int, error) {
	switch {
	case a.err != nil:
		return -1, a.err
	case a.msg.Kind == 0:
		return -1, ErrMasterGone
	case a.msg.Code == handoff.CodeOK && a.fd >= 0:
		return a.fd, nil
	case a.fd >= 0:
		unix.Close(a.fd)
	}
	return -1, &Refusal{a.msg.Code, a.msg.Setting, a.msg.Text}
}

func (c *Control) ask(user, ticket string) (uint64, *pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.gone:
		return 0, nil, ErrMasterGone
	case len(c.queue) >= maxLetters:
		return 0, nil, errStalled
	}
	c.last++
	p := &pending{answer: make(chan answer, 1)}
	c.waiting[c.last] = p
	req := handoff.Message{Kind: handoff.KindRequest, ID: c.last, Service: c.service, User: user, Ticket: ticket}
	c.post(letter{c.last, true, req.Append(make([]byte, 0, 128))})
	return c.last, p, nil
}

// cancel takes a request back, and tells whether it was still waiting.
func (c *Control) cancel(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, there := c.waiting[id]
	delete(c.waiting, id)
	if there && p.sent && !c.gone {
		m := handoff.Message{Kind: handoff.KindCancel, ID: id}
		c.post(letter{id, false, m.Append(nil)})
	}
	return there
}

// Abandon has the worker of a request killed: it is silent, or over its time.
func (c *Control) Abandon(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		m := handoff.Message{Kind: handoff.KindAbandon, ID: id}
		c.post(letter{id, false, m.Append(nil)})
	}
}

// post sends a letter, or leaves it to a goroutine. The lock is held.
func (c *Control) post(l letter) {
	if !c.sending {
		err := c.conn.TrySend(l.packet, -1)
		if !errors.Is(err, unix.EAGAIN) {
			c.posted(l, err)
			return
		}
		c.sending = true
		go c.send()
	}
	c.queue = append(c.queue, l)
}

// posted notes that a letter is out, or why not.
func (c *Control) posted(l letter, err error) {
	p := c.waiting[l.id]
	switch {
	case p == nil || !l.request:
	case err != nil:
		delete(c.waiting, l.id)
		p.answer <- answer{fd: -1, err: fmt.Errorf("control socket: %w", err)}
	default:
		p.sent = true
	}
}

func (c *Control) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 {
		l := c.queue[0]
		c.queue = c.queue[1:]
		if l.request && c.waiting[l.id] == nil {
			continue // taken back meanwhile
		}
		c.posted(l, nil) // before it is: its Cancel queues behind
		c.mu.Unlock()
		err := c.conn.Send(l.packet, -1)
		c.mu.Lock()
		if err != nil {
			c.posted(l, err)
		}
	}
	c.sending = false
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
			c.answered(answer{msg: m, fd: fd})
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
	p, there := c.waiting[a.msg.ID]
	delete(c.waiting, a.msg.ID)
	c.mu.Unlock()
	if there {
		p.answer <- a
	} else if a.fd >= 0 {
		unix.Close(a.fd)
	}
}

// end fails all who wait, now and later.
func (c *Control) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.queue = nil
	for id, p := range c.waiting {
		delete(c.waiting, id)
		p.answer <- answer{fd: -1}
	}
}
