package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"culver/internal/fdpass"
)

// spawners is how many spawner processes there are: some more than cores.
const spawners = 3

// auth answers every question with itself: the hop without the work.
func auth() int {
	var wg sync.WaitGroup
	for _, fd := range []int{3, 4} {
		c, err := inherited(fd)
		if err != nil {
			return 1
		}
		wg.Go(func() {
			buf := make([]byte, maxPacket)
			for {
				n, _, err := c.Recv(buf)
				if err != nil || c.Send(buf[:n], -1) != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return 0
}

// master takes requests on 3, asks auth on 4, has a spawner make the worker, and
// sends the front its end of the worker's socketpair.
func master() int {
	front, err := inherited(3)
	if err != nil {
		return 1
	}
	authConn, err := inherited(4)
	if err != nil {
		return 1
	}
	auth := newCaller(authConn)
	free := make(chan *caller, spawners)
	var all []*caller
	for range spawners {
		ours, theirs, err := pair()
		if err != nil {
			return 1
		}
		if _, err := spawn(roleSpawner, theirs); err != nil {
			return 1
		}
		all = append(all, newCaller(ours))
		free <- all[len(all)-1]
	}
	reaped := make(chan struct{})
	go reap(reaped)
	var wg sync.WaitGroup
	buf := make([]byte, maxPacket)
	for {
		n, _, err := front.Recv(buf)
		if err != nil {
			break
		}
		request := string(buf[:n])
		wg.Go(func() { start(front, auth, free, request) })
	}
	wg.Wait()
	for _, s := range all {
		s.conn.Close()
	}
	<-reaped
	return 0
}

// reap waits for workers and spawners until none is left. Spawners live as long as
// the run, so "no children" comes only after them.
func reap(done chan struct{}) {
	defer close(done)
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			return
		}
	}
}

// start is one request: auth's word, a socketpair, a worker.
func start(front *fdpass.Conn, auth *caller, free chan *caller, request string) {
	var id int
	fmt.Sscan(request, &id)
	fail := func(err error) { front.Send(fmt.Appendf(nil, "%d %v", id, err), -1) }
	if _, err := auth.call(request, -1); err != nil {
		fail(err)
		return
	}
	a, b, err := fdpass.Pair(syscall.SOCK_STREAM, 0)
	if err != nil {
		fail(err)
		return
	}
	s := <-free
	ans, err := s.call(request, b)
	free <- s
	syscall.Close(b)
	var sid, pid int
	if _, serr := fmt.Sscan(ans.text, &sid, &pid); err == nil && (serr != nil || pid <= 0) {
		err = fmt.Errorf("spawner: %s", ans.text)
	}
	if err != nil {
		fail(err)
	} else if err := front.Send(fmt.Appendf(nil, "%d %d", id, pid), a); err != nil {
		fmt.Fprintln(os.Stderr, "floor master:", err)
	}
	syscall.Close(a)
}

// spawner makes workers on request: one at a time.
func spawner() int {
	c, err := inherited(3)
	if err != nil {
		return 1
	}
	if err := loadFilter(); err != nil {
		fmt.Fprintln(os.Stderr, "floor spawner: seccomp:", err)
		return 1
	}
	buf := make([]byte, maxPacket)
	for {
		n, fd, err := c.Recv(buf)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		var sid, id, uid, number int
		var dir, worker string
		pid := 0
		_, err = fmt.Sscan(string(buf[:n]), &sid, &id, &uid, &dir, &worker, &number)
		if err == nil {
			pid, err = birth(uid, dir, worker, fmt.Sprint(number), fd)
		}
		syscall.Close(fd)
		text := fmt.Appendf(nil, "%d %d", sid, pid)
		if err != nil {
			text = fmt.Appendf(nil, "%d -1 %v", sid, err)
		}
		if c.Send(text, -1) != nil {
			return 1
		}
	}
}
