package master

import (
	"sync"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// maxOutbox bounds the messages that wait for one child. A front can have no
// more requests than that under way; a child that lets more pile up is dead to us.
const maxOutbox = 1 << 16

// outbox sends to a child that may be slow to read, so that the master's loop
// waits for nobody. Messages arrive in order.
type outbox struct {
	conn *fdpass.Conn

	mu     sync.Mutex
	queue  []parcel
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
	if o.closed || len(o.queue) >= maxOutbox {
		p.drop()
		return
	}
	if !o.busy && o.conn.TrySend(p.packet, p.fd) == nil {
		p.drop() // sent; our copy of the descriptor goes
		return
	}
	o.queue = append(o.queue, p)
	if !o.busy {
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
		o.mu.Unlock()
		err := o.conn.Send(p.packet, p.fd)
		p.drop()
		if err != nil {
			o.close()
		}
	}
}

// close drops what waits. The connection is closed by its reader.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, p := range o.queue {
		p.drop()
	}
	o.queue = nil
}

func (p parcel) drop() {
	if p.fd >= 0 {
		unix.Close(p.fd)
	}
}
