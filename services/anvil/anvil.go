// Package anvil counts for all services what none of them sees alone. In this
// version that is the wrong passwords of each user from each network.
//
// Runs as:   the internal user, one process, which a reload leaves alone.
// Trusts:    the master for settings and listeners.
// Distrusts: who connects: only auth may count, only root and those who own the
// service may look and forget; a line is bounded, and so is all that is kept.
// Speaks:    package anvilproto.
//
// Nothing is on disk: a restart forgives.
package anvil

import (
	"bufio"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"culver/internal/anvilproto"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
)

// Logf logs one line.
type Logf func(l logline.Level, format string, args ...any)

// Server answers from its counts. All fields are set before use.
type Server struct {
	Penalties *Penalties
	Now       func() time.Time
	Logf      Logf
	Clients   int // client_limit: who comes beyond it waits to be accepted

	once  sync.Once
	slots chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// Rights are what a peer may do.
type Rights struct{ Count, Administer bool }

const (
	helloTimeout = 10 * time.Second // for the client's VERSION
	writeTimeout = 10 * time.Second // for a client that does not read
	acceptPause  = 100 * time.Millisecond
)

// Serve accepts connections until the listener is closed; rights says what its
// peers may do.
func (s *Server) Serve(l net.Listener, rights func(net.Conn) (Rights, error)) {
	s.once.Do(func() { s.slots = make(chan struct{}, max(1, s.Clients)) })
	for {
		s.slots <- struct{}{}
		nc, err := l.Accept()
		if err == nil {
			var may Rights
			if may, err = rights(nc); err == nil {
				s.start(nc, may)
				continue
			}
			nc.Close()
		}
		<-s.slots
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.Logf(logline.Error, "accept: %v", err)
		<-time.After(acceptPause)
	}
}

func (s *Server) start(nc net.Conn, may Rights) {
	c := &conn{Server: s, may: may, net: nc, r: bufio.NewReaderSize(nc, anvilproto.MaxLine), w: bufio.NewWriter(nc)}
	s.mu.Lock()
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[nc] = struct{}{}
	s.mu.Unlock()
	s.wg.Go(func() {
		defer func() { <-s.slots }()
		c.serve()
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
	})
}

// Close ends all connections.
func (s *Server) Close() {
	s.mu.Lock()
	for nc := range s.conns {
		nc.SetDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// conn is one connection.
type conn struct {
	*Server
	may Rights
	net net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
}

// serve ends without a word: what a client sent that broke the protocol is not
// for the log, and that it left is no news.
func (c *conn) serve() {
	defer c.net.Close()
	c.net.SetDeadline(time.Now().Add(helloTimeout))
	c.w.Write(anvilproto.Version())
	if c.w.Flush() != nil {
		return
	}
	line, err := anvilproto.ReadLine(c.r)
	if err != nil || anvilproto.CheckVersion(line) != nil {
		return
	}
	c.net.SetReadDeadline(time.Time{})
	for {
		line, err := anvilproto.ReadLine(c.r)
		if err != nil {
			return
		}
		c.net.SetWriteDeadline(time.Now().Add(writeTimeout))
		c.answer(tabline.Split(line))
		if c.w.Flush() != nil {
			return
		}
	}
}

func (c *conn) say(fields ...string) { c.w.Write(anvilproto.Line(fields...)) }

// answer does what one line asks.
func (c *conn) answer(f []string) {
	command, args := f[0], f[1:]
	switch run, allowed := c.command(command); {
	case run == nil:
		c.say(anvilproto.Fail, "unknown command")
	case !allowed:
		c.say(anvilproto.Fail, "not allowed")
	default:
		if err := run(args); err != nil {
			c.say(anvilproto.Fail, err.Error())
		}
	}
}

// command is the table of what there is, and whether the peer may.
func (c *conn) command(name string) (run func([]string) error, allowed bool) {
	switch name {
	case anvilproto.Before:
		return c.before, c.may.Count
	case anvilproto.After:
		return c.after, c.may.Count
	case anvilproto.List:
		return c.list, c.may.Administer
	case anvilproto.Clear:
		return c.clear, c.may.Administer
	}
	return nil, false
}

func (c *conn) before(args []string) error {
	a, err := anvilproto.ParseAttempt(args)
	if err != nil {
		return err
	}
	wait, refuse := c.Penalties.Before(a, c.Now())
	if refuse {
		c.say(anvilproto.Refuse)
	} else {
		c.say(anvilproto.OK, strconv.FormatInt(wait.Milliseconds(), 10))
	}
	return nil
}

func (c *conn) after(args []string) error {
	a, err := anvilproto.ParseAttempt(args)
	if err != nil {
		return err
	}
	o, err := anvilproto.ParseOutcome(argument(args, 3))
	if err != nil {
		return err
	}
	c.Penalties.After(a, o, c.Now())
	c.say(anvilproto.OK)
	return nil
}

func (c *conn) list(args []string) error {
	within, err := anvilproto.ParseNet(argument(args, 0))
	if err != nil {
		return err
	}
	all := c.Penalties.List(within, c.Now())
	for _, p := range all {
		c.say(append([]string{anvilproto.Row}, p.Fields()...)...)
	}
	c.say(anvilproto.OK, strconv.Itoa(len(all)))
	return nil
}

func (c *conn) clear(args []string) error {
	within, err := anvilproto.ParseNet(argument(args, 0))
	if err != nil {
		return err
	}
	c.say(anvilproto.OK, strconv.Itoa(c.Penalties.Clear(within, argument(args, 1), c.Now())))
	return nil
}

func argument(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
