// Package lmtp is the front of the LMTP service: it speaks with MTAs, asks auth
// who a recipient is, spools the message once, and hands it to one worker for
// each recipient.
//
// Runs as:   the lmtp service user, which can read nobody's mail; many sessions
// in one process.
// Trusts:    auth for who exists; the master for its workers' identity.
// Distrusts: clients; and workers, each of which may be its user's own: what one
// answers is bounded, cleaned, and counts for that user's recipients only.
// Speaks:    LMTP (RFC 2033, spec/lmtp.md), PROXY, TLS; packages handoff,
// authproto and lmtpproto.
//
// One session is one goroutine that reads commands and writes replies in their
// order (session.go); RCPT lookups of one burst and the deliveries of one
// message run beside it.
package lmtp

import (
	"cmp"
	"context"

	"culver/internal/authproto"
	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/services/lmtp/proxy"
)

// Users says who a recipient is. Its errors are authproto.ErrNotFound, or
// temporary.
type Users interface {
	Lookup(ctx context.Context, user string, p authproto.Params) (authproto.User, error)
	// Pass gives the passdb's fields of a recipient, which may say that the mail is
	// elsewhere.
	Pass(ctx context.Context, user string, p authproto.Params) (map[string]string, error)
}

// Workers gives one end of a stream socketpair whose other end a worker of that
// user has; the caller closes it. Its error may be a *favour.Refusal.
type Workers interface {
	Worker(ctx context.Context, user string) (fd int, err error)
}

// Envelope is what one recipient's delivery gets to know of the transaction:
// its own recipient and nobody else's, so that a Bcc stays one.
type Envelope struct {
	Session  string // with the suffixes :T2 and :R3
	Helo     string
	Proto    string
	Login    string
	Addr     string // client's address, "" over a unix socket
	Port     string
	TLS      string // detail for Received, "" without TLS
	From     lmtpproto.Path
	UTF8     bool
	EightBit bool
	Size     int64 // declared with SIZE=, 0 when not
	To       lmtpproto.Path
	ORCPT    string // as given
}

// Log writes one line; logline.Print with its text ready.
type Log func(l logline.Level, session, user, text string)

// Front is the service. All its fields are set before Serve.
type Front struct {
	Options
	Users   Users
	Workers Workers
	Local   *Local        // nil: every recipient has a worker
	Proxy   *proxy.Dialer // nil: no recipient is handed on
	Log     Log

	spools *budget
	asking chan struct{} // requests to the master under way
	house  house
}

// New makes a front that has no sessions yet.
func New(o Options, u Users, w Workers, log Log) *Front {
	o.transfer = cmp.Or(o.transfer, maxTransfer)
	o.discard = cmp.Or(o.discard, maxDiscard)
	o.grace = cmp.Or(o.grace, commandGrace)
	f := &Front{Options: o, Users: u, Workers: w, Log: log}
	if o.ProxyOn {
		f.Proxy = proxy.NewDialer(o.Hostname, o.Authorities)
	}
	f.spools = newBudget(o.SpoolLimit, o.QueueLimit, o.QueueTimeout)
	// Below worker_queue_limit: a few messages with many recipients would fill the
	// master's queue, and all others be refused at once. Here they wait, in the
	// order in which they came.
	f.asking = make(chan struct{}, max(1, o.QueueLimit-o.QueueLimit/10))
	f.house.init(o.ClientLimit)
	return f
}
