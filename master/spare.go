package master

import (
	"time"

	"culver/master/internal/rootexec"
	"culver/master/roster"
)

// keepSpare starts idle processes until process_min_avail holds. They belong to
// the one mail uid that the settings name; without one there is nobody to start
// them for.
func (m *Master) keepSpare(w *workers) {
	if m.stopping || w.retired || w.limits.MinAvail == 0 {
		return
	}
	if wait := time.Until(w.spares.Until()); wait > 0 {
		if !w.due {
			w.due = true
			time.AfterFunc(wait, func() { m.do(func() { w.due = false; m.keepSpare(w) }) })
		}
		return
	}
	who, ok := m.gen.births.only()
	if !ok {
		return
	}
	for range roster.Spare(w.limits, len(w.procs), w.unused()) {
		m.spawnSpare(w, who)
	}
}

// unused counts processes that are idle or on their way to be.
func (w *workers) unused() (n int) {
	for p, o := range w.procs {
		if o.user == "" && !w.leaving(p, o) {
			n++
		}
	}
	return n
}

func (m *Master) spawnSpare(w *workers, who rootexec.Identity) {
	p := &process{service: w.logName, born: time.Now()}
	theirs, log, err := m.channels(p)
	if err != nil {
		m.log.Error("no descriptors for a spare worker", "service", w.logName, "err", err)
		return
	}
	m.enlist(w, p, &post{who: who})
	b := &m.gen.births
	c := rootexec.Child{Identity: who, Control: theirs, Log: log, Paths: []rootexec.Path{{Above: b.mailRoot}}, Deadline: b.openTimeout}
	w.spawners.Start(c, func(res rootexec.Result) {
		m.post(func() { m.spareSpawned(w, p, res) })
	})
}

func (m *Master) spareSpawned(w *workers, p *process, res rootexec.Result) {
	if res.PID > 0 {
		m.named(p, res.PID)
	}
	if res.Err == nil {
		m.dispatch(w)
		return
	}
	m.log.Error("spare worker cannot be started", "service", w.logName, "err", res.Err)
	if res.PID == 0 {
		delete(w.procs, p)
		m.unborn(p)
		m.spareFailed(w)
		m.dispatch(w)
		m.checkStopped()
	}
}

// spareFailed puts the next spare off: there is no client whose patience would
// bound the attempts. Several that die together have failed once.
func (m *Master) spareFailed(w *workers) {
	if now := time.Now(); !m.stopping && !w.retired && !now.Before(w.spares.Until()) {
		m.log.Error("a spare worker died before it served, throttling them", "service", w.logName, "wait", w.spares.Fail(now))
	}
}
