package master

import (
	"bytes"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
)

// journal is where the master's own log lines go: into a pipe of the log
// service like everybody's, and to stderr as long as there is none. It never
// waits: a master that waits for a full log serves nobody.
type journal struct {
	stderr *os.File
	pipe   *os.File // write end, non-blocking
	read   int      // read end, ours as long as we live
}

func newJournal(stderr *os.File) (*journal, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	unix.SetNonblock(p[1], true)
	return &journal{stderr: stderr, pipe: os.NewFile(uintptr(p[1]), "log"), read: p[0]}, nil
}

// Write takes one framed line (package logline).
func (j *journal) Write(line []byte) (int, error) {
	raw, err := j.pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	werr := raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), line) })
	if err == nil {
		err = werr
	}
	if err != nil {
		j.aside(line)
	}
	return len(line), nil
}

// aside writes a line to stderr, without its frame.
func (j *journal) aside(line []byte) {
	if fields := bytes.SplitN(line, []byte{'\t'}, 3); len(fields) == 3 {
		line = fields[2]
	}
	j.stderr.Write(append([]byte("culver: "), line...))
}

// close ends the master's own part of the log, so that the log service sees the
// end of every pipe. What no log service has read goes to stderr, as all later
// lines do.
func (j *journal) close(unread bool) {
	j.pipe.Close()
	if j.read < 0 {
		return
	}
	if unread {
		unix.SetNonblock(j.read, true)
		rest, _ := io.ReadAll(io.LimitReader(os.NewFile(uintptr(j.read), "log"), logline.MaxLine*64))
		for line := range bytes.Lines(rest) {
			j.aside(line)
		}
	} else {
		unix.Close(j.read)
	}
	j.read = -1
}

// logStarted gives a new log service every pipe there is: what a dead one had
// not read is still in them.
func (m *Master) logStarted(p *process) {
	m.logService = p
	m.sendSource(p, os.Getpid(), "master", "", m.journal.read)
	for _, c := range m.children {
		m.logSource(c)
	}
	for _, u := range m.unread {
		m.sendSource(p, u.pid, u.service, u.user, u.read)
		unix.Close(u.read)
	}
	m.unread = nil
}

// unread is the log pipe of a child that died while there was no log service.
type unread struct {
	pid           int
	service, user string
	read          int
}

// maxUnread bounds the descriptors that wait for a log service.
const maxUnread = 256

// lastLines gives up a dead child's pipe, which the log service reads to its
// end; where there is none just now the next one shall.
func (m *Master) lastLines(c *process) {
	logless := m.logService == nil || m.logService.gone
	if logless && c.service != "log" && c.pid > 0 && !m.stopping && len(m.unread) < maxUnread {
		m.unread = append(m.unread, unread{c.pid, c.service, c.user, c.logRead})
		return
	}
	unix.Close(c.logRead)
}

// logSource tells the log service whose lines come from which pipe. A worker of
// one user speaks for that user alone.
func (m *Master) logSource(c *process) {
	if m.logService == nil || m.logService.gone || c == m.logService || c.logRead < 0 {
		return
	}
	m.sendSource(m.logService, c.pid, c.service, c.user, c.logRead)
}

func (m *Master) sendSource(to *process, pid int, service, user string, read int) {
	fd, err := unix.FcntlInt(uintptr(read), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		m.journal.aside([]byte("no descriptor for a log pipe: " + err.Error() + "\n"))
		return
	}
	to.out.post(&handoff.Message{Kind: handoff.KindLogSource, ID: uint64(pid), Service: service, User: user}, fd)
}

// reopenLogs passes SIGUSR1 on.
func (m *Master) reopenLogs() {
	if m.logService != nil && !m.logService.gone {
		m.logService.out.post(&handoff.Message{Kind: handoff.KindReopen}, -1)
	}
}
