package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
	"culver/services/lmtp/proxy"
)

// leg is a session's way to one backend: one connection, over which all its
// recipients of a transaction go, and which the next transaction uses again.
type leg struct {
	f     *Front
	place proxy.Place
	who   proxy.Client

	mu       sync.Mutex
	queue    []*rcpt // whose RCPT is to be sent
	working  bool    // a goroutine sends them: what follows is its own
	deserted bool    // the session has ended meanwhile
	conn     *proxy.Conn
	begun    bool    // the backend has this transaction's MAIL
	accepted []*rcpt // by the backend, in the order of its replies to the message
	broken   error   // why the transaction failed there
}

// legs are a session's.
type legs struct {
	mu sync.Mutex
	to map[proxy.Place]*leg
}

func (ls *legs) leg(f *Front, place proxy.Place, who proxy.Client) *leg {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.to[place]
	if l == nil {
		if ls.to == nil {
			ls.to = map[proxy.Place]*leg{}
		}
		who.Session += ":P" + strconv.Itoa(len(ls.to)+1)
		l = &leg{f: f, place: place, who: who}
		ls.to[place] = l
	}
	return l
}

// reset ends the transaction on all of them.
func (ls *legs) reset() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.to {
		l.reset()
	}
}

// close ends them: the session is over, or its client is another one now.
func (ls *legs) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.to {
		l.close()
	}
	ls.to = nil
}

// proxied is a recipient that a backend is asked for.
type proxied struct {
	leg   *leg
	from  proxy.Sender
	to    proxy.Recipient
	known chan struct{} // closed when reply is there
	reply lmtpproto.Reply
}

// errLoop says that the message has been handed on too often, or comes back.
var errLoop = errors.New("proxying loops")

// route is what a session knows of itself when a recipient is looked up.
type route struct {
	params authproto.Params
	own    netip.AddrPort // our end of its connection
	from   proxy.Sender
	who    proxy.Client
	legs   *legs
}

func (s *session) route(params authproto.Params) route {
	return route{
		params: params, own: s.peer.own, legs: &s.legs,
		from: proxy.Sender{From: s.tx.from, EightBit: s.tx.eightBit, UTF8: s.tx.utf8, Size: s.tx.size},
		who: proxy.Client{Addr: s.peer.addr, Helo: s.helo, Proto: s.proto, Login: s.login, Session: s.id,
			TTL: s.ttl - 1, Timeout: s.timeout},
	}
}

// remote finds where a recipient's mail is, by the passdb. done is false for a
// recipient of this host.
func (f *Front) remote(ctx context.Context, at route, r *rcpt, name string) (done bool) {
	fields, err := f.Users.Pass(ctx, name, at.params)
	if errors.Is(err, authproto.ErrNotFound) {
		return false // the userdb may know
	}
	var place proxy.Place
	far := true
	if err == nil {
		place, far, err = proxy.PlaceOf(fields, at.own.Port())
	}
	if err == nil && far {
		far, err = f.leaves(place, at, fields)
	}
	switch {
	case err == nil && !far:
		return false
	case errors.Is(err, errLoop):
		// Temporary, unlike Dovecot's 554: it is the postmaster's slip, and the mail
		// is deliverable once that is mended.
		f.Log(logline.Error, r.Session, name, err.Error())
		r.reply = withAddress(r.To, lmtpproto.Reply{Code: 451, Enhanced: "4.4.6", Text: "Proxying appears to be looping"})
		return true
	case err != nil:
		f.Log(logline.Error, r.Session, name, err.Error())
		r.reply = withAddress(r.To, tempfail)
		return true
	}
	r.proxied = &proxied{leg: at.legs.leg(f, place, at.who), from: at.from, to: destination(r, name, fields), known: make(chan struct{})}
	r.reply = r.proxied.leg.rcpt(r)
	return true
}

// leaves tells whether a place is another one than this.
func (f *Front) leaves(place proxy.Place, at route, fields map[string]string) (bool, error) {
	switch _, maybe := fields["proxy_maybe"]; {
	case place.Here(at.own) && maybe:
		return false, nil
	case place.Here(at.own):
		return false, fmt.Errorf("%w: %s is this listener", errLoop, place.Address)
	case at.who.TTL < 0:
		return false, fmt.Errorf("%w: TTL=0", errLoop)
	}
	return true, nil
}

// destination is the recipient as the backend has it: another one where the
// passdb names it, and then with the original beside it.
func destination(r *rcpt, name string, fields map[string]string) proxy.Recipient {
	to := proxy.Recipient{To: r.To, ORCPT: r.ORCPT}
	other := fields["destuser"]
	if other == "" && !strings.EqualFold(fields["user"], name) {
		other = fields["user"]
	}
	if other == "" {
		return to
	}
	if to.ORCPT == "" {
		to.ORCPT = string(lmtpproto.AppendXtext([]byte("rfc822;"), r.To.String()))
	}
	at := strings.LastIndexByte(other, '@')
	if at < 0 {
		to.To = lmtpproto.Path{Local: other}
	} else {
		to.To = lmtpproto.Path{Local: other[:at], Domain: other[at+1:]}
	}
	return to
}

// rcpt has the backend asked, together with whoever else waits, and gives the reply.
func (l *leg) rcpt(r *rcpt) lmtpproto.Reply {
	l.mu.Lock()
	l.queue = append(l.queue, r)
	if !l.working {
		l.working = true
		go l.work()
	}
	l.mu.Unlock()
	<-r.proxied.known // which has an end in time, by work
	return r.proxied.reply
}

// work sends what is queued, as long as more comes. What was queued while the
// connection was made, or while the backend answered, goes out in one piece.
func (l *leg) work() {
	ctx, cancel := l.f.deliveryContext(0)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		l.mu.Unlock()
		l.connect(ctx)
		l.mu.Lock()
		some := l.queue
		l.queue = nil
		l.mu.Unlock()
		replies := l.ask(ctx, some)
		l.mu.Lock()
		for i, r := range some {
			if l.broken != nil {
				r.proxied.reply = l.failed(r, "connect", l.broken)
			} else {
				r.proxied.reply = l.toRcpt(r, replies[i])
			}
			close(r.proxied.known)
		}
	}
	l.working = false
	if l.deserted {
		l.leave()
	}
}

func (l *leg) connect(ctx context.Context) {
	if l.conn == nil && l.broken == nil {
		l.conn, l.broken = l.f.Proxy.Open(ctx, l.place, l.who)
	}
}

// ask sends recipients over the connection. One that was used before may have
// been closed meanwhile: another is tried, for no recipient of this transaction
// can have been taken over the old one.
func (l *leg) ask(ctx context.Context, some []*rcpt) (replies []lmtpproto.Reply) {
	to := make([]proxy.Recipient, len(some))
	for i, r := range some {
		to[i] = r.proxied.to
	}
	for l.broken == nil {
		old := l.conn.Used && !l.begun
		if !l.begun {
			l.conn.Mail(some[0].proxied.from)
		}
		replies, err := l.conn.Rcpt(ctx, to)
		if err == nil {
			l.begun = true
			return replies
		}
		l.leave()
		if l.broken = err; old {
			l.broken = nil
			l.connect(ctx)
		}
	}
	return nil
}

// toRcpt is our reply to RCPT where the backend has given its own. The lock is held.
func (l *leg) toRcpt(r *rcpt, reply lmtpproto.Reply) lmtpproto.Reply {
	if reply.Ok() {
		l.accepted = append(l.accepted, r)
		return lmtpproto.Reply{Code: 250, Enhanced: "2.1.5", Text: "OK"}
	}
	reply, err := believable(reply)
	if err != nil {
		return l.failed(r, "RCPT", err)
	}
	return withAddress(r.To, reply)
}

// failed logs why a backend did not answer, and gives the reply for that.
func (l *leg) failed(r *rcpt, when string, err error) lmtpproto.Reply {
	l.f.Log(logline.Error, r.Session, r.proxied.to.To.String(), "proxy to "+l.place.Address+": "+err.Error())
	text := "Proxy failed (" + when + ", session=" + r.Session + ")"
	if isTimeout(err) {
		text = "Remote server not answering (" + when + ")"
	}
	return withAddress(r.To, lmtpproto.Reply{Code: 451, Enhanced: "4.4.0", Text: text})
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// message hands the message on, and ends each recipient's delivery with its
// reply. The last of them lets the session go on: nothing is touched after it.
func (l *leg) message(ctx context.Context, msg *message, of map[*rcpt]*delivery) {
	l.mu.Lock()
	accepted, conn := l.accepted, l.conn
	l.begun, l.accepted = false, nil
	l.mu.Unlock()
	n, began, said := len(accepted), time.Now(), 0
	end := func(i int, reply lmtpproto.Reply) {
		of[accepted[i]].reply = reply
		close(of[accepted[i]].done)
	}
	err := conn.Message(ctx, io.NewSectionReader(spoolReader(msg.fd), 0, msg.size), msg.size, n, func(i int, reply lmtpproto.Reply) {
		said++
		r := accepted[i]
		reply, err := believable(reply)
		if err != nil {
			end(i, l.failed(r, "message", err))
			return
		}
		l.f.Log(logline.Info, r.Session, r.proxied.to.To.String(), fmt.Sprintf("Sent message to <%s> at %s: %d %s %s (%d/%d at %d ms)",
			r.proxied.to.To, l.place.Address, reply.Code, reply.Enhanced, reply.Text, i+1, n, time.Since(began).Milliseconds()))
		if reply.Ok() {
			reply = lmtpproto.Reply{Code: 250, Enhanced: "2.0.0", Text: r.Session + " Saved"}
		}
		end(i, withAddress(r.To, reply))
	})
	if err != nil {
		l.mu.Lock()
		l.leave()
		l.mu.Unlock()
	}
	for i := said; i < n; i++ {
		end(i, l.failed(accepted[i], "waiting for reply to DATA", err))
	}
}

// spoolReader reads a spool without moving its position: workers share it.
type spoolReader int

func (fd spoolReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := unix.Pread(int(fd), p, at)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return max(n, 0), err
}

// reset forgets the transaction. A backend that was in the middle of one is left.
func (l *leg) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working {
		return // the session is lost, and close comes next
	}
	if l.begun {
		l.leave()
	}
	l.begun, l.accepted, l.broken = false, nil, nil
}

// close ends the connection, or has it ended by who works on it.
func (l *leg) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.working {
		l.deserted = true
		return
	}
	l.leave()
}

// leave closes the connection. The lock is held, or work is under way.
func (l *leg) leave() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}
