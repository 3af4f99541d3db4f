package master

import (
	"bytes"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
)

// journal is where the master's own log lines go: into a pipe of the log
// service like everybody's, and to stderr as long as there is none. It never
// waits: a master that waits for a full log serves nobody.
type journal struct {
	stderr *aside
	pipe   *os.File    // write end, non-blocking
	read   int         // read end, ours as long as we live
	direct atomic.Bool // the log service fails to start: past the pipe
}

func newJournal(stderr *os.File) (*journal, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	unix.SetNonblock(p[1], true)
	return &journal{stderr: newAside(stderr), pipe: os.NewFile(uintptr(p[1]), "log"), read: p[0]}, nil
}

// Write takes one framed line (package logline).
func (j *journal) Write(line []byte) (int, error) {
	if j.direct.Load() || j.send(line) != nil {
		j.stderr.put(line)
	}
	return len(line), nil
}

func (j *journal) send(line []byte) error {
	raw, err := j.pipe.SyscallConn()
	if err != nil {
		return err
	}
	werr := raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), line) })
	if err == nil {
		err = werr
	}
	return err
}

// logless sends what no log service has read to stderr, and all later lines,
// until one starts. Nobody else may be reading.
func (j *journal) logless() {
	j.direct.Store(true)
	if j.read < 0 {
		return
	}
	// Not to the end of file, which may not come, and without O_NONBLOCK, which
	// the next log service would inherit with the pipe.
	n, err := unix.IoctlGetInt(j.read, unix.TIOCINQ)
	if err != nil || n <= 0 {
		return
	}
	rest := make([]byte, n)
	n, _ = unix.Read(j.read, rest)
	for line := range bytes.Lines(rest[:max(n, 0)]) {
		j.stderr.put(line)
	}
}

// close ends the master's own part of the log, so that the log service sees the
// end of every pipe. Later lines go to stderr; with unread, so does what no log
// service has read.
func (j *journal) close(unread bool) {
	if unread {
		j.logless()
	}
	j.direct.Store(true)
	j.pipe.Close()
	if j.read >= 0 {
		unix.Close(j.read)
		j.read = -1
	}
}

// logStarted gives a new log service every pipe there is: what a dead one had
// not read is still in them.
func (m *Master) logStarted(p *process) {
	m.logService = p
	m.journal.direct.Store(false)
	p.out.maxFDs += len(m.children) + len(m.unread) // all at once, before it can read
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
		m.journal.stderr.put([]byte("no descriptor for a log pipe: " + err.Error() + "\n"))
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
