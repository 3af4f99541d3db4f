package brain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
)

// secure is how a connection is protected.
type secure struct {
	implicit bool // TLS from the first byte (ssl)
	starttls bool // TLS before the password (starttls)
	anyCert  bool // whosever certificate it is
}

func (s secure) none() bool { return !s.implicit && !s.starttls }

// secureOf reads doveadm_ssl.
func secureOf(setting string) (secure, error) {
	switch setting {
	case "", "no":
		return secure{}, nil
	case "ssl":
		return secure{implicit: true}, nil
	case "starttls":
		return secure{starttls: true}, nil
	}
	return secure{}, usage(fmt.Sprintf("doveadm_ssl=%.32q, want no, ssl or starttls", setting))
}

// overruled is what the passdb's fields ssl and starttls make of it, each yes or
// any-cert.
func (s secure) overruled(ssl, starttls string) (secure, error) {
	for _, mode := range [...]struct {
		name, value string
		secure
	}{{"starttls", starttls, secure{starttls: true}}, {"ssl", ssl, secure{implicit: true}}} {
		switch mode.value {
		case "", "no":
			continue
		case "yes":
		case "any-cert":
			mode.anyCert = true
		default:
			return s, fmt.Errorf("the passdb's %s=%.32q, want yes or any-cert", mode.name, mode.value)
		}
		s = mode.secure
	}
	return s, nil
}

// errClear says that a password would have crossed a network for all to see.
var errClear = errors.New("the password would cross the network in the clear: set doveadm_ssl = starttls or ssl (or, where you mean it, doveadm_send_password_in_clear = yes)")

// clears tells whether a password may be sent without TLS: to this host itself
// it does not leave it.
func (o *access) clears(network, address string) bool {
	if network == "unix" || o.inClear {
		return true
	}
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// access is who we are to servers, and whom we believe.
type access struct {
	user, password string
	inClear        bool   // doveadm_send_password_in_clear
	authorities    string // a PEM file; "": the system's
}

// A host that is cut off says nothing, and a command may take an hour. So its
// kernel is asked whether it is there, and half a minute without an answer is the
// end of a connection; a cut that is mended sooner costs nothing.
var alive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 4}

func impatient(network, _ string, c syscall.RawConn) (err error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(patience/time.Millisecond))
	})
	return errors.Join(cerr, err)
}

// open connects and gets a connection ready for commands.
func (o *access) open(ctx context.Context, network string, at site) (link, error) {
	d := net.Dialer{KeepAliveConfig: alive, Control: impatient}
	conn, err := d.DialContext(ctx, network, at.address)
	if err != nil {
		return nil, err
	}
	options := doveadmproto.Options{User: o.user, Password: o.password}
	switch {
	case at.secure.none():
		if !o.clears(network, conn.RemoteAddr().String()) {
			options.Refuse = errClear
		}
	case at.secure.implicit:
		var t net.Conn
		if t, err = o.shake(ctx, conn, at); err == nil {
			conn = t
		}
	default:
		raw := conn
		options.StartTLS = func() (io.ReadWriter, error) {
			t, err := o.shake(ctx, raw, at)
			if err == nil {
				conn = t
			}
			return t, err
		}
	}
	if err == nil {
		c := doveadmproto.New(conn, options)
		if err = c.Handshake(ctx); err == nil {
			return &netLink{c, conn}, nil
		}
	}
	conn.Close()
	return nil, err
}

func (o *access) shake(ctx context.Context, conn net.Conn, at site) (net.Conn, error) {
	c := &tls.Config{ServerName: at.host, InsecureSkipVerify: at.secure.anyCert, MinVersion: tls.VersionTLS12, NextProtos: []string{"doveadm"}}
	if o.authorities != "" {
		pem, err := os.ReadFile(o.authorities)
		if err != nil {
			return nil, fmt.Errorf("ssl_client_ca_file: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ssl_client_ca_file %s has no certificate", o.authorities)
		}
	}
	t := tls.Client(conn, c)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return t, nil
}
