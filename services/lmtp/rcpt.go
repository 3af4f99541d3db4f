package lmtp

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"culver/internal/authproto"
	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
)

// maxLookups is how many RCPTs of one burst are in hand at one time.
const maxLookups = 100

// rcpt is one RCPT command.
type rcpt struct {
	Envelope
	user    authproto.User
	proxied *proxied // nil: the mail is here
	reply   lmtpproto.Reply
	looked  chan struct{} // closed when reply is known; nil when it is already
}

// rcpt takes an RCPT. Those of one burst are looked up side by side; settle
// writes their replies, in order.
func (s *session) rcpt(args string) {
	if len(s.pending) >= maxLookups {
		s.settle()
	}
	r := &rcpt{}
	s.pending = append(s.pending, r)
	if r.reply = s.parseRcpt(args, r); r.reply.Code != 0 {
		return
	}
	at := s.route(s.authParams(r.Session))
	if len(s.pending) == 1 && !s.lineBuffered() {
		s.f.look(r, at)
		return
	}
	r.looked = make(chan struct{})
	go func() {
		defer close(r.looked)
		s.f.look(r, at)
	}()
}

// parseRcpt fills r, or gives the reply that refuses it.
func (s *session) parseRcpt(args string, r *rcpt) (refused lmtpproto.Reply) {
	switch {
	case !s.tx.mail:
		return lmtpproto.Reply{Code: 503, Enhanced: "5.5.0", Text: "MAIL needed first"}
	case s.tx.data:
		return lmtpproto.Reply{Code: 503, Enhanced: "5.5.0", Text: "Bad sequence of commands"}
	}
	s.tx.commands++
	e, err := lmtpproto.ParseRcpt(args, s.f.Workarounds)
	if err != nil {
		return badParam
	}
	orcpt := ""
	for _, p := range e.Params {
		switch p.Key {
		case "ORCPT":
			if _, _, err := lmtpproto.ParseORCPT(p.Value); err != nil || !s.tx.utf8 && !asciiOnly(p.Value) {
				return badParam
			}
			orcpt = p.Value
		case "XRCPTFORWARD":
			if !s.trusted() {
				return lmtpproto.Reply{Code: 550, Enhanced: "5.7.14", Text: "Unacceptable from this client"}
			}
			return unknown
		default:
			return unknown
		}
	}
	if !s.tx.utf8 && !e.Path.IsASCII() {
		return needUTF8
	}
	if len(s.tx.rcpts)+len(s.pending)-1 >= s.f.MaxRecipients {
		return lmtpproto.Reply{Code: 451, Enhanced: "4.5.3", Text: "Too many recipients (lmtp_max_recipients)"}
	}
	r.Envelope = s.envelope(e.Path, orcpt)
	return lmtpproto.Reply{}
}

func asciiOnly(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= 0x80 }) < 0
}

func (s *session) envelope(to lmtpproto.Path, orcpt string) Envelope {
	e := Envelope{
		Session: s.id + sessionSuffix(s.transactions, s.tx.commands),
		Helo:    s.helo, Proto: s.proto, Login: s.login, TLS: s.tls,
		From: s.tx.from, UTF8: s.tx.utf8, EightBit: s.tx.eightBit, Size: s.tx.size,
		To: to, ORCPT: orcpt,
	}
	if e.Proto == "" {
		e.Proto = "LMTP"
	}
	if s.peer.addr.IsValid() {
		e.Addr = s.peer.addr.Addr().String()
		e.Port = strconv.Itoa(int(s.peer.addr.Port()))
	}
	return e
}

func (s *session) authParams(session string) authproto.Params {
	p := authproto.Params{Service: "lmtp", Session: session}
	if s.peer.addr.IsValid() {
		p.RemoteIP = s.peer.addr.Addr().String()
		p.RemotePort = strconv.Itoa(int(s.peer.addr.Port()))
	}
	if s.peer.own.IsValid() {
		p.LocalIP = s.peer.own.Addr().String()
		p.LocalPort = strconv.Itoa(int(s.peer.own.Port()))
	}
	return p
}

// look asks auth, and whoever has the recipient's mail elsewhere, or with
// lmtp_rcpt_check_quota a worker, and sets the reply.
func (f *Front) look(r *rcpt, at route) {
	ctx, cancel := f.deliveryContext(0)
	defer cancel()
	name, _, _ := r.To.User(f.Delimiters)
	if f.Proxy != nil && f.remote(ctx, at, r, name) {
		return
	}
	var err error
	r.user, err = f.Users.Lookup(ctx, name, at.params)
	switch {
	case err == nil && f.CheckQuota:
		r.reply = f.check(ctx, r)
	case err == nil:
		r.reply = lmtpproto.Reply{Code: 250, Enhanced: "2.1.5", Text: "OK"}
	case errors.Is(err, authproto.ErrNotFound):
		f.Log(logline.Info, r.Session, name, "refused <"+r.To.String()+">: User doesn't exist")
		r.reply = withAddress(r.To, lmtpproto.Reply{Code: 550, Enhanced: "5.1.1", Text: "User doesn't exist: " + name})
	default:
		// Never 5xx, whatever it was: the source of users may be back tomorrow.
		f.Log(logline.Error, r.Session, name, err.Error())
		r.reply = withAddress(r.To, tempfail)
	}
}

// check has a worker say whether the mailbox is full already.
func (f *Front) check(ctx context.Context, r *rcpt) lmtpproto.Reply {
	e := r.Envelope
	e.Session += ":quota"
	reply := f.deliver(ctx, r.user, e, nil)
	if reply.Ok() {
		return lmtpproto.Reply{Code: 250, Enhanced: "2.1.5", Text: "OK"}
	}
	return reply
}

// settle waits for the lookups in hand and writes their replies in the order of
// their commands.
func (s *session) settle() {
	for _, r := range s.pending {
		if r.looked != nil {
			<-r.looked
		}
		if s.ended == "" && r.reply.Ok() {
			s.tx.rcpts = append(s.tx.rcpts, r)
		}
		s.answer(r.reply)
	}
	s.pending = s.pending[:0]
}
