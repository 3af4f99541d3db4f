package master

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/masterproto"
)

const (
	// maxAdministrators bounds the connections to the control socket: whoever may
	// connect is root, and his scripts may hang all the same.
	maxAdministrators = 32
	// An administrator's program is closed to when it says nothing for controlIdle,
	// or does not read for controlWrite.
	controlIdle  = 10 * time.Minute
	controlWrite = 30 * time.Second
)

// openControl makes the socket at which the administrator's programs ask and
// order. base_dir is ours alone, and so is the name: we hold the pid file.
func openControl(base string) (*net.UnixListener, error) {
	path := filepath.Join(base, masterproto.SocketName)
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		os.Remove(path)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// administrate serves the control socket until it is closed.
func (m *Master) administrate(l *net.UnixListener) {
	places := make(chan struct{}, maxAdministrators)
	for {
		c, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Second) // out of descriptors, and nobody else to wait for
			continue
		}
		select {
		case places <- struct{}{}:
			go func() {
				defer func() { <-places }()
				m.administrator(c)
			}()
		default:
			c.Close()
		}
	}
}

// administrator serves one connection. Descriptors that come with a packet are
// dropped by the kernel: nothing here asks for them.
func (m *Master) administrator(c *net.UnixConn) {
	defer c.Close()
	who, err := peer(c)
	if err != nil || who.Uid != 0 && int(who.Uid) != os.Geteuid() {
		m.do(func() { m.log.Warn("control socket: refused", "peer", fmt.Sprintf("%+v", who), "err", err) })
		return
	}
	buf := make([]byte, masterproto.MaxOrder+1)
	for {
		c.SetReadDeadline(time.Now().Add(controlIdle))
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		order, err := masterproto.ParseOrder(buf[:n])
		if err != nil {
			m.do(func() { m.log.Warn("control socket: not an order", "pid", who.Pid) })
			return
		}
		answers := make(chan []masterproto.Answer, 1)
		m.do(func() { answers <- m.obey(order, int(who.Pid)) })
		for _, a := range <-answers {
			c.SetWriteDeadline(time.Now().Add(controlWrite))
			if _, err := c.Write(a.Append(nil)); err != nil {
				return
			}
		}
	}
}

// peer tells who connected.
func peer(c *net.UnixConn) (unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return unix.Ucred{}, err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(cerr, err); err != nil {
		return unix.Ucred{}, err
	}
	return *cred, nil
}
