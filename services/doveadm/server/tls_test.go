package server

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
	"culver/internal/settings/finished"
)

const (
	greeting   = "VERSION\tdoveadm-server\t1\t2\n"
	challenge  = "VERSION\tdoveadm-client\t1\t3\n-\n"
	serverName = "mail.example.org"
)

// withTLS are options of a front that has a certificate, and what its clients
// believe.
func withTLS(t *testing.T, ssl, least string) (Options, *tls.Config) {
	t.Helper()
	a := mailtest.NewAuthority(t, t.TempDir())
	c := a.Issue("server", serverName, time.Now().Add(time.Hour))
	front, err := OptionsOf(bagOf(ssl, least, c.Cert, c.Key))
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.Network, o.TLS, o.TLSRequired = true, front.TLS, front.TLSRequired
	return o, &tls.Config{RootCAs: a.Roots, ServerName: serverName, NextProtos: []string{doveadmproto.ALPN}}
}

// bagOf are finished settings with these of TLS.
func bagOf(ssl, least, cert, key string) finished.Bag {
	return finished.Bag{"class": "network", "ssl": ssl, "ssl_min_protocol": least, "ssl_cert_pem": cert, "ssl_key_pem": key,
		"doveadm_auth_timeout": "1", "doveadm_worker_timeout": "1", "client_limit": "1", "worker_queue_limit": "1", "shutdown_timeout": "1",
		"log_debug": "no", "doveadm_allowed_commands": ""}
}

// over continues a client over TLS.
func (c *testClient) over(config *tls.Config) *testClient {
	c.t.Helper()
	s := tls.Client(c.Conn, config)
	if err := s.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	r := bufio.NewReader(s)
	return &testClient{c.t, s, r, doveadmproto.NewPacketReader(r)}
}

func TestCommandsOverTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		implicit bool
		ssl      string
		alpn     bool
	}{
		{"from the first byte, as 2.4 does", true, "yes", true},
		{"from the first byte, as 2.3 does", true, "yes", false},
		{"by STARTTLS", false, "yes", false},
		{"by STARTTLS, which is required", false, "required", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, config := withTLS(t, tt.ssl, "TLSv1.2")
			if !tt.alpn {
				config.NextProtos = nil
			}
			w := startOn(t, o, "tcp", Listener{SSL: tt.implicit})
			c := w.dial()
			if tt.implicit {
				c = c.over(config)
			}
			c.send(greeting)
			if got := c.line() + "\n" + c.line() + "\n"; got != challenge {
				t.Fatalf("got %q", got)
			}
			if !tt.implicit {
				c.send("STARTTLS\n")
				c = c.over(config)
			}
			if got := c.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; (got == doveadmproto.ALPN) != tt.alpn {
				t.Errorf("the protocol is %q", got)
			}
			c.send(login("doveadm", "secretpw"))
			if got := c.line(); got != "+" {
				t.Fatalf("got %q, want +", got)
			}
			long := strings.Repeat("x", 100_000)
			for range 2 {
				if got, logs := c.ask("\tann\tsearch\t" + long + "\n"); got != long+"\t\n+\n" || logs != "" {
					t.Errorf("got %.40q, logs %.40q", got, logs)
				}
			}
			if !w.logged("logged in as doveadm, TLSv1.3 with cipher") {
				t.Error("the log does not say that TLS was spoken")
			}
			if got := w.auth.secured(); got != "secured=tls" {
				t.Errorf("auth was told %q of the line, want secured=tls", got)
			}
			c.Close()
		})
	}
}

func TestInTheClearAuthIsToldNothingOfAProtectedLine(t *testing.T) {
	t.Parallel()
	o, _ := withTLS(t, "yes", "TLSv1.2")
	w := startOn(t, o, "tcp", Listener{})
	w.in("doveadm", "secretpw")
	if got := w.auth.secured(); got != "" {
		t.Errorf("auth was told %q", got)
	}
}

// clientHello is the first flight of a TLS client.
func clientHello(t *testing.T, config *tls.Config) string {
	t.Helper()
	a, b := net.Pipe()
	go tls.Client(a, config).Handshake()
	buf := make([]byte, 16<<10)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	return string(buf[:n])
}

// The client's hello may come with the line before it: Dovecot's waits for nothing.
func TestAHelloMayComeWithSTARTTLS(t *testing.T) {
	t.Parallel()
	o, config := withTLS(t, "yes", "TLSv1.2")
	w := startOn(t, o, "tcp", Listener{})
	c := w.dial()
	c.send(greeting)
	c.line()
	c.line()
	joined := &joinedConn{Conn: c.Conn, first: "STARTTLS\n"}
	s := tls.Client(joined, config)
	io.WriteString(s, login("doveadm", "secretpw"))
	if got, err := bufio.NewReader(s).ReadString('\n'); got != "+\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// joinedConn puts something before the first write, in one segment.
type joinedConn struct {
	net.Conn
	first string
}

func (c *joinedConn) Write(p []byte) (int, error) {
	n := len(c.first)
	m, err := c.Conn.Write(append([]byte(c.first), p...))
	c.first = ""
	return max(0, m-n), err
}

// What others on the way, or a client that knows no better, may try.
func TestWhatIsRefusedOnTheWayToTLS(t *testing.T) {
	t.Parallel()
	right := login("doveadm", "secretpw")
	for _, tt := range []struct {
		name     string
		ssl      string
		implicit bool
		in       string
		want     string // "*": bytes of TLS, an alert at most
		log      string
	}{
		{"a login put in before the hello", "yes", false, greeting + "STARTTLS\n" + right + all, challenge + "*", "TLS handshake failed"},
		{"a command put in before the hello", "yes", false, greeting + "STARTTLS\n" + all, challenge + "*", "TLS handshake failed"},
		{"STARTTLS twice, in the clear", "yes", false, greeting + "STARTTLS\nSTARTTLS\n", challenge + "*", "TLS handshake failed"},
		{"no TLS where it begins at once", "yes", true, greeting + right, "*", "TLS handshake failed"},
		{"a password in the clear where TLS is required", "required", false, greeting + right, challenge + "-\n", "ssl = required"},
		{"a wrong one there", "required", false, greeting + login("doveadm", "lie"), challenge + "-\n", "ssl = required"},
		{"STARTTLS where there is no certificate", "no", false, greeting + "STARTTLS\n" + right, challenge + "-\n", "authentication failed"},
		{"TLS from the first byte where there is no certificate", "no", true, greeting, "", "without a certificate"},
		{"STARTTLS before the version", "yes", false, "STARTTLS\n", "", "VERSION"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, _ := withTLS(t, tt.ssl, "TLSv1.2")
			w := startOn(t, o, "tcp", Listener{SSL: tt.implicit})
			c := w.dial()
			c.send(tt.in)
			c.Conn.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(c)
			want, alert := strings.CutSuffix(tt.want, "*")
			rest, ok := strings.CutPrefix(string(got), want)
			if err != nil || !ok || (rest != "") && !(alert && rest[0] == 0x15) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			until(t, tt.log, func() bool { return w.logged(tt.log) })
			if n := w.auth.seen(); n != 0 {
				t.Errorf("auth was asked %d times", n)
			}
			if asked := w.requests(); len(asked) > 0 {
				t.Errorf("the master was asked for %q", asked)
			}
		})
	}
}

func TestSTARTTLSAfterLoginEndsTheSession(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		o, config := withTLS(t, "yes", "TLSv1.2")
		w := startOn(t, o, "tcp", Listener{SSL: secure})
		c := w.dial()
		if secure {
			c = c.over(config)
		}
		c.send(greeting + login("doveadm", "secretpw"))
		c.line()
		c.line()
		if got := c.line(); got != "+" {
			t.Fatalf("got %q, want +", got)
		}
		if got, _ := c.ask("STARTTLS\n"); !strings.HasPrefix(got, "\n-") || !c.closed() {
			t.Errorf("TLS %t: got %q, or the session goes on", secure, got)
		}
	}
}

func TestSTARTTLSOverTLSLetsNobodyIn(t *testing.T) {
	t.Parallel()
	o, config := withTLS(t, "yes", "TLSv1.2")
	c := startOn(t, o, "tcp", Listener{SSL: true}).dial().over(config)
	c.send(greeting + "STARTTLS\n")
	got, err := io.ReadAll(c)
	if string(got) != challenge+"-\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHandshakesThatFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, least string
		change      func(*tls.Config)
	}{
		{"TLS 1.1", "TLSv1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }},
		{"TLS 1.2 where 1.3 is the oldest", "TLSv1.3", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{"a client of another protocol", "TLSv1.2", func(c *tls.Config) { c.NextProtos = []string{"h2", "imap"} }},
		{"a client that wants another host", "TLSv1.2", func(c *tls.Config) { c.ServerName = "other.example.org" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, config := withTLS(t, "yes", tt.least)
			tt.change(config)
			w := startOn(t, o, "tcp", Listener{SSL: true})
			if err := tls.Client(w.dial().Conn, config).Handshake(); err == nil {
				t.Error("the handshake succeeded")
			}
			until(t, "a line", func() bool { return w.logged("TLS handshake failed") })
		})
	}
}

// A handshake that never ends, and one of a byte at a time, have the time that
// any stranger has.
func TestASlowHandshakeHasLittleTime(t *testing.T) {
	t.Parallel()
	for _, implicit := range []bool{true, false} {
		o, config := withTLS(t, "yes", "TLSv1.2")
		o.AuthTimeout = 50 * time.Millisecond
		first := clientHello(t, config)
		w := startOn(t, o, "tcp", Listener{SSL: implicit})
		c := w.dial()
		if !implicit {
			c.send(greeting + "STARTTLS\n")
		}
		go func() {
			for i := 0; i < len(first)-1; i++ {
				if _, err := io.WriteString(c.Conn, first[i:i+1]); err != nil {
					return
				}
				<-time.After(time.Millisecond)
			}
		}()
		began := time.Now()
		io.Copy(io.Discard, c)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("implicit %t: the connection was there for %s", implicit, took)
		}
		until(t, "a line", func() bool { return w.logged("TLS handshake failed") })
	}
}

func TestABrokenCertificateIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := OptionsOf(bagOf("yes", "TLSv1.2", "x", "y")); err == nil {
		t.Error("got nil")
	}
}
