package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Security is how the connection to a backend is protected.
type Security int

const (
	Clear    Security = iota
	Implicit          // TLS from the first byte (ssl)
	StartTLS          // TLS by command; without it nothing is sent
)

// Place is where a recipient's mail is. Recipients of one message with equal
// Places share a connection.
type Place struct {
	Host    string // as the passdb has it: certificates are checked against it
	Address string // host:port that is connected to
	SMTP    bool   // protocol=smtp: one reply for all recipients
	Security
	AnyCert bool          // the certificate is not checked (any-cert)
	Source  netip.Addr    // source_ip; zero: the system's choice
	Timeout time.Duration // for connecting, and for each reply
	Strange bool          // proxy_not_trusted: it is not told who the client is
}

// DefaultTimeout is Dovecot's proxy_timeout.
const DefaultTimeout = 125 * time.Second

// maxTimeout bounds proxy_timeout.
const maxTimeout = time.Hour

// ErrNoHost says that an entry asks for a proxy and does not say where.
var ErrNoHost = errors.New("passdb says proxy but no host")

// PlaceOf reads where the fields of a passdb send a recipient (spec/lmtp.md
// 15). remote is false for who is served here. ownPort is the port of a
// recipient whose entry has neither port nor protocol; 0 is LMTP's 24.
func PlaceOf(fields map[string]string, ownPort uint16) (p Place, remote bool, err error) {
	_, always := fields["proxy"]
	_, maybe := fields["proxy_maybe"]
	if !always && !maybe {
		return Place{}, false, nil
	}
	p = Place{Host: fields["host"], Timeout: DefaultTimeout}
	_, p.Strange = fields["proxy_not_trusted"]
	target := cmp.Or(fields["hostip"], p.Host)
	if target == "" {
		return p, true, ErrNoHost
	}
	port := cmp.Or(ownPort, 24)
	switch fields["protocol"] {
	case "":
	case "lmtp":
		port = 24
	case "smtp":
		port, p.SMTP = 25, true
	default:
		return p, true, fmt.Errorf("passdb field protocol=%.32q, want lmtp or smtp", fields["protocol"])
	}
	if text, ok := fields["port"]; ok {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return p, true, fmt.Errorf("passdb field port=%.32q is no port", text)
		}
		port = uint16(n)
	}
	p.Address = net.JoinHostPort(strings.Trim(target, "[]"), strconv.Itoa(int(port)))
	if err := p.protect(fields); err != nil {
		return p, true, err
	}
	if text := fields["source_ip"]; text != "" {
		if p.Source, err = netip.ParseAddr(text); err != nil {
			return p, true, fmt.Errorf("passdb field source_ip: %w", err)
		}
	}
	if text := fields["proxy_timeout"]; text != "" {
		if p.Timeout, err = timeoutOf(text); err != nil {
			return p, true, err
		}
	}
	return p, true, nil
}

// protect reads ssl and starttls, each yes or any-cert.
func (p *Place) protect(fields map[string]string) error {
	for _, mode := range [...]struct {
		name string
		Security
	}{{"starttls", StartTLS}, {"ssl", Implicit}} {
		switch value := fields[mode.name]; value {
		case "", "no":
			continue
		case "yes":
		case "any-cert":
			p.AnyCert = true
		default:
			return fmt.Errorf("passdb field %s=%.32q, want yes or any-cert", mode.name, value)
		}
		p.Security = mode.Security
	}
	return nil
}

// timeoutOf reads seconds, or a number with a unit.
func timeoutOf(text string) (time.Duration, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		text = strconv.FormatUint(n, 10) + "s"
	}
	d, err := time.ParseDuration(strings.Replace(text, "secs", "s", 1))
	if err != nil || d <= 0 || d > maxTimeout {
		return 0, fmt.Errorf("passdb field proxy_timeout=%.32q is no time up to %s", text, maxTimeout)
	}
	return d, nil
}

// Here tells whether the place is one of the addresses of this host on which
// LMTP is served: the same address and port.
func (p Place) Here(own netip.AddrPort) bool {
	at, err := netip.ParseAddrPort(p.Address)
	return err == nil && own.IsValid() && at.Addr().Unmap() == own.Addr().Unmap() && at.Port() == own.Port()
}
