package deliver

import (
	"bufio"
	"strings"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/mailstore/userstore"
	"culver/internal/settings/finished"
)

// maxBadCommands ends a conversation that is none: the front is ours, and
// makes no mistakes that more tries would mend.
const maxBadCommands = 10

// session is one conversation about one user's mail.
type session struct {
	settings finished.Bag
	user     string
	names    *maildir.Names
	c        *conn
	started  time.Time
	quit     bool
	bad      int
	tidy     *maildir.Folder // whose tmp/ is looked at once all is answered

	client client
	hasEnv bool // MAIL was accepted
	sender lmtpproto.Path
	size   int64 // announced, 0 if not
	rcpt   *recipient
}

// client is what the front knows of the MTA.
type client struct {
	addr, helo, proto, session, tls string
}

// recipient is the one whom this transaction is for.
type recipient struct {
	path     lmtpproto.Path
	original string // ORCPT's address
	store    *maildir.Store
}

// converse runs until QUIT or the end of the connection.
func (s *session) converse() {
	s.started = time.Now()
	br := bufio.NewReaderSize(s.c, 2*lmtpproto.MaxLine)
	s.greet()
	for !s.quit && s.bad < maxBadCommands {
		line, err := lmtpproto.ReadLine(br)
		if err == lmtpproto.ErrLineTooLong {
			s.fail(500, "5.5.2", "Line too long")
			continue
		}
		if err != nil {
			return // the front is gone; nothing is half done here
		}
		cmd, err := lmtpproto.ParseCommand(line)
		if err != nil {
			s.fail(500, "5.5.2", "Invalid command syntax")
			continue
		}
		s.command(cmd)
	}
	s.c.flush()
	if s.tidy != nil {
		s.tidy.Tidy()
	}
}

func (s *session) close() {
	if s.tidy != nil {
		s.tidy.Close()
	}
	s.reset()
}

func (s *session) reset() {
	if s.rcpt != nil {
		s.rcpt.store.Close()
	}
	s.hasEnv, s.sender, s.size, s.rcpt = false, lmtpproto.Path{}, 0, nil
}

func (s *session) reply(code int, enhanced, text string) {
	s.c.out = lmtpproto.Reply{Code: code, Enhanced: enhanced, Text: text}.Append(s.c.out)
}

// fail answers a command that the front should not have sent.
func (s *session) fail(code int, enhanced, text string) {
	s.bad++
	s.reply(code, enhanced, text)
}

func (s *session) greet() {
	s.reply(220, "", s.settings["hostname"]+" "+s.settings["login_greeting"])
}

func (s *session) command(cmd lmtpproto.Command) {
	switch cmd.Verb {
	case "LHLO":
		s.lhlo(cmd.Args)
	case "XCLIENT":
		s.xclient(cmd.Args)
	case "MAIL":
		s.mail(cmd.Args)
	case "RCPT":
		s.rcptTo(cmd.Args)
	case "XFD":
		s.xfd(cmd.Args)
	case "RSET":
		s.reset()
		s.reply(250, "2.0.0", "OK")
	case "NOOP":
		s.reply(250, "2.0.0", "OK")
	case "QUIT":
		s.reply(221, "2.0.0", "Bye")
		s.quit = true
	default:
		s.fail(500, "5.5.1", "Unknown command")
	}
}

func (s *session) lhlo(args string) {
	if args == "" {
		s.fail(501, "", "Missing hostname")
		return
	}
	s.reset()
	s.client.helo = args
	s.c.out = lmtpproto.Reply{Code: 250, Text: s.settings["hostname"], More: []string{
		"8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SIZE", "SMTPUTF8",
		"XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TLS", "XFD",
	}}.Append(s.c.out)
}

// xclient: the peer is our own front, which has decided about trust.
func (s *session) xclient(args string) {
	params, err := lmtpproto.ParseXClient(args)
	if err != nil {
		s.fail(501, "5.5.4", "Invalid parameters")
		return
	}
	s.reset()
	s.client = client{}
	for _, p := range params {
		v := clean(p.Value, maxHeaderValue)
		switch p.Key {
		case "ADDR":
			s.client.addr = v
		case "HELO":
			s.client.helo = v
		case "PROTO":
			s.client.proto = v
		case "SESSION":
			s.client.session = v
		case "TLS":
			s.client.tls = v
		}
	}
	s.greet()
}

func (s *session) mail(args string) {
	env, err := lmtpproto.ParseMail(args, lmtpproto.Workarounds{})
	switch {
	case err != nil:
		s.fail(501, "5.5.4", "Invalid parameters")
		return
	case s.hasEnv:
		s.fail(503, "5.5.0", "MAIL already given")
		return
	}
	for _, p := range env.Params {
		switch p.Key {
		case "BODY", "SMTPUTF8":
		case "SIZE":
			s.size, err = lmtpproto.ParseSIZE(p.Value)
		default:
			s.fail(555, "5.5.4", "Unsupported parameters")
			return
		}
	}
	if err != nil {
		s.fail(501, "5.5.4", "Invalid parameters")
		return
	}
	s.hasEnv, s.sender = true, env.Path
	s.reply(250, "2.1.0", "OK")
}

func (s *session) rcptTo(args string) {
	env, err := lmtpproto.ParseRcpt(args, lmtpproto.Workarounds{})
	switch {
	case !s.hasEnv:
		s.fail(503, "5.5.0", "MAIL needed first")
		return
	case err != nil:
		s.fail(501, "5.5.4", "Invalid parameters")
		return
	case s.rcpt != nil:
		// One process, one recipient: a second one has a worker of its own.
		s.reply(451, "4.5.3", "Too many recipients")
		return
	}
	r := &recipient{path: env.Path}
	for _, p := range env.Params {
		if p.Key != "ORCPT" {
			s.fail(555, "5.5.4", "Unsupported parameters")
			return
		}
		if _, r.original, err = lmtpproto.ParseORCPT(p.Value); err != nil {
			s.fail(501, "5.5.4", "Invalid parameters")
			return
		}
	}
	c, err := userstore.Config(s.settings)
	if err != nil {
		s.log(logline.Error, "user's settings: "+err.Error())
		s.reply(451, "4.3.0", "<"+r.path.String()+"> Temporary internal error")
		return
	}
	c.Names = s.names
	c.Warn = func(text string) { s.log(logline.Warn, text) }
	r.store = maildir.New(c)
	if refusal := s.checkQuota(r); refusal != nil {
		s.c.out = refusal.Append(s.c.out)
		r.store.Close()
		return
	}
	s.rcpt = r
	s.reply(250, "2.1.5", "OK")
}

// checkQuota asks at RCPT already, where lmtp_rcpt_check_quota wants it.
func (s *session) checkQuota(r *recipient) *lmtpproto.Reply {
	if !s.settings.Bool("lmtp_rcpt_check_quota") {
		return nil
	}
	f, err := r.store.Inbox()
	if err == nil {
		err = f.Room(s.size)
		f.Close()
	}
	if err == nil {
		return nil
	}
	if classOf(err) == temporary {
		s.log(logline.Error, "quota check: "+err.Error())
	}
	reply := s.replyFor(err, r)
	return &reply
}

func (s *session) log(l logline.Level, text string) {
	logline.Print(l, s.client.session, s.user, "%s", text)
}

// detail gives the folder that the address asks for, "" for none.
func (s *session) detail(r *recipient) string {
	if !s.settings.Bool("lmtp_save_to_detail_mailbox") {
		return ""
	}
	_, detail, _ := r.path.User(s.settings.String("recipient_delimiter"))
	return strings.TrimRight(detail, " ")
}
