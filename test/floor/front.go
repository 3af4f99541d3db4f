package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
)

const (
	roleAuth    = "auth"
	roleMaster  = "master"
	roleSpawner = "spawner"
)

// maxPacket bounds every message between the processes.
const maxPacket = 4096

// caller matches answers on a packet socket to the questions that wait for them.
// A packet begins with its number.
type caller struct {
	conn *fdpass.Conn
	mu   sync.Mutex
	wait map[int]chan answer
	next int
}

type answer struct {
	text string
	fd   int
}

func newCaller(c *fdpass.Conn) *caller {
	l := &caller{conn: c, wait: map[int]chan answer{}}
	go l.read()
	return l
}

func (l *caller) read() {
	buf := make([]byte, maxPacket)
	for {
		n, fd, err := l.conn.Recv(buf)
		l.mu.Lock()
		if err != nil {
			for _, w := range l.wait {
				close(w)
			}
			l.wait = nil
			l.mu.Unlock()
			return
		}
		var id int
		fmt.Sscan(string(buf[:n]), &id)
		w := l.wait[id]
		delete(l.wait, id)
		l.mu.Unlock()
		w <- answer{string(buf[:n]), fd}
	}
}

// call asks and waits. fd travels along unless it is negative.
func (l *caller) call(text string, fd int) (answer, error) {
	w := make(chan answer, 1)
	l.mu.Lock()
	if l.wait == nil {
		l.mu.Unlock()
		return answer{}, io.ErrUnexpectedEOF
	}
	l.next++
	id := l.next
	l.wait[id] = w
	l.mu.Unlock()
	if err := l.conn.Send(fmt.Appendf(nil, "%d %s", id, text), fd); err != nil {
		return answer{}, err
	}
	a, ok := <-w
	if !ok {
		return a, io.ErrUnexpectedEOF
	}
	return a, nil
}

// front is the trial's front: it holds the message and asks for workers.
type front struct {
	*trial
	master, auth *caller
	masterPid    int
	authPid      int
}

func startFront(t *trial) (*front, error) {
	f := &front{trial: t}
	authFront, a1, err := pair()
	if err != nil {
		return nil, err
	}
	authMaster, a2, err := fdpass.Pair(syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, err
	}
	toMaster, m, err := pair()
	if err != nil {
		return nil, err
	}
	if f.authPid, err = spawn(roleAuth, a1, a2); err != nil {
		return nil, err
	}
	if f.masterPid, err = spawn(roleMaster, m, authMaster); err != nil {
		return nil, err
	}
	f.auth, f.master = newCaller(authFront), newCaller(toMaster)
	return f, nil
}

// stop ends the processes by closing their sockets and waits, so that their CPU
// time is known.
func (f *front) stop() error {
	f.master.conn.Close()
	f.auth.conn.Close()
	for _, pid := range []int{f.masterPid, f.authPid} {
		var st syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &st, 0, nil); err != nil {
			return err
		}
		if st.ExitStatus() != 0 {
			return fmt.Errorf("process %d ended with %d", pid, st.ExitStatus())
		}
	}
	return nil
}

// deliver is one recipient: asked for in auth (RCPT), a spool, a worker, the
// conversation with it.
func (f *front) deliver(user, number int) error {
	if _, err := f.auth.call(fmt.Sprintf("user%d", user), -1); err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	spool, err := unix.MemfdCreate("spool", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(spool)
	if _, err := unix.Write(spool, f.message); err != nil {
		return err
	}
	uid := f.firstUID
	if uid != 0 {
		uid += user - 1
	}
	a, err := f.master.call(fmt.Sprintf("%d %s/user%d/Maildir %s %d", uid, f.homes, user, f.worker, number), -1)
	if err != nil {
		return fmt.Errorf("master: %w", err)
	}
	if a.fd < 0 {
		return fmt.Errorf("master: %s", a.text)
	}
	return f.talk(a.fd, spool)
}

// talk is the front's side of the conversation with the worker.
func (f *front) talk(fd, spool int) error {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	c := os.NewFile(uintptr(fd), "worker")
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(s uintptr) {
		serr = unix.Sendmsg(int(s), []byte("LHLO MAIL RCPT XFD QUIT\n"), unix.UnixRights(spool), nil, 0)
	}); err != nil || serr != nil {
		return errors.Join(err, serr)
	}
	text, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(string(text), "250 saved\n") {
		return fmt.Errorf("worker: %q", text)
	}
	return nil
}
