package master

import (
	"iter"
	"time"

	"golang.org/x/sys/unix"
)

// stop ends everything in order: the fronts take nothing new and finish their
// transactions, with auth and the workers still there for them; then auth; and
// the log last. What is left at shutdown_timeout is killed: its 250 was not
// given, so its mail is still with the MTA.
func (m *Master) stop(why string) {
	if m.stopping {
		return
	}
	m.stopping = true
	m.notify("STOPPING=1\nSTATUS=stopping")
	m.log.Warn(why)
	time.AfterFunc(m.gen.shutdownTimeout, func() { m.do(m.killAll) })
	m.checkStopped()
}

// The order in which services are let go. A stage begins when the one before it
// has no process left.
const lastStage = 3

func (m *Master) stage(p *process) int {
	switch p.service {
	case "log":
		return lastStage
	case "auth", "anvil":
		return 2
	}
	if p.heard != nil {
		return 0 // a front
	}
	return 1
}

// checkStopped lets the next stage go and ends the loop after the last.
func (m *Master) checkStopped() {
	if !m.stopping {
		return
	}
	first := lastStage + 1
	for p := range m.alive() {
		first = min(first, m.stage(p))
	}
	if first > lastStage {
		m.ended = true
		return
	}
	for p := range m.alive() {
		switch {
		case m.stage(p) != first:
		case first == lastStage:
			m.farewell(p)
		default:
			m.drain(p)
		}
	}
}

// alive gives every child there is, those included of whom no spawner has told
// yet: a front may serve before we know its pid.
func (m *Master) alive() iter.Seq[*process] {
	return func(yield func(*process) bool) {
		for p := range m.births {
			if !yield(p) {
				return
			}
		}
		for _, p := range m.children {
			if !yield(p) {
				return
			}
		}
	}
}

// farewell ends the log service: it has every pipe's end, ours included, and
// goes once it has written what is in them.
func (m *Master) farewell(p *process) {
	if !p.draining {
		p.draining = true
		m.journal.close(false)
		p.closed = true
		p.control.Close()
	}
}

func (m *Master) killAll() {
	for p := range m.alive() {
		if m.stage(p) < lastStage {
			m.log.Error("still there at shutdown_timeout, killing it", "service", p.service, "pid", p.pid, "user", p.user)
			p.doomed = true // where its pid is not known yet
			m.kill(p, unix.SIGKILL)
		}
	}
	// The log service ends by itself once the last pipe is at its end; if it
	// hangs, nobody is left to tell.
	time.AfterFunc(readyLimit/10, func() {
		m.do(func() {
			for _, p := range m.children {
				m.kill(p, unix.SIGKILL)
			}
			// One that hangs in the kernel, on a file server that is gone, cannot
			// even die; we need not wait for it.
			time.AfterFunc(lastWords, func() { m.do(func() { m.ended = true }) })
		})
	})
}
