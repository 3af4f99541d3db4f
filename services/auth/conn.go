package auth

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
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

// maxLookups bounds those of one connection that are under way while a source is
// slow. At the bound nothing more is read from it.
const maxLookups = 128

// conn is one connection. The requests of the master protocol are answered in
// their order, but for lookups where a source may be slow (Server.Slow): those may
// overtake each other, as the protocol has it. For the client protocol see clientConn.
type conn struct {
	*Server
	role    Role
	peer    peer
	net     net.Conn
	r       *bufio.Reader
	w       *bufio.Writer // nil when nothing is buffered
	stopped atomic.Bool   // nothing more is to be read
	writeBy time.Time     // the deadline of writes

	mu    sync.Mutex // of w
	under sync.WaitGroup
	turns chan struct{} // one for each lookup under way
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
		c.under.Wait()
		c.flush()
	}
	// A client that left is no news. What it sent is not logged: it may be a password.
	if errors.Is(err, errInput) {
		c.Logf(logline.Error, "", "%s connection closed: %v", c.role.Name, err)
	}
}

func (c *conn) talk() error {
	c.r = bufio.NewReaderSize(c.net, lineBuffer)
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
	return readLine(c.r, authproto.MaxServerRequest)
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

// lookup answers one request, now, or beside those that follow where a source may
// be slow: who waits for one source shall not hold up who needs another.
func (c *conn) lookup(answer func()) {
	if !c.Slow {
		answer()
		return
	}
	c.beside(answer)
}

// beside answers one request while those that follow are read.
func (c *conn) beside(answer func()) {
	if c.turns == nil {
		c.turns = make(chan struct{}, maxLookups)
	}
	c.turns <- struct{}{}
	c.under.Go(func() {
		answer()
		c.flush()
		<-c.turns
	})
}

func (c *conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.push()
}

// room is flush where a reply might not fit any more.
func (c *conn) room() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fits()
}

// fits sends what is buffered where a reply might not fit any more.
func (c *conn) fits() error {
	if c.out().Available() < authproto.MaxReply {
		return c.push()
	}
	return nil
}

// writers are the buffers of connections that are being answered; an idle one has
// none.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 2*authproto.MaxReply) }}

func (c *conn) out() *bufio.Writer {
	if c.w == nil {
		c.w = writers.Get().(*bufio.Writer)
		c.w.Reset(c.net)
	}
	return c.w
}

// push sends what is buffered; the mutex is held. Setting a timer costs as much as
// a lookup in memory, so the deadline is moved once in a while.
func (c *conn) push() error {
	if c.w == nil {
		return nil
	}
	if by := time.Now().Add(writeTimeout); by.Sub(c.writeBy) > writeTimeout/30 {
		c.writeBy = by
		c.net.SetWriteDeadline(by)
	}
	err := c.w.Flush()
	if err == nil { // an error stays where it is
		writers.Put(c.w)
		c.w = nil
	}
	return err
}

// write adds one line to the buffer; an error shows at the next flush. The mutex
// is held, or nobody else writes yet.
func (c *conn) write(fields ...string) {
	w := c.out()
	w.Write(append(tabline.Append(w.AvailableBuffer(), fields...), '\n'))
}

// reply answers a request. A line that Dovecot's clients would choke on becomes
// a failure of this one user instead of the end of everybody's connection.
func (c *conn) reply(r *request, verb string, args ...string) {
	c.replyFields(r, verb, args, nil)
}

// replyFields is reply with fields after the arguments.
func (c *conn) replyFields(r *request, verb string, args []string, fields field.List) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fits() // an error stays in c.w
	line := tabline.Append(c.out().AvailableBuffer(), verb, strconv.FormatUint(uint64(r.ID), 10))
	for _, a := range args {
		line = append(line, '\t')
		line = tabline.Append(line, a)
	}
	for _, f := range fields {
		line = append(line, '\t')
		line = tabline.Append(line, f.Key)
		if !f.Bare {
			line = append(line, '=')
			line = tabline.Append(line, f.Value)
		}
	}
	n := 2 + len(args) + len(fields)
	if len(line) >= authproto.MaxReply || n > authproto.MaxFields {
		c.Logf(logline.Error, r.name, "the fields of user %q make a reply of %d bytes and %d fields, want less than %d and %d",
			r.name, len(line), n, authproto.MaxReply, authproto.MaxFields)
		c.write("FAIL", strconv.FormatUint(uint64(r.ID), 10))
		return
	}
	c.w.Write(append(line, '\n'))
}
