// Package log is the log service: it reads the log pipe of every child, says
// who wrote each line, and writes it to syslog, a file or standard error.
//
// Runs as:   the log user.
// Trusts:    the master, which says whose pipe is whose.
// Distrusts: every line: a child's level is taken as one of five, its text loses
// control bytes, its user counts only where the master named none.
// Speaks:    the lines of package logline; RFC 3164 to /dev/log; Dovecot's log format.
//
// The master gives this service its own standard error as descriptor 2, and no
// log pipe: what the service itself has to say goes through its Writer.
package log

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
)

// Service reads pipes until none is left.
type Service struct {
	Writer *Writer

	children, master pipes
}

// pipes are those that are read now, one goroutine for each.
type pipes struct {
	mu   sync.Mutex
	open map[*os.File]struct{}
	done sync.WaitGroup
}

// Serve follows the control socket. The service is started before every other
// child and ends after them: when the master closes the socket or is gone, it
// reads on until the pipe of each has ended, so that the last words of all are
// written. When the master drains it, another log service will read on from the
// master's copies of the same pipes.
func (s *Service) Serve(p *worker.Process) int {
	// A terminal's ^C reaches the whole group, and a SIGTERM may reach every
	// process of a unit: neither may end this one while others can still speak.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	if err := p.Status(1, 0); err != nil {
		s.Writer.Own(logline.Error, "cannot tell the master that the log is ready: "+err.Error())
		return worker.ExitTempfail
	}
	for {
		m, fd, err := p.Next()
		switch {
		case errors.Is(err, handoff.ErrMessage):
			s.Writer.Own(logline.Error, "control socket: "+err.Error())
			continue
		case err != nil:
			if !errors.Is(err, io.EOF) {
				s.Writer.Own(logline.Error, "control socket: "+err.Error())
			}
			s.children.done.Wait()
			// The master waits for this process to end, so its own pipe is the one
			// that may not end before: it is read as far as it is filled.
			s.master.leave()
			return 0
		}
		switch {
		case m.Kind == handoff.KindLogSource && fd >= 0:
			s.add(Source{PID: m.ID, Service: m.Service, User: m.User}, fd)
			continue
		case m.Kind == handoff.KindReopen:
			s.Writer.Reopen()
		case m.Kind == handoff.KindDrain:
			s.children.leave()
			s.master.leave()
			return 0
		}
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// add starts reading one child's pipe, which it takes over.
func (s *Service) add(from Source, fd int) {
	if err := unix.SetNonblock(fd, true); err != nil {
		s.Writer.Own(logline.Error, "pipe of "+from.Service+": "+err.Error())
		unix.Close(fd)
		return
	}
	pipe := os.NewFile(uintptr(fd), "log pipe")
	r := &reader{pipe: pipe, from: from, out: s.Writer}
	to := &s.children
	if from.Service == "master" {
		to = &s.master
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if to.open == nil {
		to.open = map[*os.File]struct{}{}
	}
	to.open[pipe] = struct{}{}
	to.done.Go(func() {
		if !r.run() {
			r.leave(pipe)
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		delete(to.open, pipe)
		pipe.Close()
	})
}

// leave has what is in each pipe now written, and waits for that.
func (p *pipes) leave() {
	p.mu.Lock()
	for pipe := range p.open {
		pipe.SetReadDeadline(time.Unix(1, 0))
	}
	p.mu.Unlock()
	p.done.Wait()
}
