package anvilproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"culver/internal/tabline"
)

// Client asks anvil over one connection, one request at a time: an answer takes
// microseconds. Its methods may be called by any number of goroutines.
type Client struct {
	Dial func(ctx context.Context) (net.Conn, error)

	turn chan struct{} // holds a token while nobody asks
	conn net.Conn      // nil while there is none
	r    *bufio.Reader
}

// NewClient makes a Client for anvil's socket. It connects when it is asked.
func NewClient(path string) *Client {
	c := &Client{turn: make(chan struct{}, 1), Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	c.turn <- struct{}{}
	return c
}

// RefusedError is a FAIL of the server's: asking again changes nothing.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "anvil: " + e.Reason }

// Before announces an attempt and gives how long it has to wait. refuse means
// that it is one too many: the password is not to be looked at.
func (c *Client) Before(ctx context.Context, a Attempt) (wait time.Duration, refuse bool, err error) {
	f, err := c.ask(ctx, nil, Before, a.Fields()...)
	switch {
	case err != nil:
		return 0, false, err
	case f[0] == Refuse:
		return 0, true, nil
	}
	n, err := number(f)
	return time.Duration(n) * time.Millisecond, false, err
}

// After says how an attempt ended that Before had announced.
func (c *Client) After(ctx context.Context, a Attempt, o Outcome) error {
	_, err := c.ask(ctx, nil, After, append(a.Fields(), string(o))...)
	return err
}

// List gives the penalties of the networks within net, or of all.
func (c *Client) List(ctx context.Context, net string) (all []Penalty, err error) {
	_, err = c.ask(ctx, func(args []string) error {
		p, err := ParsePenalty(args)
		if all = append(all, p); len(all) > MaxRows {
			return fmt.Errorf("more than %d rows", MaxRows)
		}
		return err
	}, List, net)
	return all, err
}

// Clear forgets the penalties of the networks within net, or of all; of one
// user where that is not "". It gives how many there were.
func (c *Client) Clear(ctx context.Context, net, user string) (int, error) {
	f, err := c.ask(ctx, nil, Clear, net, user)
	if err != nil {
		return 0, err
	}
	return number(f)
}

// Close ends the connection.
func (c *Client) Close() error {
	<-c.turn
	defer func() { c.turn <- struct{}{} }()
	c.drop()
	return nil
}

// ask makes one request. Whatever goes wrong ends the connection: the answer
// of one request must not be taken for the next one's.
func (c *Client) ask(ctx context.Context, row func([]string) error, command string, args ...string) ([]string, error) {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("anvil: %w", ctx.Err())
	}
	defer func() { c.turn <- struct{}{} }()
	fresh := c.conn == nil
	f, err := c.exchange(ctx, row, command, args)
	var refused *RefusedError
	if err == nil || errors.As(err, &refused) {
		return f, err
	}
	c.drop()
	if fresh || ctx.Err() != nil {
		return nil, fmt.Errorf("anvil: %w", err)
	}
	// A kept connection ends with the anvil it led to: there may be another by now.
	if f, err = c.exchange(ctx, row, command, args); err != nil && !errors.As(err, &refused) {
		c.drop()
		err = fmt.Errorf("anvil: %w", err)
	}
	return f, err
}

func (c *Client) drop() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *Client) exchange(ctx context.Context, row func([]string) error, command string, args []string) ([]string, error) {
	if c.conn == nil {
		conn, err := c.Dial(ctx)
		if err != nil {
			return nil, err
		}
		c.conn, c.r = conn, bufio.NewReaderSize(conn, MaxLine)
		if err := c.hello(ctx); err != nil {
			return nil, err
		}
	}
	conn := c.conn
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(Line(append([]string{command}, args...)...)); err != nil {
		return nil, err
	}
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		f := tabline.Split(line)
		switch {
		case f[0] == Row && row != nil:
			if err := row(f[1:]); err != nil {
				return nil, err
			}
		case f[0] == OK, f[0] == Refuse:
			return f, nil
		case f[0] == Fail && len(f) > 1:
			return nil, &RefusedError{f[1]}
		default:
			return nil, fmt.Errorf("unexpected answer to %s", command)
		}
	}
}

func (c *Client) hello(ctx context.Context) error {
	conn := c.conn
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write(Version()); err != nil {
		return err
	}
	line, err := c.line()
	if err != nil {
		return err
	}
	return CheckVersion(line)
}

func (c *Client) line() (string, error) { return ReadLine(c.r) }

// ReadLine reads a line without its end from a reader of MaxLine bytes.
func ReadLine(r *bufio.Reader) (string, error) {
	p, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("line longer than %d bytes", MaxLine)
	}
	if err != nil {
		return "", err
	}
	return string(p[:len(p)-1]), nil
}

// number reads the one number of an OK.
func number(f []string) (int, error) {
	if len(f) < 2 {
		return 0, errArguments
	}
	n, err := strconv.Atoi(f[1])
	if err != nil || n < 0 {
		return 0, errArguments
	}
	return n, nil
}
