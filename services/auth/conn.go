package auth

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Times of a connection.
const (
	helloTimeout = 60 * time.Second // for the client's VERSION
	writeTimeout = 30 * time.Minute // for a client that does not read its list
)

// conn is one connection. The requests of the master protocol are answered in
// their order; for those of the client protocol see clientConn.
type conn struct {
	*Server
	role    Role
	peer    peer
	net     net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	stopped atomic.Bool // nothing more is to be read
}

// stop has the connection end once what it has asked is answered.
func (c *conn) stop() {
	c.stopped.Store(true)
	c.net.SetReadDeadline(time.Unix(1, 0))
}

// readBy sets the time up to which a line is waited for; none holds after stop.
func (c *conn) readBy(t time.Time) {
	c.net.SetReadDeadline(t)
	if c.stopped.Load() {
		c.net.SetReadDeadline(time.Unix(1, 0))
	}
}

// request is one command with what its answer needs.
type request struct {
	authproto.Request
	name    string // argument 0, as given
	vars    vars.Values
	forward field.List // forward_fields
}

// errInput ends a connection whose client breaks the protocol, as Dovecot does.
var errInput = errors.New("client broke the protocol")

// serve speaks with one client until it leaves or breaks the protocol.
func (c *conn) serve() {
	defer c.net.Close()
	var err error
	if c.role.Client {
		err = c.talkClient()
	} else {
		err = c.talk()
		c.flush()
	}
	// A client that left is no news. What it sent is not logged: it may be a password.
	if errors.Is(err, errInput) {
		c.Logf(logline.Error, "", "%s connection closed: %v", c.role.Name, err)
	}
}

func (c *conn) talk() error {
	c.r = bufio.NewReaderSize(c.net, authproto.MaxServerRequest)
	c.w = bufio.NewWriterSize(c.net, 2*authproto.MaxReply)
	c.readBy(time.Now().Add(helloTimeout))
	c.write("VERSION", strconv.Itoa(authproto.MajorVersion), strconv.Itoa(authproto.MinorVersion))
	c.write("SPID", strconv.Itoa(os.Getpid()))
	line, err := c.line()
	if err != nil {
		return err
	}
	if err := authproto.ParseVersion(line); err != nil {
		return fmt.Errorf("%w: %v", errInput, err)
	}
	c.readBy(time.Time{})
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if err := c.answer(line); err != nil {
			return err
		}
	}
}

// line reads one line, first sending what is answered so far unless more
// requests have come already.
func (c *conn) line() (string, error) {
	if c.r.Buffered() == 0 {
		if err := c.flush(); err != nil {
			return "", err
		}
	}
	p, err := c.r.ReadSlice('\n')
	switch {
	case err == nil:
		return string(p[:len(p)-1]), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: line longer than %d bytes", errInput, authproto.MaxServerRequest)
	}
	return "", err
}

func (c *conn) answer(line string) error {
	parsed, err := authproto.ParseRequest(line)
	if err != nil {
		return fmt.Errorf("%w: %v", errInput, err)
	}
	run := c.role.Commands[parsed.Command]
	if run == nil {
		return fmt.Errorf("%w: no such command on a %s listener", errInput, c.role.Name)
	}
	return run(c, &request{Request: parsed})
}

func (c *conn) flush() error {
	c.net.SetWriteDeadline(time.Now().Add(writeTimeout))
	return c.w.Flush()
}

// write adds one line to the buffer; an error shows at the next flush.
func (c *conn) write(fields ...string) {
	c.w.Write(append(tabline.Append(c.w.AvailableBuffer(), fields...), '\n'))
}

// reply answers a request. A line that Dovecot's clients would choke on becomes
// a failure of this one user instead of the end of everybody's connection.
func (c *conn) reply(r *request, verb string, args ...string) {
	if c.w.Available() < authproto.MaxReply {
		c.flush() // an error stays in c.w
	}
	line := tabline.Append(c.w.AvailableBuffer(), verb, strconv.FormatUint(uint64(r.ID), 10))
	for _, a := range args {
		line = append(line, '\t')
		line = tabline.Append(line, a)
	}
	if len(line) >= authproto.MaxReply || len(args)+2 > authproto.MaxFields {
		c.Logf(logline.Error, r.name, "the fields of user %q make a reply of %d bytes and %d fields, want less than %d and %d",
			r.name, len(line), len(args)+2, authproto.MaxReply, authproto.MaxFields)
		c.write("FAIL", strconv.FormatUint(uint64(r.ID), 10))
		return
	}
	c.w.Write(append(line, '\n'))
}
