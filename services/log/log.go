// Package log is the log service: it reads the log pipe of every child, says
// who wrote each line, and writes it to syslog, a file or standard error.
//
// Runs as:   the log user.
// Trusts:    the master, which says whose pipe is whose.
// Distrusts: every line: a child's level is taken as one of five, its text loses
//
//	control bytes, its user counts only where the master named none.
//
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

	readers sync.WaitGroup
	master  *masterReader
}

// masterReader reads the pipe of the master itself, which is the one that does
// not end before this service does.
type masterReader struct {
	reader
	file *os.File
	done chan struct{}
}

// Serve follows the control socket. It is started before every other child and
// ends after them: when the master drains it or is gone, it reads on until the
// pipe of each has ended, so that the last words of all are written.
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
			s.finish()
			return 0
		}
		switch {
		case m.Kind == handoff.KindLogSource && fd >= 0:
			s.add(Source{PID: m.ID, Service: m.Service, User: m.User}, fd)
			continue
		case m.Kind == handoff.KindReopen:
			s.Writer.Reopen()
		case m.Kind == handoff.KindDrain:
			s.finish()
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
	r := reader{pipe: pipe, from: from, out: s.Writer}
	if from.Service == "master" {
		s.master = &masterReader{reader: r, file: pipe, done: make(chan struct{})}
		go func(m *masterReader) {
			defer close(m.done)
			m.run()
		}(s.master)
		return
	}
	s.readers.Go(func() {
		defer pipe.Close()
		r.run()
	})
}

// finish reads every pipe to its end. The master waits for this process, so its
// own pipe is read as far as it is filled.
func (s *Service) finish() {
	s.readers.Wait()
	if m := s.master; m != nil {
		m.file.SetReadDeadline(time.Unix(1, 0))
		<-m.done
		raw, err := m.file.SyscallConn()
		if err == nil {
			raw.Control(func(fd uintptr) { m.rest(int(fd)) })
		}
		m.file.Close()
	}
}
