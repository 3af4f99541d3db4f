package master

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

const (
	// maxOutbox bounds the messages that wait for one child. A front can have no
	// more requests than that under way; a child that lets more pile up is dead to us.
	maxOutbox = 1 << 16
	// maxParcelFDs bounds the descriptors among them: each is one of ours, and a
	// child that stops reading must not bring everybody else to EMFILE. No front
	// that is alive lets so many finished births lie.
	maxParcelFDs = 4096
)

// errPiledUp says that a child does not read what it is sent.
var errPiledUp = errors.New("it does not read its messages")

// outbox sends to a child that may be slow to read, so that the master's loop
// waits for nobody. Messages arrive in order, or the child is given up.
type outbox struct {
	conn   *fdpass.Conn
	maxFDs int
	broken func(error) // once, from any goroutine, when a message is lost

	mu     sync.Mutex
	queue  []parcel
	fds    int  // in the queue
	busy   bool // a goroutine is sending
	closed bool
}

type parcel struct {
	packet []byte
	fd     int // closed once sent; -1 for none
}

// post queues one message with a descriptor, which it takes over.
func (o *outbox) post(m *handoff.Message, fd int) {
	p := parcel{m.Append(nil), fd}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		p.drop()
		return
	}
	if !o.busy {
		switch err := o.conn.TrySend(p.packet, p.fd); err {
		case nil:
			p.drop() // sent; our copy of the descriptor goes
			return
		case unix.EAGAIN:
		default:
			p.drop()
			o.fail(err)
			return
		}
	}
	if p.fd >= 0 {
		o.fds++
	}
	o.queue = append(o.queue, p)
	switch {
	case len(o.queue) > maxOutbox, o.fds > o.maxFDs:
		o.fail(errPiledUp)
	case !o.busy:
		o.busy = true
		go o.send()
	}
}

func (o *outbox) send() {
	for {
		o.mu.Lock()
		if len(o.queue) == 0 || o.closed {
			o.busy = false
			o.mu.Unlock()
			return
		}
		p := o.queue[0]
		o.queue = o.queue[1:]
		if p.fd >= 0 {
			o.fds--
		}
		o.mu.Unlock()
		err := o.conn.Send(p.packet, p.fd)
		p.drop()
		if err != nil {
			o.mu.Lock()
			o.fail(err)
			o.mu.Unlock()
		}
	}
}

// fail closes the outbox over a message that could not be sent: what a child
// would not hear of, a request's answer say, somebody would wait for in vain.
func (o *outbox) fail(err error) {
	if !o.closed {
		o.shut()
		o.broken(err)
	}
}

// close drops what waits. The connection is closed by its reader.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shut()
}

func (o *outbox) shut() {
	o.closed = true
	for _, p := range o.queue {
		p.drop()
	}
	o.queue, o.fds = nil, 0
}

func (p parcel) drop() {
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
}
