package server

import (
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lingerTime and lingerBytes bound what is read from a client after our last
// word.
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 64 << 20
)

// peer is who is at the other end.
type peer struct {
	name  string // for log lines: an address, or the pid and uid of a local one
	local bool
	uid   uint32
}

func peerOf(c net.Conn) peer {
	local, ok := c.(*net.UnixConn)
	if !ok {
		name := c.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		return peer{name: name}
	}
	var cred *unix.Ucred
	err := control(local, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return err
	})
	if err != nil {
		return peer{name: "local, nobody knows who"}
	}
	return peer{name: "local uid " + strconv.FormatUint(uint64(cred.Uid), 10), local: true, uid: cred.Uid}
}

// trusts tells whether the peer needs no password: it came over a socket that
// only its owner can open, and is the owner, or root. Where a front serves the
// network it trusts nobody.
func (f *Front) trusts(p peer, l Listener) bool {
	return !f.Network && p.local && l.Private && (p.uid == 0 || p.uid == l.Owner)
}

// hungUp tells whether a client whose bytes have ended is gone. Over TCP nobody
// can tell it from one that only has no more to say, before a write fails.
func hungUp(c net.Conn) bool {
	local, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	var p [1]unix.PollFd
	err := control(local, func(fd int) error {
		p[0].Fd = int32(fd)
		_, err := unix.Poll(p[:], 0)
		return err
	})
	return err != nil || p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}

func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// linger ends a connection whose last words must arrive: closing a socket with
// unread bytes resets it, and a reset can overtake them.
func linger(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.SetReadDeadline(time.Now().Add(lingerTime))
	var buf [16 << 10]byte
	for n := 0; n < lingerBytes; {
		m, err := c.Read(buf[:])
		if err != nil {
			return
		}
		n += m
	}
}
