package authproto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// Times of the client, each the default of a field of Client.
const (
	DefaultTimeout  = 30 * time.Second // auth_lookup_timeout
	DefaultPatience = 5 * time.Second
	firstBackoff    = 50 * time.Millisecond
	lastBackoff     = time.Second // Dovecot's connect retry
)

// Client looks users up over one connection, which it makes at the first
// lookup and again after it was lost. Its methods may be called by any number
// of goroutines at once.
type Client struct {
	// Dial makes a connection to auth. See Path, and Once.
	Dial func(ctx context.Context) (net.Conn, error)
	// Timeout bounds a lookup whose context has no nearer deadline.
	Timeout time.Duration
	// Patience is how long a lookup waits for a connection while there is none.
	Patience time.Duration

	mu      sync.Mutex
	link    *link
	closed  bool
	dialing chan struct{} // closed when the attempt that runs now is over
	failed  error         // why the last attempt failed
	backoff time.Duration // before the next attempt; 0 after a success
}

// Path is a Dial for a UNIX socket.
func Path(path string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// errSpent says that there will never be another connection.
var errSpent = errors.New("connection to auth lost for good")

// Once is a Dial that gives the stream it was given, one time. A Client with
// it ends with that stream; it takes lookups or one List, not both.
func Once(conn net.Conn) func(context.Context) (net.Conn, error) {
	var mu sync.Mutex
	return func(context.Context) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if conn == nil {
			return nil, errSpent
		}
		c := conn
		conn = nil
		return c, nil
	}
}

// Lookup asks who the user is and whose files his are. The error is ErrNotFound
// or an ErrTempfail and nothing else.
func (c *Client) Lookup(ctx context.Context, user string, p Params) (User, error) {
	args, err := c.ask(ctx, "USER", user, p)
	if err != nil {
		return User{}, err
	}
	u, err := parseUser(args)
	if err != nil {
		return User{}, &Tempfail{Err: err}
	}
	return u, nil
}

// Pass asks for the passdb's fields of the user, the password not among them.
// The canonical name is the field "user". Errors are those of Lookup.
func (c *Client) Pass(ctx context.Context, user string, p Params) (map[string]string, error) {
	args, err := c.ask(ctx, "PASS", user, p)
	if err != nil {
		return nil, err
	}
	f, err := parseFields(args, false)
	if err == nil && !ValidUser(f["user"]) {
		err = errors.New("reply without a usable user name")
	}
	if err != nil {
		return nil, &Tempfail{Err: err}
	}
	return f, nil
}

// ask makes one USER or PASS request and gives the arguments of its success.
func (c *Client) ask(ctx context.Context, command, user string, p Params) ([]string, error) {
	if !ValidUser(user) {
		return nil, ErrNotFound // no entry can name such a one
	}
	return c.request(ctx, command, command, append([]string{user}, p.fields()...)...)
}

// request makes one request and gives the arguments of its success.
func (c *Client) request(ctx context.Context, command, success string, args ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, positive(c.Timeout, DefaultTimeout))
	defer cancel()
	l, err := c.connected(ctx)
	if err != nil {
		return nil, &Tempfail{Err: err}
	}
	got := make(chan reply, 1)
	deadline, _ := ctx.Deadline()
	id, err := l.send(deadline, func(r reply) { deliver(got, r) }, command, args...)
	if err != nil {
		return nil, &Tempfail{Err: err}
	}
	select {
	case r := <-got:
		return verdict(success, r)
	case <-ctx.Done():
		l.forget(id)
		return nil, &Tempfail{Err: fmt.Errorf("no answer: %w", ctx.Err())}
	}
}

// deliver never waits: a server that answers one id twice, as a LIST line may
// seem to, only has its first answer taken.
func deliver(to chan reply, r reply) {
	select {
	case to <- r:
	default:
	}
}

// verdict sorts a reply. Whatever it does not know is temporary.
func verdict(success string, r reply) ([]string, error) {
	switch {
	case r.err != nil:
		return nil, &Tempfail{Err: r.err}
	case r.verb == success:
		return r.args, nil
	case r.verb == "NOTFOUND":
		return nil, ErrNotFound
	case r.verb == "FAIL":
		return nil, &Tempfail{Reason: reasonOf(r.args), badTicket: slices.Contains(r.args, "code="+CodeTicket)}
	}
	return nil, &Tempfail{Err: fmt.Errorf("unexpected reply %q", Clean(r.verb))}
}

// List calls each with the name of every user that the mask ("*" and "?")
// matches, as the names arrive, over a connection of its own: Dovecot's server
// reads nothing else while it lists. It returns each's error, or an ErrTempfail
// when the list is not known to be complete. Only ctx bounds its time.
func (c *Client) List(ctx context.Context, mask string, p Params, each func(name string) error) error {
	if mask == "" {
		mask = "*" // 2.4 takes none as matching nobody
	}
	conn, err := c.Dial(ctx)
	if err != nil {
		return &Tempfail{Err: err}
	}
	defer conn.Close()
	l, err := newLink(ctx, conn)
	if err != nil {
		return &Tempfail{Err: err}
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	id, err := l.send(time.Time{}, nil, "LIST", append([]string{"user=" + mask}, p.fields()...)...)
	if err != nil {
		return &Tempfail{Err: err}
	}
	return l.list(id, func(name string) error {
		if !MatchMask(mask, name) {
			return nil // Dovecot 2.3 lists everybody, whatever the mask
		}
		return each(name)
	})
}

// list reads the replies of the only request on the link. It is not handed to
// the reading goroutine, so a slow each slows the server down, and nothing piles up.
func (l *link) list(id uint32, each func(string) error) error {
	for {
		line, err := l.line()
		if err != nil {
			return &Tempfail{Err: err}
		}
		f, err := split(line)
		if err != nil || len(f) < 2 {
			return &Tempfail{Err: errLine}
		}
		if n, err := parseID(f[1]); err != nil || n != id {
			return &Tempfail{Err: fmt.Errorf("reply to a request that was never made")}
		}
		switch {
		case f[0] == "LIST" && len(f) >= 3:
			if !ValidUser(f[2]) {
				continue // such a name cannot be asked for either
			}
			if err := each(f[2]); err != nil {
				return err
			}
		case f[0] == "DONE" && (len(f) == 2 || f[2] == ""):
			return nil
		case f[0] == "DONE":
			return &Tempfail{Reason: "the list of users is not complete"}
		default:
			return &Tempfail{Err: fmt.Errorf("unexpected reply %q", Clean(f[0]))}
		}
	}
}

// connected gives the live connection, or waits with patience for one.
func (c *Client) connected(ctx context.Context) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, positive(c.Patience, DefaultPatience))
	defer cancel()
	for {
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			return nil, net.ErrClosed
		}
		if c.link != nil && !c.link.ended() {
			defer c.mu.Unlock()
			return c.link, nil
		}
		if errors.Is(c.failed, errSpent) {
			defer c.mu.Unlock()
			return nil, c.failed
		}
		if c.dialing == nil {
			c.dialing = make(chan struct{})
			go c.connect(c.backoff)
		}
		attempt := c.dialing
		c.mu.Unlock()
		select {
		case <-attempt:
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.failed != nil {
				return nil, fmt.Errorf("no connection: %w", c.failed)
			}
			return nil, fmt.Errorf("no connection: %w", ctx.Err())
		}
	}
}

// connect makes one attempt for everybody who waits.
func (c *Client) connect(wait time.Duration) {
	if wait > 0 {
		<-time.After(wait)
	}
	// Not the context of the lookup that came first: others wait as well.
	ctx, cancel := context.WithTimeout(context.Background(), positive(c.Timeout, DefaultTimeout))
	defer cancel()
	l, err := c.open(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.failed = err
		c.backoff = min(max(firstBackoff, 2*c.backoff), lastBackoff)
	case c.closed:
		l.conn.Close()
	default:
		c.link, c.failed, c.backoff = l, nil, 0
		go c.serve(l)
	}
	close(c.dialing)
	c.dialing = nil
}

func (c *Client) open(ctx context.Context) (*link, error) {
	conn, err := c.Dial(ctx)
	if err != nil {
		return nil, err
	}
	l, err := newLink(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// serve reads until the link ends. A server that accepts and then drops us must
// not be dialled in a circle, so the next attempt waits a little.
func (c *Client) serve(l *link) {
	l.read()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backoff = firstBackoff
}

// Close ends the connection; lookups in flight fail as temporary.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.end(net.ErrClosed)
	}
	return nil
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
