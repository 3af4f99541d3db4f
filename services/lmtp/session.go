package lmtp

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/internal/servertls"
	"culver/services/lmtp/proxy"
)

// session is one client's connection. One goroutine has it; what runs beside
// (lookups, deliveries) sees copies only.
type session struct {
	f        *Front
	listener Listener
	conn     *idleConn
	stream   net.Conn // conn, or TLS over it
	br       *bufio.Reader
	bw       *bufio.Writer

	peer peer
	id   string
	tls  string // detail, "" without TLS
	client

	tx           transaction
	transactions int
	pending      []*rcpt // RCPTs in hand whose replies are not written yet
	legs         legs    // to the hosts of recipients whose mail is elsewhere

	bad         int    // bad commands in a row
	burstFailed bool   // a reply of this burst was a refusal
	ended       string // why the session is over, for the log
}

// client is what it told about itself; STARTTLS and XCLIENT forget some of it.
type client struct {
	helo    string
	proto   string
	login   string
	timeout time.Duration // how long it will wait for our replies, 0 unknown
	ttl     int           // how many hosts may still hand a message on, this one included
}

func newClient() client { return client{ttl: proxy.FirstTTL} }

// transaction is one message, from MAIL on.
type transaction struct {
	mail     bool
	from     lmtpproto.Path
	utf8     bool
	eightBit bool
	size     int64 // SIZE=

	commands int // RCPT commands, refused ones too
	rcpts    []*rcpt
	data     bool // DATA or BDAT has begun
	spool    *spool
	failed   bool // a BDAT failed

	discarded int64 // bytes that came after it was refused
}

func (f *Front) newSession(c net.Conn, l Listener) *session {
	s := &session{f: f, listener: l, peer: peerOf(c), id: newSessionID()}
	s.conn = &idleConn{Conn: c, house: &f.house, idle: f.CommandTimeout}
	s.stream = s.conn
	s.client = newClient()
	return s
}

// serve is the whole life of the session.
func (s *session) serve() {
	s.br, s.bw = lineReaders.Get().(*bufio.Reader), replyWriters.Get().(*bufio.Writer)
	defer s.close()
	if err := s.open(); err != nil {
		s.log(logline.Info, "Connection from "+s.peer.name()+" refused: "+err.Error())
		return
	}
	s.log(logline.Info, "Connect from "+s.peer.name())
	s.greet()
	for s.ended == "" {
		s.next()
	}
	s.flush()
	s.log(logline.Info, "Disconnect from "+s.peer.name()+": "+s.ended+" (state="+s.state()+")")
}

// open does what comes before the greeting: PROXY, TLS.
func (s *session) open() (err error) {
	if s.listener.HAProxy {
		h := held{s.conn.Conn, bufio.NewReaderSize(s.conn.Conn, 1<<10)}
		if s.peer, err = s.f.readPROXY(h.Conn, h.br, s.peer); err != nil {
			return err
		}
		s.conn.wrap(h)
	}
	s.attach(s.conn)
	if s.listener.SSL {
		return s.startTLS()
	}
	return nil
}

func (s *session) attach(c net.Conn) {
	s.stream = c
	s.br.Reset(c)
	s.bw.Reset(c)
}

const (
	// commandGrace is how much longer than lmtp_command_timeout a command may be
	// under way. That one bounds a silence only: a line that dribbles, a byte at a
	// time or a TLS record by bytes, would hold a session for days.
	commandGrace = time.Minute
	// maxHandshake bounds a TLS handshake likewise.
	maxHandshake = 5 * time.Minute
)

func (s *session) startTLS() error {
	if s.f.TLS == nil {
		return errors.New("no certificate for this ssl listener (ssl_cert, ssl_key)")
	}
	t := tls.Server(s.conn, s.f.TLS)
	s.conn.await(false, time.Now().Add(min(s.f.CommandTimeout, maxHandshake)))
	err := t.Handshake()
	s.conn.arrived()
	if err != nil {
		return err
	}
	s.tls = "(using " + servertls.Detail(t.ConnectionState()) + ")"
	s.attach(t)
	return nil
}

func (s *session) close() {
	s.reset()
	s.legs.close()
	clean := s.br.Buffered() == 0 && s.ended == loggedOut
	s.br.Reset(nil)
	s.bw.Reset(nil)
	lineReaders.Put(s.br)
	replyWriters.Put(s.bw)
	if clean {
		s.stream.Close()
		return
	}
	linger(closeWriter{s.stream, s.conn.Conn})
}

// closeWriter is a stream whose sending half can be closed: TLS's own, or the
// socket's.
type closeWriter struct {
	net.Conn
	socket net.Conn
}

func (c closeWriter) CloseWrite() error {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.CloseWrite()
	}
	return held{Conn: c.socket}.CloseWrite()
}

func (c closeWriter) Read(p []byte) (int, error)        { return c.socket.Read(p) }
func (c closeWriter) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// next reads one command and answers it.
func (s *session) next() {
	if !s.lineBuffered() {
		// The burst is over and we are about to wait: everything we know goes out.
		s.settle()
		s.flush()
		s.burstFailed = false
		s.conn.await(!s.tx.mail, time.Now().Add(s.f.CommandTimeout+s.f.grace))
	}
	if s.ended != "" {
		return
	}
	if rest, closing := s.f.house.leaveBy(); closing && rest == 0 && !s.tx.mail && len(s.pending) == 0 {
		s.shutDown()
		return
	}
	line, err := lmtpproto.ReadLine(s.br)
	late := s.conn.arrived()
	if errors.Is(err, lmtpproto.ErrLineTooLong) {
		s.settle()
		s.reply(500, "5.5.2", "Line too long")
		return
	}
	if errors.Is(err, lmtpproto.ErrEndless) {
		s.settle()
		s.reply(500, "5.5.2", "Line too long")
		s.sendAway()
		return
	}
	if late && errors.Is(err, os.ErrDeadlineExceeded) {
		s.final(421, "4.4.2", s.f.Hostname+" Command took too long")
		s.ended = "Command took too long"
		return
	}
	if err != nil {
		s.lost(err, "")
		return
	}
	c, err := lmtpproto.ParseCommand(line)
	switch {
	case errors.Is(err, lmtpproto.ErrLineTooLong):
		s.settle()
		s.reply(500, "5.5.2", "Line too long")
	case err != nil:
		s.settle()
		s.reply(500, "5.5.2", "Invalid command syntax")
	default:
		s.command(c)
	}
}

// lineBuffered tells whether the next command is here already.
func (s *session) lineBuffered() bool {
	b, _ := s.br.Peek(s.br.Buffered())
	return bytes.IndexByte(b, '\n') >= 0
}

const loggedOut = "Logged out"

// lost ends the session over a read error: the client is gone, or silent, or we
// are closing and it rests between transactions.
func (s *session) lost(err error, unfinished string) {
	_, closing := s.f.house.leaveBy()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && closing && !s.tx.mail:
		s.shutDown()
	case errors.Is(err, os.ErrDeadlineExceeded) && s.conn.late():
		s.final(421, "4.4.2", s.f.Hostname+" Message took too long")
		s.ended = "Message took longer than " + s.f.transfer.String()
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.final(421, "4.4.2", s.f.Hostname+" Disconnected for inactivity")
		s.ended = "Disconnected for inactivity"
	case errors.Is(err, io.EOF):
		s.ended = "Connection closed"
	default:
		s.ended = "Connection lost: " + err.Error()
	}
	if unfinished != "" {
		s.ended += " (unfinished " + unfinished + " command)"
	}
}

func (s *session) shutDown() {
	s.final(421, "4.3.2", s.f.Hostname+" Shutting down")
	s.ended = "Shutting down"
}

// final writes a last reply, whatever the count of bad commands.
func (s *session) final(code int, enhanced, text string) {
	s.write(lmtpproto.Reply{Code: code, Enhanced: enhanced, Text: text})
}

// reply answers a command.
func (s *session) reply(code int, enhanced, text string) {
	s.answer(lmtpproto.Reply{Code: code, Enhanced: enhanced, Text: text})
}

// answer writes a command's reply and keeps the count of bad commands: too many
// in a row end the session. What follows a refusal within one burst was sent
// before the client could know, so its 503 do not count (spec/lmtp.md 2).
func (s *session) answer(r lmtpproto.Reply) {
	if s.ended != "" {
		return
	}
	switch r.Code {
	case 503:
		if !s.burstFailed {
			s.bad++
		}
	case 500, 501:
		s.bad++
	default:
		s.bad = 0
	}
	if r.Code >= 400 {
		s.burstFailed = true
	}
	if s.bad > s.f.MaxBadCommands {
		s.final(421, "4.7.0", s.f.Hostname+" Too many invalid commands.")
		s.ended = "Too many invalid commands"
		return
	}
	s.write(r)
}

func (s *session) write(r lmtpproto.Reply) {
	// An error stays in the writer and the next read sees the peer gone.
	s.bw.Write(r.Append(s.bw.AvailableBuffer()))
}

func (s *session) flush() { s.bw.Flush() }

// state is Dovecot's name for where the session stands.
func (s *session) state() string {
	switch {
	case s.tx.data:
		return "DATA"
	case s.tx.commands > 0:
		return "RCPT TO"
	case s.tx.mail:
		return "MAIL FROM"
	}
	return "READY"
}

// reset forgets the transaction.
func (s *session) reset() {
	if s.tx.spool != nil {
		s.tx.spool.close()
	}
	s.conn.endBy(time.Time{})
	s.legs.reset()
	s.tx = transaction{}
}

// log writes a line about the connection, which Dovecot prints without session.
func (s *session) log(l logline.Level, text string) { s.f.Log(l, "", "", text) }
