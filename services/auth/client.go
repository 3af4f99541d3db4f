package auth

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"culver/internal/authproto"
	"culver/internal/tabline"
)

// Limits of the client protocol.
const (
	// versionWait is how long the handshake waits for the client's VERSION, which
	// tells whether it can bind channels. Exim says nothing before it has seen DONE.
	versionWait = 150 * time.Millisecond
	// maxOpen bounds the requests of one connection that are not over: running,
	// asked for more, held back, and logins that wait to be finished; and as many
	// answers that are on their way.
	maxOpen = 1024
	// maxOpenAll bounds those of all connections together. A connection with few has
	// room even then: others shall not take the last place from everybody.
	maxOpenAll = 16384
	fewOpen    = 8
	// lineBuffer is what an idle connection holds; longer lines take memory while
	// they are read.
	lineBuffer = 2048
	// clientWriteTimeout bounds one reply to a client that does not read.
	clientWriteTimeout = 30 * time.Second
)

// clientConn is one connection of the client protocol (spec/auth.md 1). Its requests
// are answered in the order in which they come to their ends.
type clientConn struct {
	*conn
	minor  uint32 // what the client announced
	cpid   uint32
	cookie string
	plus   bool // was offered mechanisms with channel binding

	ctx  context.Context // ends with the connection
	busy sync.WaitGroup  // requests that will be answered without another line of the client

	write1 sync.Mutex // one line at a time

	mu     sync.Mutex
	open   map[uint32]*exchange   // to be judged, by id
	late   map[*exchange]struct{} // refused; the answer waits
	logins map[uint32]*login      // succeeded; to be finished by REQUEST or TICKET
	unsent int                    // answers on their way, which a client that does not read holds up
	warned bool                   // that there are too many of all these
}

// clientCommands are the lines of a client after its handshake.
var clientCommands = map[string]func(*clientConn, []string) error{
	"AUTH":   (*clientConn).auth,
	"CONT":   (*clientConn).cont,
	"CANCEL": (*clientConn).cancel,
	"TICKET": (*clientConn).ticket,
	"ENDED":  (*clientConn).ended,
}

// talkClient is the life of a client connection.
func (c *conn) talkClient() error {
	c.r = bufio.NewReaderSize(c.net, lineBuffer)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &clientConn{
		conn: c, ctx: ctx, cookie: newCookie(),
		open: map[uint32]*exchange{}, late: map[*exchange]struct{}{}, logins: map[uint32]*login{},
	}
	defer k.end()
	err := k.greet()
	for err == nil {
		var line string
		if line, err = k.line(); err == nil {
			err = k.obey(line)
		}
	}
	// Told to read no more: what runs is answered first.
	if c.stopped.Load() {
		k.hurry()
		k.busy.Wait()
	}
	return err
}

// greet makes the handshake (spec/auth.md 1.2). MECH comes before SPID, or
// Postfix and Exim believe that this is a master socket; and nothing is added to
// it, since Dovecot's clients end at a line they do not know.
func (c *clientConn) greet() error {
	c.send("VERSION", strconv.Itoa(authproto.MajorVersion), strconv.Itoa(authproto.LoginMinor))
	var line string
	var err error
	if !c.role.Legacy {
		c.readBy(time.Now().Add(versionWait))
		if _, err = c.r.Peek(1); err == nil {
			c.readBy(time.Now().Add(helloTimeout))
			line, err = c.version()
		} else if errors.Is(err, os.ErrDeadlineExceeded) && !c.stopped.Load() {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	c.introduce()
	c.readBy(time.Now().Add(helloTimeout))
	if line == "" {
		if _, err = c.version(); err != nil {
			return err
		}
	}
	if err := c.identify(); err != nil {
		return err
	}
	c.readBy(time.Time{})
	return nil
}

// version reads the client's VERSION.
func (c *clientConn) version() (string, error) {
	line, err := c.line()
	if err != nil {
		return "", err
	}
	if c.minor, err = authproto.ParseMinor(line); err != nil {
		return "", fmt.Errorf("%w: %v", errInput, err)
	}
	return line, nil
}

// introduce sends what follows VERSION, in one piece.
func (c *clientConn) introduce() {
	var out []byte
	add := func(fields ...string) { out = append(tabline.Append(out, fields...), '\n') }
	for _, m := range c.Mechanisms {
		if m.Plus && c.minor < 3 {
			continue
		}
		c.plus = c.plus || m.Plus
		add(append([]string{"MECH", m.Name}, m.Flags...)...)
	}
	add("SPID", strconv.Itoa(os.Getpid()))
	add("CUID", strconv.FormatUint(uint64(c.cuids.Add(1)), 10))
	add("COOKIE", c.cookie)
	add("DONE")
	c.sendRaw(out)
}

// identify reads CPID.
func (c *clientConn) identify() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	f := tabline.Split(line)
	if len(f) != 2 || f[0] != "CPID" {
		return fmt.Errorf("%w: no CPID", errInput)
	}
	n, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil || n == 0 {
		return fmt.Errorf("%w: CPID is no process id", errInput)
	}
	c.cpid = uint32(n)
	if c.role.Finish == byRequest {
		c.registry.add(c)
	}
	return nil
}

// line reads one line without its end.
func (c *clientConn) line() (string, error) {
	line, err := readLine(c.r, authproto.MaxLoginLine)
	return strings.TrimSuffix(line, "\r"), err
}

// readLine reads a line of at most limit bytes, whatever the reader's buffer.
func readLine(r *bufio.Reader, limit int) (string, error) {
	p, err := r.ReadSlice('\n')
	if err == nil {
		return string(p[:len(p)-1]), nil
	}
	var long []byte
	for ; errors.Is(err, bufio.ErrBufferFull); p, err = r.ReadSlice('\n') {
		if long = append(long, p...); len(long) >= limit {
			break
		}
	}
	if long = append(long, p...); len(long) > limit {
		return "", fmt.Errorf("%w: line longer than %d bytes", errInput, limit)
	}
	if err != nil {
		return "", err
	}
	return string(long[:len(long)-1]), nil
}

// obey carries out one line. What it returns ends the connection, and so the
// logins of everybody on it: only a line that cannot be read is worth that.
func (c *clientConn) obey(line string) error {
	if strings.Count(line, "\t") >= authproto.MaxFields {
		return fmt.Errorf("%w: more than %d fields", errInput, authproto.MaxFields)
	}
	f := tabline.Split(line)
	run := clientCommands[f[0]]
	if run == nil {
		return fmt.Errorf("%w: no such command", errInput)
	}
	return run(c, f[1:])
}

// parseID reads the number of a request.
func parseID(f []string) (uint32, error) {
	if len(f) > 0 {
		if n, err := strconv.ParseUint(f[0], 10, 32); err == nil && n > 0 {
			return uint32(n), nil
		}
	}
	return 0, fmt.Errorf("%w: request without a usable id", errInput)
}

// cont answers CONT (spec/auth.md 1.4).
func (c *clientConn) cont(f []string) error {
	id, err := parseID(f)
	if err != nil {
		return err
	}
	if len(f) < 2 {
		return fmt.Errorf("%w: CONT without data", errInput)
	}
	c.mu.Lock()
	x := c.open[id]
	asked := x != nil && x.phase == asking
	if x != nil {
		if asked {
			x.resume()
		} else {
			x.drop()
		}
	}
	c.mu.Unlock()
	switch {
	case x == nil:
		c.fail(id, "", "reason=Authentication request timed out")
	case !asked:
		c.fail(id, "", "reason=Unexpected continuation")
	default:
		x.answer(f[1], f[2:])
	}
	return nil
}

// cancel answers CANCEL. Unlike Dovecot it ends a refusal that waits, too: the
// penalty is counted already, and nobody waits for the answer.
func (c *clientConn) cancel(f []string) error {
	id, err := parseID(f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if x := c.open[id]; x != nil {
		x.drop()
	}
	for x := range c.late {
		if x.id == id {
			x.drop()
		}
	}
	c.mu.Unlock()
	// A client of minor 4 keeps the request until it hears of it, live or not.
	if c.minor >= 4 {
		c.send("CANCELLED", strconv.FormatUint(uint64(id), 10))
	}
	return nil
}

// fail refuses a request that has come to no mechanism.
func (c *clientConn) fail(id uint32, code string, args ...string) {
	fields := []string{"FAIL", strconv.FormatUint(uint64(id), 10)}
	if code != "" {
		fields = append(fields, "code="+code)
	}
	c.send(append(fields, args...)...)
}

// send writes one line.
func (c *clientConn) send(fields ...string) { c.sendRaw(append(tabline.Append(nil, fields...), '\n')) }

// sendRaw writes whole lines. A connection that takes no more is over: the
// reader learns of it.
func (c *clientConn) sendRaw(p []byte) {
	c.write1.Lock()
	defer c.write1.Unlock()
	c.net.SetWriteDeadline(time.Now().Add(clientWriteTimeout))
	if _, err := c.net.Write(p); err != nil {
		c.net.Close()
	}
}

// hurry comes to an end: refusals wait no longer, and a request that waits for
// its client is given up, who sees the connection end and tries again.
func (c *clientConn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.open {
		if x.phase == asking {
			x.drop()
		} else {
			x.hasten()
		}
	}
	for x := range c.late {
		x.hasten()
	}
}

// end frees all that the connection held. Lookups that run have their context
// ended and throw their results away.
func (c *clientConn) end() {
	if c.role.Finish == byRequest {
		c.registry.remove(c)
	}
	c.mu.Lock()
	for _, x := range c.open {
		x.drop()
	}
	for x := range c.late {
		x.drop()
	}
	for id := range c.logins {
		c.forget(id)
	}
	c.requests.Add(-int64(c.unsent))
	c.unsent = 0
	c.mu.Unlock()
}

// newCookie gives 128 random bits.
func newCookie() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
