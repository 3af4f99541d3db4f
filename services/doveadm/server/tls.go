package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"culver/internal/servertls"
)

// errTLS ends a connection without a word: what is on it is not ours to speak.
var errTLS = errors.New("no TLS")

// attach has the session go on over another stream.
func (s *session) attach(stream io.ReadWriter) {
	s.stream = stream
	s.r = bufio.NewReaderSize(stream, 16<<10)
}

// mayStartTLS tells whether STARTTLS is for this session. Where it is not, the
// line is one that lets nobody in.
func (s *session) mayStartTLS() bool { return s.front.TLS != nil && s.tls == nil }

// startTLS goes on over TLS, in what is left of doveadm_auth_timeout.
//
// After the line STARTTLS the client's hello comes without a word of ours (spec/doveadm.md
// 1.5), perhaps in the same segment. So what was read ahead is for TLS, all of it: clear
// text that somebody put there ends the handshake, and none of it is ever read as a
// line that came over TLS (CVE-2011-0411).
func (s *session) startTLS() bool {
	if s.front.TLS == nil {
		s.refused("refused: an ssl listener without a certificate (ssl, ssl_cert, ssl_key)")
		return false
	}
	ahead, _ := s.r.Peek(s.r.Buffered())
	t := tls.Server(&resumed{s.conn, bytes.NewReader(bytes.Clone(ahead))}, s.front.TLS)
	if err := t.Handshake(); err != nil {
		s.refused("TLS handshake failed: " + err.Error())
		return false
	}
	s.tls = t
	s.attach(t)
	return true
}

// resumed is a connection of which some bytes were read already.
type resumed struct {
	net.Conn
	ahead *bytes.Reader
}

func (c *resumed) Read(p []byte) (int, error) {
	if c.ahead.Len() > 0 {
		return c.ahead.Read(p)
	}
	return c.Conn.Read(p)
}

// secured is what the log says of it.
func (s *session) secured() string {
	if s.tls == nil {
		return ""
	}
	return ", " + servertls.Detail(s.tls.ConnectionState())
}

// linger ends the session so that its last words arrive.
func (s *session) linger() {
	if s.tls != nil {
		s.tls.CloseWrite() // so that nobody on the way can have cut it short
	}
	linger(s.conn.Conn)
}
