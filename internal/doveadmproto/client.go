package doveadmproto

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// Options is what a client needs to know of its server.
type Options struct {
	User     string // authcid; "" is doveadm
	Password string
	// Eager sends the password without waiting to be asked. A server that trusts
	// the connection without one takes that for a broken command.
	Eager bool
	// StartTLS continues over TLS and gives that connection. With it nothing but
	// the version is sent in the clear, and a server that would go on without is
	// not believed.
	StartTLS func() (io.ReadWriter, error)
	// Named says that User is to be logged in, by nobody else's leave: a server that
	// trusts the connection without a password is not used.
	Named bool
	// Refuse is why the password is not to be sent on this connection; nil: it may.
	Refuse error
}

// What a handshake can fail with, besides errors of the connection.
var (
	ErrNoPassword = errors.New("server wants a password, and there is none (doveadm_password)")
	ErrAuth       = errors.New("server refused the password")
	ErrTrusted    = errors.New("server wants no password here, and would do more than the one who was named may")
	ErrUnjudged   = errors.New("server hung up instead of judging the password: its auth service may be away")
	ErrNoTLS      = errors.New("server wants no password before STARTTLS: it is not who it should be")
	ErrHandshake  = errors.New("server answered the handshake with something else")
)

// ErrClosed says that a server went away in the middle of a command: nobody
// knows what it has done.
var ErrClosed = errors.New("server closed the connection before the command's status line")

// Client is one connection to a doveadm server, of ours or of Dovecot's. Its
// methods but Cancel belong to one goroutine. After an error it is of no more use.
type Client struct {
	conn    io.ReadWriter
	o       Options
	r       *bufio.Reader
	packets *PacketReader
	logs    LogReader

	mu      sync.Mutex // Cancel writes too
	w       *bufio.Writer
	waiting int // commands sent whose status has not come

	minor    int // the server's, -1 before the handshake
	rest     []byte
	referral string
	err      error
}

// New says who we are. It waits for nothing.
func New(conn io.ReadWriter, o Options) *Client {
	if o.User == "" {
		o.User = "doveadm"
	}
	r := bufio.NewReaderSize(conn, MaxPacket)
	return &Client{conn: conn, o: o, minor: -1, r: r, packets: NewPacketReader(r), w: bufio.NewWriterSize(conn, 16<<10)}
}

// Handshake gets the connection ready; Send does it where it was not done. Only
// by Handshake can an Eager client know its server before it sends a command.
func (c *Client) Handshake(ctx context.Context) error {
	defer c.bound(ctx)()
	return c.fail(ctx, c.handshake())
}

func (c *Client) handshake() error {
	if c.minor >= 0 || c.err != nil {
		return c.err
	}
	hello := ClientVersion
	if c.o.Eager && c.o.Password != "" && c.o.StartTLS == nil && c.o.Refuse == nil {
		hello += c.plain()
	}
	if err := c.write(hello); err != nil {
		return err
	}
	line, err := c.helloLine()
	if err != nil {
		return err
	}
	minor := 0
	if line != "" && line[0] == 'V' {
		if minor, err = ParseServerVersion(line); err != nil {
			return err
		}
		if line, err = c.helloLine(); err != nil {
			return err
		}
	}
	if c.o.StartTLS != nil {
		if line != "-" {
			return ErrNoTLS // "+" would be anybody's word on the way
		}
		if err := c.startTLS(); err != nil {
			return err
		}
	}
	if c.o.Named && line != "-" {
		return ErrTrusted
	}
	if line == "-" {
		if line, err = c.authenticate(); err != nil {
			return err
		}
	}
	if line == "" || line[0] != '+' {
		return ErrHandshake
	}
	c.minor = minor
	if minor < MinorNoColumn {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range [...]string{OptionLog, OptionOwn} {
		c.w.WriteString("\t\t" + NameOption + "\t" + o + "\n") // leaves with the first command
	}
	return nil
}

// startTLS is one line without an answer, then TLS (spec/doveadm.md 1.5).
func (c *Client) startTLS() error {
	if err := c.write(StartTLS + "\n"); err != nil {
		return err
	}
	if c.r.Buffered() > 0 {
		return ErrHandshake // said in the clear, to be read as if over TLS
	}
	conn, err := c.o.StartTLS()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.r.Reset(conn)
	c.w.Reset(conn)
	return nil
}

func (c *Client) authenticate() (string, error) {
	switch {
	case c.o.Password == "":
		return "", ErrNoPassword
	case c.o.Refuse != nil:
		return "", c.o.Refuse
	}
	if !c.o.Eager || c.o.StartTLS != nil {
		if err := c.write(c.plain()); err != nil {
			return "", err
		}
	}
	line, err := c.helloLine()
	switch {
	case err == nil && line == "-":
		err = ErrAuth
	case err == ErrClosed: // ours has no other word for it
		err = ErrUnjudged
	}
	return line, err
}

func (c *Client) plain() string {
	return "PLAIN\t" + base64.StdEncoding.EncodeToString([]byte("\x00"+c.o.User+"\x00"+c.o.Password)) + "\n"
}

func (c *Client) helloLine() (string, error) {
	var line []byte
	for len(line) < MaxHello {
		b, err := c.r.ReadByte()
		switch {
		case err == io.EOF:
			return "", ErrClosed
		case err != nil:
			return "", err
		case b == '\n':
			return string(line), nil
		}
		line = append(line, b)
	}
	return "", ErrHandshake
}

func (c *Client) write(s string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w.WriteString(s)
	return c.w.Flush()
}

// Minor is the server's, once the handshake is done.
func (c *Client) Minor() int { return c.minor }

// Referral is the host where the last command should go, when its code was
// Referral.
func (c *Client) Referral() string { return c.referral }

// Run sends one command and takes its reply. An input is sent whole first; nil
// is none.
func (c *Client) Run(ctx context.Context, cmd Command, input io.Reader, to Sink) (code int, err error) {
	sent := c.Send(ctx, cmd, input)
	var lost *lostError
	if sent != nil && !errors.As(sent, &lost) {
		return TempFail, sent
	}
	// A server that hung up on our input may have said why.
	code, err = c.Receive(ctx, to)
	return code, first(sent, err)
}

// Send sends one command. Several may be under way; their replies are received
// in order.
func (c *Client) Send(ctx context.Context, cmd Command, input io.Reader) error {
	defer c.bound(ctx)()
	if err := c.handshake(); err != nil {
		return c.fail(ctx, err)
	}
	if c.minor < MinorNoColumn {
		cmd.Extra = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	line := cmd.Append(nil)
	if len(line) > MaxLine {
		return fmt.Errorf("command line has %d bytes, want at most %d", len(line), MaxLine)
	}
	c.w.Write(line)
	if input != nil {
		if err := c.send(input); err != nil {
			return c.fail(ctx, err)
		}
	}
	c.waiting++
	if err := c.w.Flush(); err != nil {
		return c.fail(ctx, &lostError{err})
	}
	return nil
}

// lostError is one of the connection, where a reply may be under way.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

func (c *Client) send(input io.Reader) error {
	dots := NewDotWriter(c.w)
	buf := make([]byte, 32<<10)
	for {
		n, err := input.Read(buf)
		if _, err := dots.Write(buf[:n]); err != nil {
			return &lostError{err}
		}
		if err == io.EOF {
			return dots.Close()
		}
		if err != nil {
			return fmt.Errorf("input: %w", err) // no dot: the server must save nothing
		}
	}
}

// Receive takes the reply of the oldest command whose reply has not come.
func (c *Client) Receive(ctx context.Context, to Sink) (code int, err error) {
	if c.minor < 0 {
		return TempFail, first(c.err, ErrHandshake)
	}
	defer c.bound(ctx)()
	var reply ReplyReader
	rest, done, err := reply.Feed(c.rest, to.Cell)
	for !done && err == nil {
		rest, done, err = c.piece(&reply, to)
	}
	if err != nil {
		c.logs.Flush(to.Log)
		return TempFail, c.fail(ctx, err)
	}
	c.rest = append([]byte(nil), rest...)
	c.mu.Lock()
	c.waiting--
	c.mu.Unlock()
	code, c.referral, err = ParseStatus(reply.Status())
	return code, c.fail(ctx, err)
}

// piece takes what the server sends next.
func (c *Client) piece(reply *ReplyReader, to Sink) (rest []byte, done bool, err error) {
	if c.minor == MinorRaw {
		if _, err := c.r.Peek(1); err != nil {
			return nil, false, gone(err)
		}
		b, _ := c.r.Peek(c.r.Buffered())
		defer c.r.Discard(len(b))
		rest, done, err = reply.Feed(b, to.Cell)
		return append([]byte(nil), rest...), done, err
	}
	p, err := c.packets.Next()
	if err != nil {
		return nil, false, gone(err)
	}
	switch p.Channel {
	case ChReply:
		return reply.Feed(p.Data, to.Cell)
	case ChLog:
		c.logs.Feed(p.Data, to.Log)
	case ChTouched:
		if n, err := strconv.ParseUint(string(p.Data), 10, 63); err == nil && !p.More {
			to.Touched(int64(n))
		}
	}
	return nil, false, nil
}

func gone(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrClosed
	}
	return err
}

// Cancel asks the server to stop what runs before its next message; its reply
// still comes. It may be called while another goroutine receives. Servers of
// Dovecot's answer it afterwards as an unknown command, so that only a server of
// ours can be sent anything more.
func (c *Client) Cancel() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == 0 {
		return nil
	}
	c.w.WriteString("\t\t" + NameCancel + "\n")
	return c.w.Flush()
}

// bound gives the connection the deadline of ctx; the function that it returns
// ends that.
func (c *Client) bound(ctx context.Context) func() {
	d, ok := c.conn.(interface{ SetDeadline(time.Time) error })
	if !ok || ctx.Done() == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { d.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// fail remembers the first error.
func (c *Client) fail(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if c.err == nil {
		c.err = err
	}
	return err
}
