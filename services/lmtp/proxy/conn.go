// Package proxy is the client end of LMTP: it hands recipients on to the host
// that has their mail.
//
// Runs as:   the lmtp front, under the service's user.
// Trusts:    the passdb for where a recipient is.
// Distrusts: backends: a reply is bounded, and counts for the recipients that
// were given to that backend. Nothing is sent in clear where the passdb asks for
// TLS, and no certificate goes unchecked unless it says so.
// Speaks:    LMTP and SMTP as a client (RFC 2033, 3030, 3207), XCLIENT with TTL
// (spec/lmtp.md 14-16).
package proxy

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"culver/internal/backend"
	"culver/internal/lmtpproto"
)

// FirstTTL is how many hosts may hand a message on, counted by the first of them.
const FirstTTL = 5

// Dialer opens connections to backends.
type Dialer struct {
	Hostname string // ours, for LHLO

	roots func() *x509.CertPool
}

// NewDialer makes one. authorities is PEM, read when TLS is first asked for.
func NewDialer(hostname, authorities string) *Dialer {
	return &Dialer{hostname, sync.OnceValue(func() *x509.CertPool {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(authorities))
		return pool
	})}
}

// Client is who the backend is told that the mail comes from, where it trusts us.
type Client struct {
	Addr    netip.AddrPort
	Helo    string
	Proto   string
	Login   string
	Session string
	TTL     int           // how many hops are left after this one
	Timeout time.Duration // how long our own client waits
}

// Conn is a connection to a backend, used by one goroutine at a time.
type Conn struct {
	Place
	conn net.Conn
	br   *bufio.Reader
	out  []byte
	caps map[string]string // what LHLO announced: keyword, arguments

	// Used is whether a transaction was begun on it: a backend may have closed it
	// since, and then another one is worth a try.
	Used bool
}

// Open connects and says who the client is. Its errors are all temporary.
func (d *Dialer) Open(ctx context.Context, p Place, who Client) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	dialer := net.Dialer{}
	if p.Source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.Source, 0))
	}
	nc, err := dialer.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return nil, err
	}
	c := &Conn{Place: p, conn: nc}
	if err := c.open(ctx, d, who); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) open(ctx context.Context, d *Dialer, who Client) error {
	release := c.until(ctx)
	defer release()
	c.br = bufio.NewReaderSize(c.conn, 2*lmtpproto.MaxReplyLine)
	if c.Security == backend.Implicit {
		if err := c.startTLS(ctx, d); err != nil {
			return err
		}
	}
	if err := c.expect(220, "the greeting"); err != nil {
		return err
	}
	if err := c.hello(d); err != nil {
		return err
	}
	if c.Security == backend.StartTLS {
		if _, offered := c.caps["STARTTLS"]; !offered {
			return errors.New("backend offers no STARTTLS, which the passdb demands")
		}
		if err := c.ask(220, "STARTTLS", "STARTTLS"); err != nil {
			return err
		}
		if c.br.Buffered() > 0 {
			// Said in the clear to be read as if over TLS (CVE-2011-0411).
			return errors.New("backend sent more after its reply to STARTTLS")
		}
		if err := c.startTLS(ctx, d); err != nil {
			return err
		}
		if err := c.hello(d); err != nil {
			return err
		}
	}
	return c.introduce(d, who)
}

// until makes the end of ctx the end of what is under way.
func (c *Conn) until(ctx context.Context) (release func()) {
	if deadline, ok := ctx.Deadline(); ok {
		c.conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (c *Conn) startTLS(ctx context.Context, d *Dialer) error {
	t, err := c.TLS(ctx, c.conn, d.roots())
	if err != nil {
		return err
	}
	c.conn = t
	c.br.Reset(t)
	return nil
}

func (c *Conn) hello(d *Dialer) error {
	verb := "LHLO"
	if c.SMTP {
		verb = "EHLO"
	}
	if err := c.write(verb + " " + d.Hostname); err != nil {
		return err
	}
	r, err := lmtpproto.ReadReply(c.br)
	if err != nil {
		return fmt.Errorf("reply to %s: %w", verb, early(err))
	}
	if r.Code != 250 {
		return fmt.Errorf("reply to %s: %d %s", verb, r.Code, r.Text)
	}
	c.caps = map[string]string{}
	for _, line := range r.More {
		keyword, arguments, _ := strings.Cut(line, " ")
		c.caps[strings.ToUpper(keyword)] = arguments
	}
	return nil
}

// introduce tells who the client is, as far as the backend wants to hear it.
func (c *Conn) introduce(d *Dialer, who Client) error {
	offered := strings.Fields(strings.ToUpper(c.caps["XCLIENT"]))
	if c.Strange || len(offered) == 0 {
		return nil
	}
	line := []byte("XCLIENT")
	for _, a := range who.attributes() {
		if a[1] != "" && slices.Contains(offered, a[0]) {
			line = append(append(append(line, ' '), a[0]...), '=')
			line = lmtpproto.AppendXtext(line, a[1])
		}
	}
	if len(line) == len("XCLIENT") {
		return nil
	}
	if err := c.ask(220, "XCLIENT", string(line)); err != nil {
		return err
	}
	return c.hello(d)
}

func (who Client) attributes() [][2]string {
	all := [][2]string{
		{"HELO", who.Helo}, {"PROTO", who.Proto}, {"LOGIN", who.Login},
		{"SESSION", who.Session}, {"TTL", strconv.Itoa(who.TTL)},
	}
	if who.Addr.IsValid() {
		addr := who.Addr.Addr().String()
		if who.Addr.Addr().Is6() {
			addr = "IPV6:" + addr
		}
		all = append(all, [][2]string{{"ADDR", addr}, {"PORT", strconv.Itoa(int(who.Addr.Port()))}}...)
	}
	if s := int(who.Timeout / time.Second); s > 0 {
		all = append(all, [2]string{"TIMEOUT", strconv.Itoa(s)})
	}
	return all
}

// ask sends a line and waits for its reply.
func (c *Conn) ask(code int, what, line string) error {
	if err := c.write(line); err != nil {
		return err
	}
	return c.expect(code, "the reply to "+what)
}

func (c *Conn) expect(code int, what string) error {
	r, err := lmtpproto.ReadReply(c.br)
	if err != nil {
		return fmt.Errorf("%s: %w", what, early(err))
	}
	if r.Code != code {
		return fmt.Errorf("%s: %d %s %s", what, r.Code, r.Enhanced, r.Text)
	}
	return nil
}

func (c *Conn) write(line string) error {
	_, err := c.conn.Write([]byte(line + "\r\n"))
	return err
}

func early(err error) error {
	if err == io.EOF {
		return errors.New("it closed the connection")
	}
	return err
}

// Close says goodbye and does not wait for the answer.
func (c *Conn) Close() {
	c.conn.SetDeadline(time.Now().Add(time.Second))
	c.write("QUIT")
	c.conn.Close()
}
