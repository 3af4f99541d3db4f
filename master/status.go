package master

import (
	"cmp"
	"slices"
	"time"

	"culver/internal/masterproto"
	"culver/internal/settings"
)

// tally is what happened to a service since the master was started, whatever
// the reloads. Everything in it belongs to the master's loop.
type tally struct {
	started  uint64
	failed   time.Time // the last failure
	failures int       // in that second
	why      string
	dropped  time.Time // somebody was turned away at a limit
}

func (m *Master) tally(service string) *tally {
	t := m.tallies[service]
	if t == nil {
		t = &tally{}
		m.tallies[service] = t
	}
	return t
}

// fail notes a process that ended badly, or would not begin.
func (t *tally) fail(now time.Time, why string) {
	if t.failed.Unix() != now.Unix() {
		t.failures = 0
	}
	t.failed, t.why = now, why
	t.failures++
}

// serviceStatus is one service as an administrator sees it.
func (m *Master) serviceStatus(s settings.Service) masterproto.Service {
	t, now := m.tally(s.Name), time.Now()
	out := masterproto.Service{
		Name: s.Name, ProcessLimit: s.Processes, ClientLimit: s.Clients,
		FailureLast: t.failed, FailuresInSecond: t.failures, FailureText: t.why, DropLast: t.dropped,
		Stopped: m.gen.stopped[s.Name], ProcessesAllTimes: t.started,
	}
	out.Listening = !out.Stopped && len(m.cfg.Listeners(s)) > 0
	w := m.gen.pools[workerPrograms[s.Name]]
	for p := range m.alive() {
		// Where there are workers, the numbers are theirs and not the front's.
		if p.service == s.Name && (w == nil || p.heard == nil) {
			out.Processes++
			if w == nil && p.ready && !p.draining && p.available > 0 {
				out.Available++
			}
		}
	}
	for _, d := range m.gen.daemons {
		if d.name == s.Name && !d.retired {
			out.Throttle = max(out.Throttle, d.backoff.Until().Sub(now), 0)
			out.ListenPending = out.ListenPending || d.proc == nil
		}
	}
	if w != nil {
		out.Available = w.idle()
		out.ListenPending = out.ListenPending || slices.ContainsFunc(w.queue, func(r *request) bool { return r.state == waiting })
	}
	return out
}

// processes lists every child there is, by service and pid.
func (m *Master) processes() (all []masterproto.Answer) {
	for _, p := range m.children {
		out := masterproto.Process{Service: p.service, PID: p.pid, User: p.user,
			Available: p.available, Total: p.served, LastStatus: p.spokeLast, LastKill: p.killed}
		for _, w := range m.gen.pools {
			if o := w.procs[p]; o != nil && o.user == "" {
				out.IdleSince = o.since
			}
		}
		all = append(all, masterproto.Answer{Kind: masterproto.KindProcess, Process: out})
	}
	slices.SortFunc(all, func(a, b masterproto.Answer) int {
		return cmp.Or(cmp.Compare(a.Process.Service, b.Process.Service), cmp.Compare(a.Process.PID, b.Process.PID))
	})
	return all
}
