// Package backend reads where the passdb says that a user's mail is, and makes
// connections to there as safe as it says.
//
// Runs as:   the lmtp front, under the service's user; the caller of doveadm.
// Trusts:    the passdb.
// Distrusts: who answers at that address: a certificate counts for the host that
// the passdb names, and no field that is not understood makes a connection clear.
// Speaks:    the fields host, hostip, port, ssl and starttls (spec/auth.md 6.2); TLS
// as a client.
package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Security is when TLS begins on a connection.
type Security int

const (
	Clear    Security = iota
	Implicit          // from the first byte (ssl)
	StartTLS          // by command; without it nothing is sent
)

// Protection is how a connection is protected.
type Protection struct {
	Security
	AnyCert bool // whosever certificate it is (any-cert)
}

// Target is what is connected to.
type Target struct {
	Host    string // as the passdb has it: certificates are checked against it
	Address string // host:port
	Protection
}

// ErrNoHost says that an entry asks for a proxy and does not say where.
var ErrNoHost = errors.New("passdb says proxy but no host")

// Read gives the target of an entry with the field proxy. The port and the
// protection are those of an entry that says nothing of them.
func Read(fields map[string]string, port uint16, p Protection) (Target, error) {
	t := Target{Host: fields["host"], Protection: p}
	host := cmp.Or(fields["hostip"], t.Host)
	if host == "" {
		return t, ErrNoHost
	}
	if text, ok := fields["port"]; ok {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return t, fmt.Errorf("passdb field port=%.32q is no port", text)
		}
		port = uint16(n)
	}
	t.Address = Join(host, port)
	return t, t.read(fields)
}

// Join makes the address of a host, which may stand in brackets, and a port.
func Join(host string, port uint16) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port)))
}

// read takes ssl and starttls, each yes or any-cert; ssl overrules the other.
func (p *Protection) read(fields map[string]string) error {
	for _, mode := range [...]struct {
		name string
		Security
	}{{"starttls", StartTLS}, {"ssl", Implicit}} {
		switch value := fields[mode.name]; value {
		case "", "no":
		case "yes", "any-cert":
			*p = Protection{mode.Security, value == "any-cert"}
		default:
			return fmt.Errorf("passdb field %s=%.32q, want yes or any-cert", mode.name, value)
		}
	}
	return nil
}

// TLS makes a connection to the target one over TLS. protocols are those of ALPN.
func (t Target) TLS(ctx context.Context, conn net.Conn, authorities *x509.CertPool, protocols ...string) (net.Conn, error) {
	c := tls.Client(conn, &tls.Config{
		ServerName: t.Host, RootCAs: authorities, InsecureSkipVerify: t.AnyCert, MinVersion: tls.VersionTLS12, NextProtos: protocols,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}
