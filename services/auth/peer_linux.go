package auth

import (
	"net"

	"golang.org/x/sys/unix"
)

// Socket is what the master made of a unix listener.
type Socket struct {
	Mode     int64
	UID, GID int64 // its owner
}

// peer is who is on the other side, and what it may learn.
type peer struct {
	restricted bool
	uid        uint32 // a restricted one learns of users with this uid only
}

// judge applies Dovecot's rule (spec/auth.md 2.8). The kernel has decided by
// the socket's mode who may connect. Only the mode 0666, which lets everybody
// in, means that we decide: root, the socket's owner and those whose primary
// group is the socket's may ask for anybody, all others for their own uid.
func (s Socket) judge(uid, gid uint32) peer {
	if s.Mode != 0o666 || uid == 0 || int64(uid) == s.UID || int64(gid) == s.GID {
		return peer{}
	}
	return peer{restricted: true, uid: uid}
}

// credentials asks the kernel who connected.
func credentials(c *net.UnixConn) (uid, gid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return 0, 0, cerr
	}
	if err != nil {
		return 0, 0, err
	}
	return cred.Uid, cred.Gid, nil
}
