package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"
)

// link is a connection whose calls block the thread: Go's poller would cost the
// generator more than either server.
type link struct {
	fd   int
	buf  []byte
	from int // what is before was taken
}

func dial(path string) (*link, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &link{fd: fd, buf: make([]byte, 0, 64<<10)}, nil
}

func (l *link) close() { syscall.Close(l.fd) }

// send and fill use raw calls: the scheduler need not know of a call that the
// other side answers within microseconds.
func (l *link) send(p []byte) error {
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(l.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	if e != 0 {
		return e
	}
	if int(n) != len(p) {
		return errors.New("short write")
	}
	return nil
}

func (l *link) fill() error {
	if l.from > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.from:])]
		l.from = 0
	}
	free := l.buf[len(l.buf):cap(l.buf)]
	if len(free) == 0 {
		return errors.New("a line is too long")
	}
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(l.fd), uintptr(unsafe.Pointer(&free[0])), uintptr(len(free)))
		switch {
		case e == syscall.EINTR:
			continue
		case e != 0:
			return e
		case n == 0:
			return errors.New("the server hung up")
		}
		l.buf = l.buf[:len(l.buf)+int(n)]
		return nil
	}
}

// line waits for one line and gives it with its end; it is good until the next.
func (l *link) line() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.from:], '\n'); i >= 0 {
			line := l.buf[l.from : l.from+i+1]
			l.from += i + 1
			return line, nil
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// hello shakes hands for lookups.
func (l *link) hello() (string, error) {
	if err := l.send([]byte("VERSION\t1\t1\n")); err != nil {
		return "", err
	}
	return l.until("SPID\t")
}

// until reads up to a line with this beginning and gives all of it.
func (l *link) until(prefix string) (string, error) {
	var all strings.Builder
	for {
		line, err := l.line()
		all.Write(line)
		if err != nil || bytes.HasPrefix(line, []byte(prefix)) {
			return all.String(), err
		}
	}
}

// question is a lookup and how its answer begins.
type question struct{ ask, want []byte }

// questions are those of n users, with ids from 1, as our own client puts them.
func questions(n int) []question {
	all := make([]question, n)
	for i := range all {
		all[i] = question{
			fmt.Appendf(nil, "USER\t%d\t%s\tservice=lmtp\tprotocol=lmtp\n", i+1, name(i+1)),
			fmt.Appendf(nil, "USER\t%d\t%s\t", i+1, name(i+1)),
		}
	}
	return all
}

func (l *link) answer(q question) error {
	line, err := l.line()
	if err == nil && !bytes.HasPrefix(line, q.want) {
		err = fmt.Errorf("asked %q, got %q", q.ask, line)
	}
	return err
}

func dialLookup(path string) (*link, error) {
	l, err := dial(path)
	if err != nil {
		return nil, err
	}
	if _, err := l.hello(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// dialMany opens n connections.
func dialMany(path string, n int) (all []*link, err error) {
	for range n {
		l, err := dialLookup(path)
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	return all, nil
}

func closeAll(all []*link) {
	for _, l := range all {
		l.close()
	}
}
