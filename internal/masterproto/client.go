package masterproto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNotFound says that there is no such service, or no such access any more.
var ErrNotFound = errors.New("not found")

// ErrNotRunning says that nobody listens in base_dir: no master runs there, or
// one that is about to end.
var ErrNotRunning = errors.New("the master is not running")

// Refused says that the master did not do it.
type Refused struct {
	Problems []string // one line each
}

func (r *Refused) Error() string {
	if len(r.Problems) == 0 {
		return "the master refused"
	}
	return strings.Join(r.Problems, "\n")
}

// Client is a connection to the master. It serves one goroutine.
type Client struct {
	conn net.Conn
	buf  []byte
}

// patience is how long one order may take: a reload reads files and forks.
const patience = 2 * time.Minute

// Dial connects to the master whose base_dir it is.
func Dial(ctx context.Context, baseDir string) (*Client, error) {
	path := filepath.Join(baseDir, SocketName)
	conn, err := new(net.Dialer).DialContext(ctx, "unixpacket", path)
	if gone(err) {
		return nil, fmt.Errorf("%s: %w", path, ErrNotRunning)
	}
	if err != nil {
		return nil, err
	}
	return NewClient(conn), nil
}

// NewClient speaks over a connection that keeps packets apart.
func NewClient(conn net.Conn) *Client {
	return &Client{conn, make([]byte, MaxMessage+1)}
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Services gives the services of these names, or all.
func (c *Client) Services(names ...string) (all []Service, err error) {
	err = c.order(Order{Kind: KindServices}, func(a *Answer) {
		if len(names) == 0 || slices.Contains(names, a.Service.Name) {
			all = append(all, a.Service)
		}
	})
	return all, err
}

// Processes gives the processes of these services, or all.
func (c *Client) Processes(services ...string) (all []Process, err error) {
	err = c.order(Order{Kind: KindProcesses}, func(a *Answer) {
		if len(services) == 0 || slices.Contains(services, a.Process.Service) {
			all = append(all, a.Process)
		}
	})
	return all, err
}

// Accesses gives who is being served.
func (c *Client) Accesses() (all []Access, err error) {
	err = c.order(Order{Kind: KindAccesses}, func(a *Answer) { all = append(all, a.Access) })
	return all, err
}

// Kick ends one access, as Accesses gave it; ErrNotFound where it is over by
// itself. A delivery is finished and no next one begun; a doveadm worker stops
// at the next message, and is killed if it does not within a few seconds.
func (c *Client) Kick(a Access) error {
	return c.order(Order{Kind: KindKick, PID: a.PID, User: a.User}, nil)
}

// Reload has the configuration read again. A *Refused says what is wrong with it,
// and that the old one stays.
func (c *Client) Reload() error { return c.order(Order{Kind: KindReload}, nil) }

// ReopenLogs has the log files opened again.
func (c *Client) ReopenLogs() error { return c.order(Order{Kind: KindReopen}, nil) }

// StopService lets a service go until the next reload; ErrNotFound where there is
// none of that name.
func (c *Client) StopService(name string) error {
	return c.order(Order{Kind: KindStopService, Name: name}, nil)
}

// Stop ends everything, and waits until the master is gone or ctx is over.
func (c *Client) Stop(ctx context.Context) error {
	if err := c.order(Order{Kind: KindStop}, nil); err == ErrNotRunning {
		return nil // it ended before it could say so
	} else if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })()
	c.conn.SetReadDeadline(time.Time{})
	if _, err := c.conn.Read(c.buf); gone(err) {
		return nil
	} else if ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return err
	}
	return ErrMessage
}

// order sends one order and reads its answers.
func (c *Client) order(o Order, each func(*Answer)) error {
	if len(o.User) > MaxUser || len(o.Name) > MaxService {
		return ErrNotFound // nobody has such a name
	}
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(o.Append(nil)); err != nil {
		return lost(err)
	}
	var problems []string
	for range maxAnswers {
		n, err := c.conn.Read(c.buf)
		if err != nil {
			return lost(err)
		}
		a, err := ParseAnswer(c.buf[:n])
		switch {
		case err != nil:
			return err
		case a.Kind == KindProblem:
			problems = append(problems, a.Problem)
		case a.Kind == KindDone && a.Code == CodeOK:
			return nil
		case a.Kind == KindDone && a.Code == CodeNotFound:
			return ErrNotFound
		case a.Kind == KindDone:
			return &Refused{problems}
		case each == nil || a.Kind != answerTo[o.Kind]:
			return ErrMessage
		default:
			each(&a)
		}
	}
	return ErrMessage
}

// answerTo tells which answers an order may have besides Problem and Done.
var answerTo = map[Kind]Kind{KindServices: KindService, KindProcesses: KindProcess, KindAccesses: KindAccess}

// lost is what became of the connection.
func lost(err error) error {
	if gone(err) {
		return ErrNotRunning
	}
	return err
}

// gone tells the other side's end from other trouble.
func gone(err error) bool {
	for _, e := range []error{io.EOF, syscall.ENOENT, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
