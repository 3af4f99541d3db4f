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
	pid        int32  // of who connected; 0: not known
}

// peerOf says who is on the other side. Over TCP nobody can tell, which is why
// only roles that need no such knowledge are served there.
func (s Socket) peerOf(nc net.Conn) (peer, error) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return peer{restricted: true, uid: nobody}, nil
	}
	cred, err := credentials(uc)
	if err != nil {
		return peer{}, err
	}
	p := s.judge(cred.Uid, cred.Gid)
	p.pid = cred.Pid
	return p, nil
}

// nobody is the uid that no account has.
const nobody = 1<<32 - 1

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
func credentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, cerr
	}
	return cred, err
}
