package brain

import (
	"context"
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

	"culver/internal/backend"
	"culver/internal/doveadmproto"
)

// secureOf reads doveadm_ssl.
func secureOf(setting string) (backend.Protection, error) {
	switch setting {
	case "", "no":
		return backend.Protection{}, nil
	case "ssl":
		return backend.Protection{Security: backend.Implicit}, nil
	case "starttls":
		return backend.Protection{Security: backend.StartTLS}, nil
	}
	return backend.Protection{}, usage(fmt.Sprintf("doveadm_ssl=%.32q, want no, ssl or starttls", setting))
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
	named          bool   // by --as: who trusts us without a password would do more than that one may
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
func (o *access) open(ctx context.Context, network string, at backend.Target) (link, error) {
	d := net.Dialer{KeepAliveConfig: alive, Control: impatient}
	conn, err := d.DialContext(ctx, network, at.Address)
	if err != nil {
		return nil, err
	}
	options := doveadmproto.Options{User: o.user, Password: o.password, Named: o.named}
	switch at.Security {
	case backend.Clear:
		if !o.clears(network, conn.RemoteAddr().String()) {
			options.Refuse = errClear
		}
	case backend.Implicit:
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

func (o *access) shake(ctx context.Context, conn net.Conn, at backend.Target) (net.Conn, error) {
	var pool *x509.CertPool // nil: the system's
	if o.authorities != "" {
		pem, err := os.ReadFile(o.authorities)
		if err != nil {
			return nil, fmt.Errorf("ssl_client_ca_file: %w", err)
		}
		if pool = x509.NewCertPool(); !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ssl_client_ca_file %s has no certificate", o.authorities)
		}
	}
	return at.TLS(ctx, conn, pool, doveadmproto.ALPN)
}
