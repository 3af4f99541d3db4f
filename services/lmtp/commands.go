package lmtp

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/services/lmtp/proxy"
)

// command answers one command. Only RCPT may leave its reply for later.
func (s *session) command(c lmtpproto.Command) {
	if c.Verb == "RCPT" {
		s.rcpt(c.Args)
		return
	}
	s.settle()
	if s.ended != "" {
		return
	}
	switch c.Verb {
	case "LHLO":
		s.lhlo(c.Args)
	case "MAIL":
		s.mail(c.Args)
	case "DATA":
		s.data(c.Args)
	case "BDAT":
		s.bdat(c.Args)
	case "RSET":
		if s.plain(c.Args) {
			s.reset()
			s.reply(250, "2.0.0", "OK")
		}
	case "NOOP":
		if strings.Contains(c.Args, " ") {
			s.badParameters()
			return
		}
		s.reply(250, "2.0.0", "OK")
	case "VRFY":
		if c.Args == "" {
			s.badParameters()
			return
		}
		s.reply(252, "2.3.3", "Try RCPT instead")
	case "QUIT":
		if s.plain(c.Args) {
			s.reply(221, "2.0.0", "Bye")
			s.ended = loggedOut
		}
	case "STARTTLS":
		s.starttls(c.Args)
	case "XCLIENT":
		s.xclient(c.Args)
	case "AUTH":
		s.reply(502, "5.5.1", "Unsupported command")
	default:
		s.reply(500, "5.5.1", "Unknown command")
	}
}

// plain tells whether the command has no arguments, and refuses it otherwise.
func (s *session) plain(args string) bool {
	if args != "" {
		s.badParameters()
	}
	return args == ""
}

func (s *session) badParameters() { s.reply(501, "5.5.4", "Invalid parameters") }

func (s *session) greet() {
	s.final(220, "", s.f.Hostname+" "+s.f.Greeting)
}

func (s *session) lhlo(name string) {
	if name == "" {
		s.reply(501, "", "Missing hostname")
		return
	}
	s.reset()
	s.legs.close() // the next ones are told the new name
	s.helo = ""
	if heloName(name) {
		s.helo = name
	}
	more := []string{"8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING"}
	if s.f.MaxSize > 0 {
		more = append(more, "SIZE "+strconv.FormatInt(s.f.MaxSize, 10))
	} else {
		more = append(more, "SIZE") // RFC 1870 section 4: no fixed limit
	}
	more = append(more, "SMTPUTF8")
	if s.f.TLS != nil && s.tls == "" {
		more = append(more, "STARTTLS")
	}
	if s.trusted() {
		more = append(more, "XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT")
	}
	s.answer(lmtpproto.Reply{Code: 250, Text: s.f.Hostname, More: more})
}

// heloName tells whether a name can stand in a Received header. Another one is
// as good as none, for the name is never checked.
func heloName(s string) bool {
	return len(s) <= 255 && strings.IndexFunc(s, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') && !strings.ContainsRune("-._:[]", c)
	}) < 0
}

// trusted tells whether the peer may say who the client is: by its own address,
// never by one that it or a proxy told us, and so never over a unix socket.
func (s *session) trusted() bool { return contains(s.f.LoginTrusted, s.peer.real) }

func (s *session) mail(args string) {
	switch {
	case s.tx.mail:
		s.reply(503, "5.5.0", "MAIL already given")
		return
	case s.f.TLSRequired && s.f.TLS == nil && s.tls == "" && !s.peer.unix:
		// Without a certificate nobody could ever do as he is told, and 530 would
		// bounce all mail (RFC 3207 section 4).
		s.reply(454, "4.7.0", "TLS not available (ssl_cert)")
		return
	case s.f.TLSRequired && s.tls == "" && !s.peer.unix:
		s.reply(530, "5.7.0", "TLS required, issue STARTTLS first")
		return
	}
	e, err := lmtpproto.ParseMail(args, s.f.Workarounds)
	if err != nil {
		s.badParameters()
		return
	}
	tx := transaction{mail: true, from: e.Path}
	for _, p := range e.Params {
		if r := s.mailParam(&tx, p); r.Code != 0 {
			s.answer(r)
			return
		}
	}
	if !tx.utf8 && !e.Path.IsASCII() {
		s.answer(needUTF8)
		return
	}
	s.tx = tx
	s.transactions++
	s.reply(250, "2.1.0", "OK")
}

// needUTF8 is RFC 6531 section 3.5.
var needUTF8 = lmtpproto.Reply{Code: 553, Enhanced: "5.6.7", Text: "This address needs SMTPUTF8"}

var (
	badParam = lmtpproto.Reply{Code: 501, Enhanced: "5.5.4", Text: "Invalid parameters"}
	unknown  = lmtpproto.Reply{Code: 555, Enhanced: "5.5.4", Text: "Unsupported parameters"}
	tooBig   = lmtpproto.Reply{Code: 552, Enhanced: "5.2.3", Text: "Message too big (mail_max_size)"}
)

// mailParam takes one parameter of MAIL, and gives a reply if it is refused.
func (s *session) mailParam(tx *transaction, p lmtpproto.Param) (refused lmtpproto.Reply) {
	switch p.Key {
	case "BODY":
		switch strings.ToUpper(p.Value) {
		case "7BIT":
		case "8BITMIME":
			tx.eightBit = true
		case "":
			return badParam
		default:
			return lmtpproto.Reply{Code: 555, Enhanced: "5.5.4", Text: "Unsupported mail BODY type"}
		}
	case "SIZE":
		n, err := lmtpproto.ParseSIZE(p.Value)
		switch {
		case err != nil:
			return badParam
		case s.f.MaxSize > 0 && n > s.f.MaxSize:
			return tooBig
		}
		tx.size = n
	case "SMTPUTF8":
		if p.HasValue {
			return badParam
		}
		tx.utf8 = true
	default:
		return unknown
	}
	return lmtpproto.Reply{}
}

func (s *session) starttls(args string) {
	switch {
	case !s.plain(args):
		return
	case s.tls != "":
		s.reply(502, "5.5.1", "TLS is already active.")
		return
	case s.f.TLS == nil:
		s.reply(502, "5.5.1", "TLS support is not enabled.")
		return
	}
	// Bytes that follow in the clear would be read as if they had come over TLS:
	// whoever sits on the wire could put commands before the client's (RFC 3207
	// section 5, CVE-2011-0411). No honest client sends any.
	if s.br.Buffered() > 0 {
		s.ended = "Plaintext after STARTTLS"
		return
	}
	s.reply(220, "2.0.0", "Begin TLS negotiation now.")
	s.flush()
	s.reset()
	s.client = newClient()
	if err := s.startTLS(); err != nil {
		s.ended = "TLS handshake failed: " + err.Error()
	}
}

func (s *session) xclient(args string) {
	switch {
	case !s.trusted():
		s.reply(550, "5.7.14", "You are not from trusted IP")
		return
	case s.tx.mail:
		s.reply(503, "5.5.0", "XCLIENT not permitted during a mail transaction")
		return
	}
	params, err := lmtpproto.ParseXClient(args)
	if err != nil {
		s.badParameters()
		return
	}
	id, p, c := s.id, s.peer, s.client
	for _, a := range params {
		if !setAttribute(a, &id, &p, &c) {
			s.reply(501, "5.5.4", "Invalid "+a.Key+" parameter")
			return
		}
	}
	if s.f.Debug {
		s.log(logline.Debug, "XCLIENT from "+s.peer.real.String()+" says "+p.name())
	}
	s.reset()
	s.legs.close()
	s.id, s.peer, s.client = id, p, c
	s.transactions = 0
	s.greet()
}

// setAttribute takes one attribute of XCLIENT; unknown ones are ignored.
func setAttribute(a lmtpproto.Param, id *string, p *peer, c *client) (ok bool) {
	switch a.Key {
	case "ADDR":
		v := a.Value
		if len(v) > 5 && strings.EqualFold(v[:5], "IPV6:") {
			v = v[5:]
		}
		addr, err := netip.ParseAddr(v)
		if err != nil {
			return false
		}
		p.addr = clean(netip.AddrPortFrom(addr, p.addr.Port()))
	case "PORT":
		n, err := strconv.ParseUint(a.Value, 10, 16)
		if err != nil {
			return false
		}
		p.addr = netip.AddrPortFrom(p.addr.Addr(), uint16(n))
	case "PROTO":
		c.proto = strings.ToUpper(a.Value)
		return c.proto == "SMTP" || c.proto == "ESMTP" || c.proto == "LMTP"
	case "HELO":
		if heloName(a.Value) {
			c.helo = a.Value
		}
	case "LOGIN":
		if len(a.Value) <= 255 && strings.IndexFunc(a.Value, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0 {
			c.login = a.Value
		}
	case "SESSION":
		if goodSession(a.Value) {
			*id = a.Value
		}
	case "TTL":
		n, err := strconv.ParseUint(a.Value, 10, 16)
		c.ttl = min(int(n), proxy.FirstTTL)
		return err == nil
	case "TIMEOUT":
		n, err := strconv.ParseUint(a.Value, 10, 31)
		c.timeout = time.Duration(n) * time.Second
		return err == nil
	}
	return true
}
