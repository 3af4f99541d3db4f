package master

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/master/internal/rootexec"
	"culver/master/roster"
)

// daemon is a service of one process, which lives as long as its settings do:
// log, auth, a front. Everything in it belongs to the master's loop.
type daemon struct {
	name     string
	class    string // "lmtp" for a front that may ask for lmtp's workers; "" for no favours
	network  bool   // that front has the network's listeners: see doors.go
	key      string // all that it was started with, to tell whether a reload changes it
	identity rootexec.Identity
	spawners *rootexec.Pool

	proc *process // nil while there is none
	doors
	backoff roster.Backoff
	retired bool
}

// readyLimit is how long a daemon may take to its first Status (spec/master.md 9).
const readyLimit = 30 * time.Second

// start gives the daemon its process, now or when its back-off is over.
func (m *Master) start(d *daemon) {
	if d.proc != nil || d.retired || m.stopping {
		return
	}
	if d.name == "log" && m.logService != nil && !m.logService.gone {
		return // two readers of one pipe would tear its lines: after the old one's death
	}
	if d.network && d.full() {
		m.makeRoom(d)
		return
	}
	if wait := time.Until(d.backoff.Until()); wait > 0 {
		time.AfterFunc(wait, func() { m.do(func() { m.start(d) }) })
		return
	}
	p := &process{service: d.name, born: time.Now()}
	theirs, log, err := m.channels(p)
	if err != nil {
		m.log.Error("no descriptors for a daemon", "service", d.name, "err", err)
		m.retry(d)
		return
	}
	d.proc = p
	p.spoke = func() {
		m.checkReady()
		m.entered(d, p)
	}
	p.died = func(status unix.WaitStatus) { m.daemonDied(d, p, status) }
	p.hung = func() { m.daemonHungUp(d, p) }
	if d.class != "" {
		p.heard = func(msg handoff.Message) { m.favour(p, asker{d.class, d.network}, msg) }
	}
	go m.listen(p, handoff.MaxMessage)
	if d.name == "log" {
		// What the log service itself says goes where the master's own words go.
		unix.Close(log)
		log, _ = unix.FcntlInt(uintptr(m.stderr), unix.F_DUPFD_CLOEXEC, 3)
	}
	c := rootexec.Child{Identity: d.identity, Control: theirs, Log: log}
	d.spawners.Start(c, func(res rootexec.Result) { m.post(func() { m.daemonSpawned(d, p, res) }) })
	time.AfterFunc(readyLimit, func() { m.do(func() { m.unready(d, p) }) })
}

func (m *Master) daemonSpawned(d *daemon, p *process, res rootexec.Result) {
	if res.Err != nil {
		m.unborn(p)
		d.proc = nil
		m.log.Error("daemon cannot be started", "service", d.name, "err", res.Err)
		m.tally(d.name).fail(time.Now(), res.Err.Error())
		m.retry(d)
		m.checkStopped()
		return
	}
	m.named(p, res.PID)
	switch {
	case d.retired: // a reload was faster: its successor has the name
	case d.name == "log":
		m.logStarted(p)
	case d.name == "auth":
		m.authStarted(p)
	}
}

// retry starts the daemon again after the next delay.
func (m *Master) retry(d *daemon) {
	wait := d.backoff.Fail(time.Now())
	m.log.Error("command startup failed, throttling", "service", d.name, "wait", wait)
	if d.name == "log" && (m.logService == nil || m.logService.gone) {
		m.journal.logless()
	}
	m.start(d)
	m.checkReady()
}

// settledIn is the age at which a daemon that never served anybody has at least
// shown that it can run.
const settledIn = 10 * time.Second

// unready kills a daemon that has not said that it is ready. It is not
// throttled for that, as in Dovecot: it was slow and not broken.
func (m *Master) unready(d *daemon, p *process) {
	if d.proc == p && !p.ready && !p.gone && p.pid > 0 {
		m.log.Error("initial status notification not received, killing it", "service", d.name, "pid", p.pid, "limit", readyLimit)
		m.kill(p, unix.SIGKILL)
	}
}

// daemonHungUp kills a daemon that can be told nothing any more, and yet lives:
// nobody takes its place before it is gone.
func (m *Master) daemonHungUp(d *daemon, p *process) {
	if p.draining {
		return
	}
	time.AfterFunc(leaveLimit, func() {
		m.do(func() {
			if !p.gone && !p.draining {
				m.log.Error("service has closed its control socket and does not go, killing it", "service", d.name, "pid", p.pid)
				m.kill(p, unix.SIGKILL)
			}
		})
	})
}

func (m *Master) daemonDied(d *daemon, p *process, status unix.WaitStatus) {
	m.abandon(p)
	current := d.proc == p
	if current {
		d.proc = nil
	}
	if m.left(d, p, status) {
		return
	}
	reason, bad := deathReason(status)
	if bad || !p.draining {
		m.tally(d.name).fail(time.Now(), fmt.Sprintf("pid %d: %s", p.pid, reason))
	}
	switch {
	case !p.draining:
		m.log.Error("service died", "service", d.name, "pid", p.pid, "reason", reason)
	case bad:
		m.log.Warn("service ended badly", "service", d.name, "pid", p.pid, "reason", reason)
	}
	if p == m.logService && !p.ready {
		m.journal.logless() // it may never come to be; nobody else has its lines
	}
	switch {
	case m.stopping:
	case d.retired:
		m.startDaemons() // a new log waits for the old one's end
	case !current:
	case p.served > 0 || time.Since(p.born) > settledIn:
		d.backoff.Served()
		m.start(d)
	default: // exit 0 without service included
		m.retry(d)
	}
	m.checkStopped()
}
