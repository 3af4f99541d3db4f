package brain

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/backend"
	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
)

// attacker is what stands between the client and its server, or is the server.
// It keeps all that it could read.
type attacker struct {
	address string
	read    chan string // all that came in the clear, or over its own TLS
}

const secret = "a-password-that-nobody-else-may-see"

// serverVersion is how a server of ours begins.
const serverVersion = "VERSION\tdoveadm-client\t1\t3\n"

// impostor answers with play; the client's password must not be in what it reads.
func impostor(t *testing.T, play func(c net.Conn, seen io.Writer)) *attacker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &attacker{l.Addr().String(), make(chan string, 1)}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		var seen strings.Builder
		play(c, &seen)
		a.read <- seen.String()
	}()
	return a
}

// speaks sends lines in the clear, each after one of the client's, and reads to
// the end.
func speaks(lines ...string) func(net.Conn, io.Writer) {
	return func(c net.Conn, seen io.Writer) {
		r := bufio.NewReader(io.TeeReader(c, seen))
		for _, line := range lines {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			io.WriteString(c, line)
		}
		io.Copy(io.Discard, r)
	}
}

// shows ends a handshake with this certificate, after lines in the clear, and goes
// on as a server would.
func shows(t *testing.T, c mailtest.Certificate, lines ...string) func(net.Conn, io.Writer) {
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	return func(conn net.Conn, seen io.Writer) {
		r := bufio.NewReader(conn)
		for _, line := range lines {
			r.ReadString('\n')
			io.WriteString(conn, line)
		}
		if len(lines) > 0 {
			r.ReadString('\n') // STARTTLS
		}
		s := tls.Server(&peeked{conn, r}, &tls.Config{Certificates: []tls.Certificate{pair}})
		r = bufio.NewReader(io.TeeReader(s, seen))
		if len(lines) == 0 {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
			io.WriteString(s, serverVersion+"-\n")
		}
		if _, err := r.ReadString('\n'); err != nil {
			return
		}
		io.WriteString(s, "+\n")
		io.Copy(io.Discard, r)
	}
}

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (c *peeked) Read(p []byte) (int, error) { return c.r.Read(p) }

// No password of ours comes to whom it is not for, and no command goes out in the
// clear where TLS was asked for.
func TestAttackers(t *testing.T) {
	t.Parallel()
	a := mailtest.NewAuthority(t, t.TempDir())
	soon := time.Now().Add(time.Hour)
	good, wrong := a.Issue("good", "127.0.0.1", soon), a.Issue("wrong", "mail.example.org", soon)
	expired, self := a.Issue("expired", "127.0.0.1", time.Now().Add(-time.Hour)), a.SelfSigned("self", "127.0.0.1")
	const asks = serverVersion + "-\n"
	for _, tt := range []struct {
		name     string
		security backend.Security
		play     func(net.Conn, io.Writer)
		blame    string // "" lets the client in
	}{
		{"nobody, TLS", backend.Implicit, shows(t, good), ""},
		{"nobody, STARTTLS", backend.StartTLS, shows(t, good, asks), ""},
		{"a certificate of another host, TLS", backend.Implicit, shows(t, wrong), "127.0.0.1"},
		{"a certificate of another host, STARTTLS", backend.StartTLS, shows(t, wrong, asks), "127.0.0.1"},
		{"an expired certificate, TLS", backend.Implicit, shows(t, expired), "expired"},
		{"an expired certificate, STARTTLS", backend.StartTLS, shows(t, expired, asks), "expired"},
		{"a certificate that signs itself, TLS", backend.Implicit, shows(t, self), "unknown authority"},
		{"a certificate that signs itself, STARTTLS", backend.StartTLS, shows(t, self, asks), "unknown authority"},
		{"STARTTLS is stripped: a server that wants nothing", backend.StartTLS, speaks(serverVersion + "+\n"), doveadmproto.ErrNoTLS.Error()},
		{"STARTTLS is stripped: an old server", backend.StartTLS, speaks("+\n"), doveadmproto.ErrNoTLS.Error()},
		{"STARTTLS is stripped: it says + to it", backend.StartTLS, speaks(asks, "+\n+\n+\n"), ""},
		{"words before the handshake are to be read after it", backend.StartTLS, speaks(asks+"+\n", ""), ""},
		{"TLS is stripped", backend.Implicit, func(c net.Conn, seen io.Writer) {
			io.WriteString(c, asks)
			io.Copy(seen, c)
		}, "TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			it := impostor(t, tt.play)
			who := &access{user: "doveadm", password: secret, authorities: filepath.Join(a.Dir, "ca.pem")}
			ctx, stop := context.WithTimeout(t.Context(), 15*time.Second)
			defer stop()
			l, err := who.open(ctx, "tcp", backend.Target{Address: it.address, Host: "127.0.0.1", Protection: backend.Protection{Security: tt.security}})
			if l != nil {
				l.Close()
			}
			honest := strings.HasPrefix(tt.name, "nobody")
			if (err == nil) != honest || err != nil && !strings.Contains(err.Error(), tt.blame) {
				t.Errorf("got %v, want %q", err, tt.blame)
			}
			if seen := <-it.read; !honest && (strings.Contains(seen, "PLAIN") || strings.Contains(seen, secret)) {
				t.Errorf("it read %q", seen)
			}
		})
	}
}

func TestASlowServerHasABound(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	it := impostor(t, func(net.Conn, io.Writer) { <-gone })
	defer close(gone)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := (&access{user: "doveadm", password: secret}).open(ctx, "tcp", backend.Target{Address: it.address, Host: "127.0.0.1", Protection: backend.Protection{Security: backend.Implicit}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
