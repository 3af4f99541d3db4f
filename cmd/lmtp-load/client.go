package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a server may send before we call it broken. RFC 5321 section 4.5.3.1.5
// allows 512 bytes a line; real servers put host names and texts of their own in.
const (
	maxReplyLine  = 4096
	maxReplyLines = 128
)

// pipelineDepth is how many RCPT are on their way before their replies are
// read: more could fill the socket buffers of both sides at once, which is a
// deadlock (RFC 2920 section 3.1).
const pipelineDepth = 64

// errProtocol says that the server's answer is not LMTP.
var errProtocol = errors.New("protocol error")

// client is one LMTP session.
type client struct {
	conn     net.Conn
	in       *bufio.Reader
	out      *bufio.Writer
	timeout  time.Duration
	pipeline bool
}

// reply is one answer of the server, its lines joined by a blank.
type reply struct {
	code int
	text string
}

func (r reply) class() int { return r.code / 100 }

// dial connects and reads the greeting; the reply is the greeting.
func dial(ctx context.Context, network, address string, timeout time.Duration) (*client, reply, error) {
	conn, err := connect(ctx, network, address, timeout)
	if err != nil {
		return nil, reply{}, err
	}
	c := &client{
		conn: conn, timeout: timeout,
		in: bufio.NewReaderSize(conn, maxReplyLine), out: bufio.NewWriter(conn),
	}
	r, err := c.read()
	if err != nil {
		conn.Close()
		return nil, reply{}, err
	}
	return c, r, nil
}

// connect waits while a unix listener's backlog is full, as a blocking connect
// does in an MTA; Go's does not block and gets EAGAIN.
func connect(ctx context.Context, network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, network, address)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (c *client) close() { c.conn.Close() }

// command sends one line and waits for its reply.
func (c *client) command(format string, args ...any) (reply, error) {
	fmt.Fprintf(c.out, format+"\r\n", args...)
	if err := c.flush(); err != nil {
		return reply{}, err
	}
	return c.read()
}

func (c *client) flush() error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	return c.out.Flush()
}

// hello says LHLO and learns whether PIPELINING is offered.
func (c *client) hello(name string) (reply, error) {
	r, err := c.command("LHLO %s", name)
	c.pipeline = strings.Contains(" "+strings.ToUpper(r.text)+" ", " PIPELINING ")
	return r, err
}

// transaction sends one message and returns the final reply of every
// recipient, in order. A refused MAIL or DATA is the reply of all of them.
func (c *client) transaction(from string, to []string, message []byte) ([]reply, error) {
	rcpts, data, err := c.envelope(from, to)
	if err != nil {
		return nil, err
	}
	if data.code != 354 {
		return merged(rcpts, data), nil
	}
	accepted := count2xx(rcpts)
	if accepted == 0 {
		// RFC 2033 section 4.2: DATA without a recipient must be refused. This
		// server wants a message for nobody: end it, it owes no reply.
		_, err := c.out.WriteString(".\r\n")
		return rcpts, errors.Join(fmt.Errorf("%w: 354 without a recipient", errProtocol), err)
	}
	c.out.Write(message)
	c.out.WriteString(".\r\n")
	if err := c.flush(); err != nil {
		return nil, err
	}
	// RFC 2033 section 4.2: one reply per accepted RCPT, in their order.
	for i := range rcpts {
		if rcpts[i].class() != 2 {
			continue
		}
		if rcpts[i], err = c.read(); err != nil {
			return rcpts[:i], err
		}
	}
	return rcpts, nil
}

// envelope sends MAIL, RCPT and DATA: in groups when the server can, one at a
// time when not.
func (c *client) envelope(from string, to []string) (rcpts []reply, data reply, err error) {
	lines := []string{fmt.Sprintf("MAIL FROM:<%s>\r\n", from)}
	for _, a := range to {
		lines = append(lines, fmt.Sprintf("RCPT TO:<%s>\r\n", a))
	}
	lines = append(lines, "DATA\r\n")
	depth := 1
	if c.pipeline {
		depth = pipelineDepth
	}
	var got []reply
	for len(lines) > 0 {
		n := min(depth, len(lines))
		for _, l := range lines[:n] {
			c.out.WriteString(l)
		}
		if err := c.flush(); err != nil {
			return nil, reply{}, err
		}
		for range n {
			r, err := c.read()
			if err != nil {
				return nil, reply{}, err
			}
			got = append(got, r)
		}
		lines = lines[n:]
	}
	last := len(got) - 1
	if got[0].class() != 2 {
		return make([]reply, len(to)), got[0], nil
	}
	return got[1:last], got[last], nil
}

// merged gives those recipients that were accepted, or never looked at, the
// reply that refused the whole transaction.
func merged(rcpts []reply, refusal reply) []reply {
	for i := range rcpts {
		if rcpts[i].code == 0 || rcpts[i].class() == 2 {
			rcpts[i] = refusal
		}
	}
	return rcpts
}

func count2xx(rs []reply) (n int) {
	for _, r := range rs {
		if r.class() == 2 {
			n++
		}
	}
	return n
}

// read reads one reply of one or more lines (RFC 5321 section 4.2).
func (c *client) read() (reply, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return reply{}, err
	}
	var r reply
	for n := 0; n < maxReplyLines; n++ {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return reply{}, err
		}
		line = strings.TrimRight(line, "\r\n")
		code, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || code < 200 || code > 599 || n > 0 && code != r.code {
			return reply{}, fmt.Errorf("%w: %.80q", errProtocol, line)
		}
		r.code = code
		text := line[3:]
		r.text = strings.TrimSpace(r.text + " " + strings.TrimLeft(text, "- "))
		if !strings.HasPrefix(text, "-") {
			return r, nil
		}
	}
	return reply{}, fmt.Errorf("%w: more than %d lines in one reply", errProtocol, maxReplyLines)
}
