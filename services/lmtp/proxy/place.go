package proxy

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"culver/internal/backend"
)

// Place is where a recipient's mail is. Recipients of one message with equal
// Places share a connection.
type Place struct {
	backend.Target
	SMTP    bool          // protocol=smtp: one reply for all recipients
	Source  netip.Addr    // source_ip; zero: the system's choice
	Timeout time.Duration // for connecting, and for each reply
	Strange bool          // proxy_not_trusted: it is not told who the client is
}

// DefaultTimeout is Dovecot's proxy_timeout.
const DefaultTimeout = 125 * time.Second

// maxTimeout bounds proxy_timeout.
const maxTimeout = time.Hour

// PlaceOf reads where the fields of a passdb send a recipient (spec/lmtp.md
// 15). remote is false for who is served here. ownPort is the port of a
// recipient whose entry has neither port nor protocol; 0 is LMTP's 24.
func PlaceOf(fields map[string]string, ownPort uint16) (p Place, remote bool, err error) {
	_, always := fields["proxy"]
	_, maybe := fields["proxy_maybe"]
	if !always && !maybe {
		return Place{}, false, nil
	}
	p = Place{Timeout: DefaultTimeout}
	_, p.Strange = fields["proxy_not_trusted"]
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
	if p.Target, err = backend.Read(fields, port, backend.Protection{}); err != nil {
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
