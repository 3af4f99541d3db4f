// Package fdpass sends and receives messages that may carry one open
// descriptor, over a unix socket that somebody else made.
//
// Runs as:   the master and its children.
// Trusts:    nobody: a message is bounded by the reader's buffer, and
// descriptors beyond the one that was asked for are closed.
// Distrusts: the peer. The master receives with RecvPlain, which refuses every
// descriptor.
// Speaks:    SOCK_SEQPACKET (one message each) and SOCK_STREAM; SCM_RIGHTS.
package fdpass

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrTruncated says that a message was larger than the buffer offered for it.
var ErrTruncated = errors.New("message is larger than its limit")

// ErrDescriptor says that a message carried a descriptor where none may be.
var ErrDescriptor = errors.New("message carries a descriptor")

// Conn is one end of a unix socket.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
}

// New takes over the descriptor. When the descriptor is non-blocking, Go's
// poller waits for it and deadlines work; else calls block their thread, which
// is the cheaper way in a process that does one thing.
func New(fd int, name string) (*Conn, error) {
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Conn{f, raw}, nil
}

// Pair makes a connected pair of descriptors of the type SOCK_SEQPACKET or
// SOCK_STREAM, close-on-exec. flags may add SOCK_NONBLOCK, for both ends.
func Pair(typ, flags int) (a, b int, err error) {
	p, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|flags, 0)
	return p[0], p[1], err
}

// Send sends one message, with the descriptor fd unless it is negative. fd
// stays the caller's to close.
func (c *Conn) Send(msg []byte, fd int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	var err error
	werr := c.raw.Write(func(s uintptr) bool {
		for {
			var n int
			n, err = unix.SendmsgN(int(s), msg, rights, nil, unix.MSG_NOSIGNAL)
			switch {
			case err == unix.EINTR:
			case err == nil && n < len(msg): // SOCK_STREAM took a part, and the rights with it
				msg, rights = msg[n:], nil
			default:
				return err != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = werr
	}
	return err
}

// TrySend is Send without waiting: EAGAIN when the socket's buffer is full.
func (c *Conn) TrySend(msg []byte, fd int) error {
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	var err error
	werr := c.raw.Control(func(s uintptr) {
		err = unix.Sendmsg(int(s), msg, rights, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	})
	if err == nil {
		err = werr
	}
	return err
}

// Recv receives one message into buf, and the descriptor that came with it or
// -1. The descriptor is close-on-exec and the caller's to close. The end of
// the stream is io.EOF.
func (c *Conn) Recv(buf []byte) (n, fd int, err error) {
	var oob [64]byte
	var oobn, flags int
	fd = -1
	rerr := c.raw.Read(func(s uintptr) bool {
		for {
			n, oobn, flags, _, err = unix.Recvmsg(int(s), buf, oob[:], unix.MSG_CMSG_CLOEXEC)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = rerr
	}
	if err != nil {
		return 0, -1, err
	}
	for _, got := range received(oob[:oobn]) {
		if fd < 0 {
			fd = got
		} else {
			unix.Close(got)
		}
	}
	switch {
	case flags&unix.MSG_TRUNC != 0:
		err = ErrTruncated
	case n == 0 && len(buf) > 0:
		err = io.EOF
	}
	if err != nil && fd >= 0 {
		unix.Close(fd)
		fd = -1
	}
	return n, fd, err
}

// RecvPlain is Recv for a peer that may send no descriptor: one that came is
// closed, unseen, and ErrDescriptor returned.
func (c *Conn) RecvPlain(buf []byte) (int, error) {
	n, fd, err := c.Recv(buf)
	if fd >= 0 {
		unix.Close(fd)
		return 0, ErrDescriptor
	}
	return n, err
}

func received(oob []byte) (fds []int) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range msgs {
		if got, err := unix.ParseUnixRights(&m); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

// SetDeadline bounds Send and Recv on a non-blocking descriptor.
func (c *Conn) SetDeadline(t time.Time) error { return c.file.SetDeadline(t) }

// Read and Write make a Conn of a stream socket an io.ReadWriter.
func (c *Conn) Read(p []byte) (int, error)  { return c.file.Read(p) }
func (c *Conn) Write(p []byte) (int, error) { return c.file.Write(p) }

// Close closes the socket.
func (c *Conn) Close() error { return c.file.Close() }
