package lmtp

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// peer is who is at the other end.
type peer struct {
	real netip.Addr     // by the kernel's word; trust goes by it alone; zero over unix
	addr netip.AddrPort // client as it is shown: by PROXY or XCLIENT, where trusted
	own  netip.AddrPort // our end
	unix bool
}

func peerOf(c net.Conn) peer {
	ta, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return peer{unix: true}
	}
	p := peer{addr: clean(ta.AddrPort())}
	p.real = p.addr.Addr()
	if ta, ok := c.LocalAddr().(*net.TCPAddr); ok {
		p.own = clean(ta.AddrPort())
	}
	return p
}

// clean writes IPv4 as IPv4 also on a socket of IPv6, and drops the zone.
func clean(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// name is the peer in log lines.
func (p peer) name() string {
	if !p.addr.IsValid() {
		return "local"
	}
	return p.addr.Addr().String()
}

// readPROXY reads the header that a listener with haproxy = yes demands, and
// nothing after it. The peer must be in haproxy_trusted_networks: anybody else
// could pretend to be any client.
func (f *Front) readPROXY(c net.Conn, br *bufio.Reader, p peer) (peer, error) {
	if !contains(f.HAProxyTrusted, p.real) {
		return p, fmt.Errorf("%s is not in haproxy_trusted_networks", p.name())
	}
	c.SetReadDeadline(time.Now().Add(f.HAProxyTimeout))
	h, err := proxyproto.Read(br)
	c.SetReadDeadline(time.Time{})
	if err != nil {
		return p, fmt.Errorf("PROXY header: %w", err)
	}
	src, dst, ok := h.TCPAddrs()
	if !h.Command.IsLocal() && ok { // LOCAL is the proxy's own health check
		p.addr, p.own = clean(src.AddrPort()), clean(dst.AddrPort())
	}
	return p, nil
}

// held is a connection whose first bytes were read already.
type held struct {
	net.Conn
	br *bufio.Reader
}

func (h held) Read(b []byte) (int, error) { return h.br.Read(b) }

// CloseWrite is the inner connection's, for linger.
func (h held) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return net.ErrClosed
}
