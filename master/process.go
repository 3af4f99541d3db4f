package master

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// process is one child, from the moment it is asked for until it is reaped.
// Everything in it belongs to the master's loop.
type process struct {
	service string // its name in the log and in the settings
	user    string // whom it serves; "" for daemons and for workers of many
	pid     int    // 0 until the spawner has told
	born    time.Time

	control *fdpass.Conn
	out     outbox
	logRead int // our copy: a new log service gets the pipe of a living child from us; -1 when the log has the only one

	ready     bool // its first Status has come
	available uint64
	served    uint64
	draining  bool
	closed    bool // its control socket is at an end, or it broke the contract
	doomed    bool // killed for that, as soon as it has a pid
	reaped    bool // the kernel gave it back; it is gone once its last message is read too
	status    unix.WaitStatus
	gone      bool
	spokeLast time.Time // its last Status
	killed    time.Time // the last signal we sent it

	heard func(handoff.Message) // its messages but Status, each already parsed
	spoke func()                // after each Status
	hung  func()                // at the end of its messages, when it is alive as far as we know
	died  func(unix.WaitStatus) // once, after it was reaped; its descriptors are closed
}

// channels makes what every child is born with: a control socket and a log
// pipe. The child's ends are the caller's to close, or Pool.Start's.
func (m *Master) channels(p *process) (control, log int, err error) {
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		return -1, -1, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		unix.Close(ours)
		unix.Close(theirs)
		return -1, -1, err
	}
	// Only our end is non-blocking: a worker blocks its one thread on the other.
	unix.SetNonblock(ours, true)
	p.control, err = fdpass.New(ours, "control")
	if err != nil {
		unix.Close(theirs)
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return -1, -1, err
	}
	p.out.conn, p.out.maxFDs = p.control, maxParcelFDs
	p.out.broken = func(err error) { m.post(func() { m.undeliverable(p, err) }) }
	p.logRead = pipe[0]
	m.births[p] = struct{}{}
	return theirs, pipe[1], nil
}

// listen reads the child's messages until its end of the control socket is
// closed. It parses nothing but package handoff's fixed forms and takes no
// descriptor.
func (m *Master) listen(p *process, limit int) {
	buf := make([]byte, limit)
	for {
		n, err := p.control.RecvPlain(buf)
		var msg handoff.Message
		if err == nil {
			msg, err = handoff.Parse(buf[:n])
		}
		if err != nil {
			m.do(func() { m.hungUp(p, err) })
			return
		}
		m.do(func() { m.hear(p, msg) })
	}
}

func (m *Master) hear(p *process, msg handoff.Message) {
	if p.closed {
		return
	}
	if msg.Kind != handoff.KindStatus {
		if p.heard == nil {
			m.hungUp(p, handoff.ErrMessage)
			return
		}
		p.heard(msg)
		return
	}
	p.ready = true
	p.available, p.served, p.spokeLast = msg.Available, msg.Served, time.Now()
	if p.spoke != nil {
		p.spoke()
	}
}

// hungUp is the end of the child's messages: its death is near, or it said what
// no child of ours says and is killed.
func (m *Master) hungUp(p *process, err error) {
	if p.closed {
		return
	}
	p.closed = true
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
		if p.reaped {
			m.finish(p)
		} else if p.hung != nil { // it exits, or it only closed its control socket
			p.hung()
		}
		return
	}
	m.log.Error("control socket broken, killing the process", "service", p.service, "pid", p.pid, "user", p.user, "err", err)
	p.doomed = true
	m.kill(p, unix.SIGKILL)
}

// undeliverable is a message that a child will never get: it has hung up, which
// its reader is about to tell, or it is of no use any more.
func (m *Master) undeliverable(p *process, err error) {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		// Not at once: its last messages are still to be read. Closed for reading
		// only, it would not be heard of otherwise.
		time.AfterFunc(leaveLimit, func() { m.do(func() { m.hungUp(p, err) }) })
		return
	}
	m.hungUp(p, err)
}

// kill signals a child. Only a pid that we have not reaped is ever signalled,
// so it cannot be somebody else's.
func (m *Master) kill(p *process, sig unix.Signal) {
	if p.pid > 0 && m.children[p.pid] == p {
		p.killed = time.Now()
		unix.Kill(p.pid, sig)
	}
}

// drain asks a child to take nothing new and to exit when it is done.
func (m *Master) drain(p *process) {
	if !p.draining {
		p.draining = true
		p.out.post(&handoff.Message{Kind: handoff.KindDrain}, -1)
	}
}

// named enters a child into the books under its pid: the spawner has told it.
func (m *Master) named(p *process, pid int) {
	p.pid = pid
	delete(m.births, p)
	m.children[pid] = p
	m.tally(p.service).started++
	m.logSource(p)
	o, ok := m.orphans[pid]
	delete(m.orphans, pid)
	switch {
	case ok && o.at.After(p.born): // it was faster than the spawner's answer; an older one had the same pid
		m.buried(pid, o.status)
	case unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD:
		// Reaped, and forgotten in a crowd of orphans: a worker can make us as many
		// as it likes (CLONE_PARENT). The pid may be anybody's by now and must not
		// stay in the books of whom we signal.
		m.buried(pid, 0)
	case p.doomed:
		m.kill(p, unix.SIGKILL)
	}
}

// unborn releases what a child has, or would have had, in the master.
func (m *Master) unborn(p *process) {
	delete(m.births, p)
	p.closed, p.gone = true, true
	p.out.close()
	p.control.Close()
	if p.logRead >= 0 {
		m.lastLines(p)
		p.logRead = -1
	}
}

// lastWords bounds the wait for the end of a dead child's messages: a process
// that it left behind may hold the socket open.
const lastWords = time.Second

// buried notes a child that the kernel has given back. Its last messages may
// still be on their way to the loop, and they decide whether it ever served.
func (m *Master) buried(pid int, status unix.WaitStatus) {
	p := m.children[pid]
	if p == nil {
		m.orphan(pid, status)
		return
	}
	delete(m.children, pid)
	p.reaped, p.status = true, status
	if p.closed {
		m.finish(p)
		return
	}
	time.AfterFunc(lastWords, func() { m.do(func() { m.finish(p) }) })
}

// maxOrphans bounds the dead that no spawner has told of: spawners themselves,
// children whose exec failed, and whatever a hostile worker leaves to us.
const maxOrphans = 4096

// orphan is the death of a child whose spawner has not told of it yet.
type orphan struct {
	status unix.WaitStatus
	at     time.Time
}

func (m *Master) orphan(pid int, status unix.WaitStatus) {
	if len(m.orphans) >= maxOrphans {
		clear(m.orphans)
	}
	m.orphans[pid] = orphan{status, time.Now()}
}

func (m *Master) finish(p *process) {
	if p.gone {
		return
	}
	m.unborn(p)
	if p.died != nil {
		p.died(p.status)
	}
}

// reap collects every dead child. It runs in the loop.
func (m *Master) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		m.buried(pid, status)
	}
}

// deathReason says in Dovecot's words how a child ended.
func deathReason(status unix.WaitStatus) (reason string, bad bool) {
	switch {
	case status.Signaled():
		return fmt.Sprintf("killed with signal %d", status.Signal()), true
	case status.ExitStatus() != 0:
		return fmt.Sprintf("returned error %d", status.ExitStatus()), true
	}
	return "exited", false
}
