package master

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/masterproto"
)

// obey is the full list of what the master does for an administrator. pid is the
// program's that asks. It runs in the loop.
func (m *Master) obey(o masterproto.Order, pid int) (answers []masterproto.Answer) {
	code := masterproto.CodeOK
	switch o.Kind {
	case masterproto.KindServices:
		for _, s := range m.cfg.Services {
			if started(s) {
				answers = append(answers, masterproto.Answer{Kind: masterproto.KindService, Service: m.serviceStatus(s)})
			}
		}
	case masterproto.KindProcesses:
		answers = m.processes()
	case masterproto.KindAccesses:
		answers = m.accesses()
	case masterproto.KindKick:
		code = m.kick(o.PID, o.User, pid)
	case masterproto.KindReload:
		if err := m.reload(); err != nil {
			code = masterproto.CodeRefused
			answers = problems(err)
		}
	case masterproto.KindStop:
		m.stop(fmt.Sprintf("stopping: ordered by pid %d", pid))
	case masterproto.KindReopen:
		m.reopenLogs()
	case masterproto.KindStopService:
		var err error
		if code, err = m.stopService(o.Name, pid); err != nil {
			answers = problems(err)
		}
	}
	return append(answers, masterproto.Answer{Kind: masterproto.KindDone, Code: code})
}

func problems(err error) (all []masterproto.Answer) {
	for line := range strings.Lines(err.Error()) {
		all = append(all, masterproto.Answer{Kind: masterproto.KindProblem, Problem: strings.TrimSpace(line)})
	}
	return all
}

// kickLimit is how long a kicked worker may take to come to a message's end.
const kickLimit = 10 * time.Second

// kick ends one access. Its worker serves nobody else after it. A delivery ends
// by itself, and its client is told how; a command of doveadm need not.
func (m *Master) kick(pid int, user string, by int) masterproto.Code {
	for _, a := range m.serving {
		if a.p.pid != pid || a.o.user != user {
			continue
		}
		m.log.Warn("kicked", "service", a.w.logName, "pid", pid, "user", user, "by", by)
		m.drain(a.p)
		if a.w.class == "lmtp" {
			return masterproto.CodeOK
		}
		m.kill(a.p, unix.SIGTERM)
		time.AfterFunc(kickLimit, func() {
			m.do(func() {
				if m.children[pid] == a.p {
					m.log.Error("worker was kicked and does not go, killing it", "service", a.w.logName, "pid", pid, "user", user, "limit", kickLimit)
					m.kill(a.p, unix.SIGKILL)
				}
			})
		})
		return masterproto.CodeOK
	}
	return masterproto.CodeNotFound
}

// stopService lets what faces the clients of a service go, until the next
// reload: its listeners close, so that they are refused and not left waiting. What
// is under way finishes.
func (m *Master) stopService(name string, by int) (masterproto.Code, error) {
	s, ok := m.cfg.Service(name)
	switch {
	case !ok || !started(s):
		return masterproto.CodeNotFound, nil
	case m.stopping:
		return masterproto.CodeRefused, errStopping
	case name == "log":
		return masterproto.CodeRefused, errors.New("the log ends with the master: everybody else writes to it")
	}
	m.log.Warn("service is stopped until the next reload", "service", name, "by", by)
	m.gen.stopped[name] = true
	for _, d := range m.gen.daemons {
		if d.name == name {
			m.retireDaemon(d)
		}
	}
	m.sockets.release(m.cfg.Listeners(s))
	return masterproto.CodeOK, nil
}

// accesses lists who is being served, the oldest first.
func (m *Master) accesses() (all []masterproto.Answer) {
	for _, a := range m.serving {
		if a.p.pid > 0 {
			all = append(all, masterproto.Answer{Kind: masterproto.KindAccess, Access: masterproto.Access{
				User: a.o.user, Service: a.w.class, PID: a.p.pid, Since: a.o.began}})
		}
	}
	slices.SortFunc(all, func(a, b masterproto.Answer) int { return a.Access.Since.Compare(b.Access.Since) })
	return all
}
