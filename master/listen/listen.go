// Package listen opens the sockets and FIFOs that the settings name, with the
// owner and mode they name, and keeps them across reloads.
//
// Runs as:   ROOT, or an ordinary user, who then owns them all.
// Trusts:    the settings.
// Distrusts: the directory a socket lies in, which may be another's (Postfix's).
// Speaks:    spec/master.md 16, design 6.
package listen

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"culver/internal/settings"
)

// Listener is one open socket or FIFO. A child inherits the descriptor; the
// master never accepts on it.
type Listener struct {
	Name string // last path component, or the inet_listener's name
	Kind string // unix, fifo, inet
	Key  string // equal keys are the same listener: kind and address
	FD   int

	path string // of a unix socket or FIFO
	file unix.Stat_t
}

// DefaultBacklog is cut by the kernel's somaxconn. It is wide because a full
// backlog of a UNIX socket is an error for the client at once.
const DefaultBacklog = 4096

// Key names what a listener is: two settings with one key are the same socket,
// with perhaps another owner or mode.
func Key(l settings.Listener) string {
	if l.Kind == "inet" {
		return fmt.Sprintf("inet %s reuse_port=%t", net.JoinHostPort(l.Address, strconv.Itoa(l.Port)), l.Reuse)
	}
	return l.Kind + " " + l.Path
}

// Open opens a listener.
func Open(l settings.Listener) (*Listener, error) {
	out := &Listener{Name: l.Name, Kind: l.Kind, Key: Key(l), FD: -1, path: l.Path}
	var err error
	switch l.Kind {
	case "unix":
		err = out.unix(l)
	case "fifo":
		err = out.fifo(l)
	default:
		err = out.inet(l)
	}
	if err != nil {
		if out.FD >= 0 {
			unix.Close(out.FD)
		}
		return nil, fmt.Errorf("%s_listener %s: %w", l.Kind, cmp.Or(l.Path, l.Name), err)
	}
	return out, nil
}

func (l *Listener) inet(s settings.Listener) error {
	domain, sa, err := sockaddr(s.Address, s.Port)
	if err != nil {
		return err
	}
	if l.FD, err = unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := bindInet(l.FD, domain, sa, s); err != nil {
		return fmt.Errorf("%s port %d: %w", s.Address, s.Port, err)
	}
	return nil
}

func sockaddr(address string, port int) (domain int, sa unix.Sockaddr, err error) {
	switch address {
	case "*":
		return unix.AF_INET, &unix.SockaddrInet4{Port: port}, nil
	case "::":
		return unix.AF_INET6, &unix.SockaddrInet6{Port: port}, nil
	}
	ip := net.ParseIP(address)
	if ip == nil {
		return 0, nil, fmt.Errorf("%q is not an IP address", address)
	}
	if v4 := ip.To4(); v4 != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}, nil
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())}, nil
}

func bindInet(fd, domain int, sa unix.Sockaddr, l settings.Listener) error {
	options := []struct {
		on         bool
		level, opt int
	}{
		{true, unix.SOL_SOCKET, unix.SO_REUSEADDR},
		{true, unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{domain == unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY}, // "*" and "::" are two sockets
		{l.Reuse, unix.SOL_SOCKET, unix.SO_REUSEPORT},
	}
	for _, o := range options {
		if o.on {
			if err := unix.SetsockoptInt(fd, o.level, o.opt, 1); err != nil {
				return err
			}
		}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return err
	}
	return unix.Listen(fd, backlog(l.Backlog))
}

func backlog(n int) int {
	if n == 0 {
		return DefaultBacklog
	}
	return n
}

// Address gives where an inet listener listens, with the port the kernel chose
// where the settings left it open.
func (l *Listener) Address() string {
	sa, err := unix.Getsockname(l.FD)
	if err != nil {
		return ""
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	case *unix.SockaddrInet6:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), strconv.Itoa(a.Port))
	case *unix.SockaddrUnix:
		return a.Name
	}
	return ""
}

// Close closes the descriptor. Remove also takes the name away.
func (l *Listener) Close() error { return unix.Close(l.FD) }
