package server

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/maillog/logline"
)

// session is one client.
type session struct {
	front   *Front
	conn    *timed
	stream  io.ReadWriter // conn, or TLS over it
	tls     *tls.Conn     // nil without
	r       *bufio.Reader
	peer    peer
	trusted bool // it has shown who it is, or need not
	ssl     bool // TLS begins at once
	came    time.Time

	id        string     // of its lines in our log and auth's; "" for one that is trusted
	principal *principal // who logged in; nil for one that is trusted

	out   *output // nil before the handshake is over
	minor int
	waits atomic.Int32 // what only the client can end is under way
	ahead chan line    // the line that came while a command ran

	stranger bool // it counts as one; the house's

	mu      sync.Mutex
	running *run
}

// line is one of the client's, without its LF.
type line struct {
	text []byte
	err  error
}

func (f *Front) newSession(c net.Conn, l Listener) *session {
	s := &session{front: f, peer: peerOf(c), ssl: l.SSL, came: time.Now()}
	if s.trusted = f.trusts(s.peer, l); !s.trusted {
		s.id = newID()
	}
	s.conn = &timed{Conn: c, front: f, by: s.came.Add(f.AuthTimeout)}
	s.attach(s.conn)
	return s
}

func (s *session) serve() {
	defer s.conn.Close()
	defer s.logout()
	if !s.hello() {
		s.linger()
		return
	}
	for {
		s.conn.enter(idle)
		l := s.next()
		switch {
		case errors.Is(l.err, errTooLong):
			s.refuse("", doveadmproto.DataErr, "command line is longer than 1 MiB")
			s.linger()
			return
		case l.err != nil: // the client's end, or it rested too long
			return
		}
		s.conn.enter(busy)
		if !s.line(l.text) {
			if s.out.flush() == nil { // else nothing arrives any more
				s.linger()
			}
			return
		}
	}
}

var errTooLong = errors.New("line is too long")

// read gives the next line, without its line end, if it has at most limit bytes.
func (s *session) read(limit int) ([]byte, error) {
	b, err := s.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		all := slices.Clone(b)
		for err == bufio.ErrBufferFull && len(all) <= limit {
			b, err = s.r.ReadSlice('\n')
			all = append(all, b...)
		}
		b = all
	}
	switch {
	case len(b) > limit:
		return nil, errTooLong
	case err == io.EOF && len(b) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	b = b[:len(b)-1]
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return b, nil
}

// hello takes the handshake (spec/doveadm.md 1.3).
func (s *session) hello() bool {
	if s.ssl && !s.startTLS() {
		return false
	}
	first, err := s.read(maxAuthLine)
	if err != nil {
		s.say(logline.Debug, "no VERSION line: "+err.Error())
		return false
	}
	if s.minor, err = doveadmproto.ParseClientVersion(string(first)); err != nil {
		s.refused(err.Error())
		return false
	}
	hello := ""
	if s.minor > doveadmproto.MinorRaw {
		hello = doveadmproto.ServerVersion
	}
	if !s.trusted {
		io.WriteString(s.stream, hello+"-\n")
		if err := s.authenticate(); err != nil {
			// A "-" would say that the password is wrong; for "later" the protocol
			// has no word but to hang up.
			if errors.Is(err, errRefused) {
				io.WriteString(s.stream, "-\n")
			}
			return false
		}
		s.front.house.known(s)
		s.trusted = true
		hello = ""
	}
	if _, err := io.WriteString(s.stream, hello+"+\n"); err != nil {
		return false
	}
	s.out = newOutput(s.stream, s.minor, &s.waits)
	return true
}

// authenticate takes one line that must let the client in, over TLS where the
// client asks for it first.
func (s *session) authenticate() error {
	line, err := s.read(maxAuthLine)
	if err == nil && string(line) == doveadmproto.StartTLS && s.mayStartTLS() {
		if !s.startTLS() {
			return errTLS
		}
		line, err = s.read(maxAuthLine)
	}
	switch {
	case err != nil:
		s.say(logline.Debug, "no authentication: "+err.Error())
		return errRefused
	case s.front.AuthSocket == "":
		s.refused("refused: nobody can log in here: this socket is its owner's and root's")
		return errRefused
	case s.front.TLSRequired && s.tls == nil:
		s.refused("refused: a password without TLS, where ssl = required")
		return errRefused
	}
	p, err := s.login(string(line))
	switch {
	case errors.Is(err, errRefused):
		s.refused(err.Error())
	case err != nil:
		s.refused("nobody can tell whether to let it in: " + err.Error())
	default:
		s.principal = p
		s.say(logline.Info, "logged in as "+p.name+s.secured())
	}
	return err
}

// logout gives up what auth keeps of the session.
func (s *session) logout() {
	if s.principal != nil {
		s.principal.auth.Close()
	}
}

// refused logs that a client was not let in: so often only, for anybody may try.
func (s *session) refused(text string) { s.front.refuse(s.peer.name + ": " + text) }

func (f *Front) refuse(text string) {
	ok, missed := f.refusals.log(time.Now())
	if missed > 0 {
		f.Log(logline.Warn, "", "", strconv.Itoa(missed)+" more clients were refused in a minute before")
	}
	if ok {
		f.Log(logline.Warn, "", "", text)
	}
}

// say writes a line of our own log about this client.
func (s *session) say(l logline.Level, text string) {
	if l == logline.Debug && !s.front.Debug {
		return
	}
	s.front.Log(l, s.id, "", s.peer.name+": "+text)
}

// line carries out one line, and tells whether another one may follow.
func (s *session) line(text []byte) bool {
	cmd, err := doveadmproto.ParseCommand(text, s.minor)
	switch {
	case errors.Is(err, doveadmproto.ErrNoCommand):
		s.refuse("", doveadmproto.Usage, "doveadm client: No command given")
		return false // nobody knows what the next line is
	case err != nil:
		s.refuse("", doveadmproto.Usage, "doveadm client: "+err.Error())
		return false
	case s.minor >= doveadmproto.MinorNoColumn && cmd.Name == doveadmproto.NameOption:
		s.out.option(cmd.Args)
		return true
	case cmd.Name == doveadmproto.NameCancel:
		return true // what it was for has ended
	}
	return s.command(cmd, text)
}

// refuse answers a command that is not run.
func (s *session) refuse(user string, code int, text string) {
	s.answer(user, s.out.status(code), text)
}

func (s *session) answer(user, status, text string) {
	s.front.Log(logline.Warn, s.id, user, s.peer.name+": "+text)
	s.out.log(doveadmproto.LogError, prefix(user), text)
	s.out.reply([]byte("\n" + status + "\n"))
	s.out.flush()
}

// prefix is how a line about a user begins, as Dovecot's do.
func prefix(user string) string {
	if user == "" {
		return "doveadm: "
	}
	return "doveadm(" + user + "): "
}

// cancel has what runs stop before its next message.
func (s *session) cancel() {
	s.mu.Lock()
	r := s.running
	s.mu.Unlock()
	if r != nil {
		r.cancel()
	}
}
