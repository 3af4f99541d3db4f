package deliver

import (
	"io"

	"golang.org/x/sys/unix"
)

// conn is the private connection to the front. Answers are kept until there is
// nothing more to read: the front sends all its commands at once, and so gets
// all answers at once.
type conn struct {
	fd      int
	message int // the descriptor that came along, -1 before
	out     []byte
	oob     [64]byte
}

func newConn(fd int) *conn { return &conn{fd: fd, message: -1} }

// Read gives what the front sent. It answers first if it has to wait.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.recv(p, unix.MSG_DONTWAIT)
	for err == unix.EAGAIN {
		if err := c.flush(); err != nil {
			return 0, err
		}
		if n, err = c.recv(p, 0); err == unix.EAGAIN { // the descriptor came non-blocking
			wait(c.fd, unix.POLLIN)
		}
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	return max(n, 0), err
}

func (c *conn) recv(p []byte, flags int) (int, error) {
	for {
		n, oobn, _, _, err := unix.Recvmsg(c.fd, p, c.oob[:], flags|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == nil && oobn > 0 {
			c.take(c.oob[:oobn])
		}
		return n, err
	}
}

// take keeps the last descriptor and closes all others.
func (c *conn) take(oob []byte) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if c.message >= 0 {
				unix.Close(c.message)
			}
			c.message = fd
		}
	}
}

// flush sends the answers that are due.
func (c *conn) flush() error {
	for len(c.out) > 0 {
		n, err := unix.SendmsgN(c.fd, c.out, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			c.out = c.out[n:]
		case unix.EINTR:
		case unix.EAGAIN:
			wait(c.fd, unix.POLLOUT)
		default:
			return err
		}
	}
	c.out = nil
	return nil
}

// awaited tells whether the front is still there: after its deadline, or its
// death, the MTA has no 250 and sends the message again.
func (c *conn) awaited() bool {
	var b [1]byte
	n, _, _, _, err := unix.Recvmsg(c.fd, b[:], nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n > 0 || err == unix.EAGAIN || err == unix.EINTR
}

func wait(fd int, events int16) {
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
}

func (c *conn) close() {
	c.flush()
	if c.message >= 0 {
		unix.Close(c.message)
	}
	unix.Close(c.fd)
}
