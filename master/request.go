package master

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/handoff"
)

// request is one front's wish for a worker, from its message to our answer.
// Everything in it belongs to the master's loop.
type request struct {
	front  *process
	id     uint64 // the front's own number
	ticket string // auth's leave, where the front has to have one
	pool   *workers
	birth  // its user is the front's word until auth has answered

	setting string // the limit that last stood in the way
	timer   *time.Timer
	state   requestState
}

type requestState int

const (
	looking requestState = iota // auth is asked
	waiting                     // in the pool's queue
	born                        // a worker is being made for it
	over                        // answered, or the front took it back
)

// asker is what a front may ask for. We fixed it when we had the process started;
// nothing that the process says changes it.
type asker struct {
	class   string // the service whose workers
	network bool   // with a ticket for each, else with none
}

// favour is the full list of what the master does for a front. Anything else
// is not a message of ours, and its sender is killed.
func (m *Master) favour(front *process, by asker, msg handoff.Message) {
	switch msg.Kind {
	case handoff.KindRequest:
		m.ask(front, by, msg)
	case handoff.KindCancel:
		if r := m.requests[requestKey{front, msg.ID}]; r != nil {
			m.settle(r)
		}
	case handoff.KindAbandon:
		m.giveUp(requestKey{front, msg.ID})
	default:
		m.hungUp(front, handoff.ErrMessage)
	}
}

type requestKey struct {
	front *process
	id    uint64
}

// ask starts a request. The front's word is not enough for anything but the
// name: auth is asked again, by us, and each number meets its floor.
func (m *Master) ask(front *process, by asker, msg handoff.Message) {
	key := requestKey{front, msg.ID}
	pool := m.gen.pools[msg.Service]
	r := &request{front: front, id: msg.ID, ticket: msg.Ticket, pool: pool, birth: birth{user: msg.User}}
	switch {
	case m.requests[key] != nil, m.serving[key].p != nil:
		m.hungUp(front, fmt.Errorf("%w: request %d is under way already", handoff.ErrMessage, msg.ID))
	case pool == nil || pool.class != by.class:
		m.answer(r, handoff.CodeForbidden, "", "no such worker for this service")
	case by.network && msg.Ticket == "":
		m.forbid(r, "a front that serves the network asks without a ticket")
	case !by.network && msg.Ticket != "":
		m.forbid(r, "a front that needs no ticket asks with one")
	case pool.crowded():
		m.tally(pool.class).dropped = time.Now()
		m.answer(r, handoff.CodeLimit, "worker_queue_limit", "too many deliveries wait")
	default:
		m.requests[key] = r
		pool.asking++
		m.gen.users.asking++
		r.timer = time.AfterFunc(pool.queueTimeout, func() { m.do(func() { m.waitedOut(r) }) })
		go m.lookUp(r, m.gen)
	}
}

// crowded tells that no more requests may wait. Those that were settled in the
// queue do not count: a front may take back as many as it asks for.
func (w *workers) crowded() bool {
	if len(w.queue)+w.asking < w.queueLimit {
		return false
	}
	w.queue = slices.DeleteFunc(w.queue, func(r *request) bool { return r.state != waiting })
	return len(w.queue)+w.asking >= w.queueLimit
}

// giveUp kills the worker of a request of which its front expects nothing more.
func (m *Master) giveUp(key requestKey) {
	if r := m.requests[key]; r != nil {
		m.settle(r)
	}
	if a, there := m.serving[key]; there {
		p := a.p
		m.log.Error("worker is given up by its front, killing it", "service", p.service, "pid", p.pid, "user", p.user)
		p.doomed = true // where its pid is not known yet
		m.kill(p, unix.SIGKILL)
	}
}

// forbid refuses what no front of ours asks for that does as it was made to. The
// front may have been taken over, so its own log cannot be relied on for it.
func (m *Master) forbid(r *request, why string) {
	m.log.Error("request for a worker is refused", "service", r.pool.logName, "pid", r.front.pid, "user", r.user, "reason", why)
	m.answer(r, handoff.CodeForbidden, "", "")
}

// lookUp asks auth, outside the loop, and turns its answer into a birth.
func (m *Master) lookUp(r *request, gen *generation) {
	ctx, cancel := context.WithTimeout(context.Background(), gen.lookupTimeout)
	defer cancel()
	var u authproto.Redeemed
	var err error
	if r.ticket == "" {
		u.User, err = gen.users.Lookup(ctx, r.user, r.pool.class)
	} else {
		u, err = gen.users.Redeem(ctx, r.ticket, r.user, r.pool.class)
	}
	var b birth
	if err == nil {
		b, err = gen.births.of(u, r.pool.class, r.pool.shared())
	}
	m.do(func() {
		gen.users.asked()
		m.lookedUp(r, b, err)
	})
}

func (m *Master) lookedUp(r *request, b birth, err error) {
	r.pool.asking--
	defer m.retire(r.pool) // this may have been the last of its work
	if r.state == over {
		return
	}
	switch {
	case errors.Is(err, authproto.ErrTicket):
		m.forbid(r, err.Error())
	case errors.Is(err, errNoUser):
		m.answer(r, handoff.CodeNoUser, "", "no such user")
	case err != nil:
		m.log.Error("user cannot be served", "service", r.pool.logName, "user", r.user, "err", err)
		m.answer(r, handoff.CodeTempfail, "", "")
	default:
		r.birth = b
		r.state, r.setting = waiting, "process_limit" // until dispatch knows better
		r.pool.queue = append(r.pool.queue, r)
		m.dispatch(r.pool)
	}
}

func (m *Master) waitedOut(r *request) {
	switch {
	case r.state == looking:
		m.log.Error("auth did not answer in time", "service", r.pool.logName, "user", r.user, "setting", "worker_queue_timeout")
		m.answer(r, handoff.CodeTempfail, "", "")
	case r.state == waiting:
		m.tally(r.pool.class).dropped = time.Now()
		m.log.Warn("no worker in time", "service", r.pool.logName, "user", r.user, "setting", r.setting, "waited", r.pool.queueTimeout)
		m.answer(r, handoff.CodeLimit, r.setting, "no worker in time")
	}
}

// answer ends a request without a worker.
func (m *Master) answer(r *request, c handoff.Code, setting, text string) {
	m.settle(r)
	if !r.front.gone {
		r.front.out.post(&handoff.Message{Kind: handoff.KindAnswer, ID: r.id, Code: c, Setting: setting, Text: text}, -1)
	}
}

// settle takes a request off the books, wherever it stands.
func (m *Master) settle(r *request) {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.state = over
	delete(m.requests, requestKey{r.front, r.id})
}

// abandon settles all that a dead front had asked for.
func (m *Master) abandon(front *process) {
	for key, r := range m.requests {
		if key.front == front {
			m.settle(r)
		}
	}
}
