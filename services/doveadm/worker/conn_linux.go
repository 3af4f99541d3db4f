package worker

import (
	"bufio"
	"io"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
)

// maxRead is the buffer for what the front sends: a piece of a packet.
const maxRead = 32 << 10

// conn is the private connection to the front: packets in both directions.
type conn struct {
	fd   int
	br   *bufio.Reader
	in   *doveadmproto.PacketReader
	part bool   // the last packet goes on
	out  []byte // held packets
	err  error  // of the first write that failed: the front is gone
}

func newConn(fd int) *conn {
	c := &conn{fd: fd}
	c.br = bufio.NewReaderSize(descriptor(fd), maxRead)
	c.in = doveadmproto.NewPacketReader(c.br)
	return c
}

// next gives the next packet or a piece of it.
func (c *conn) next() (doveadmproto.Packet, error) {
	p, err := c.in.Next()
	c.part = err == nil && p.More
	return p, err
}

// write sends packets that are whole.
func (c *conn) write(b []byte) error {
	for len(b) > 0 && c.err == nil {
		n, err := unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		case unix.EAGAIN: // the descriptor came non-blocking
			wait(c.fd, unix.POLLOUT)
		default:
			c.err = err
		}
	}
	return c.err
}

// hold keeps a packet until the next one is sent, which it goes with.
func (c *conn) hold(ch byte, data []byte) {
	c.out = doveadmproto.AppendPacket(c.out, ch, data)
}

// packet sends data on a channel; empty data is an empty packet.
func (c *conn) packet(ch byte, data []byte) error {
	c.hold(ch, data)
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

// cancelled tells whether the front wants an end of it, or is gone. It looks
// only where a packet would begin: input that is there goes first.
func (c *conn) cancelled() bool {
	if c.err != nil {
		return true
	}
	if c.part || c.in.Ahead() > 0 {
		return false
	}
	var b [1]byte
	n, _, _, _, err := unix.Recvmsg(c.fd, b[:], nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false
	case err != nil || n == 0:
		return true
	}
	return b[0] == doveadmproto.ChCancel
}

func (c *conn) close() { unix.Close(c.fd) }

// descriptor reads a socket that may block or not.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), p)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			wait(int(d), unix.POLLIN)
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func wait(fd int, events int16) {
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
}
