package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
	"culver/internal/maillog/logline"
)

const (
	// ticketTimeout bounds what auth may take for one ticket.
	ticketTimeout = 20 * time.Second
	// ticketAge is when a ticket that was not used yet is fetched anew: auth forgets
	// it after ten seconds.
	ticketAge = 5 * time.Second
)

// errRefused is an answer of auth's that lets nobody in. All else that goes wrong
// says nothing about the password.
var errRefused = errors.New("authentication failed")

// refusedLogin is auth's word on it.
type refusedLogin struct{ *authproto.Refused }

func (refusedLogin) Is(target error) bool { return target == errRefused }

// principal is who logged in on a session: auth's end of it gives a ticket for
// each command, as far as that one's reach goes. It ends with the session.
type principal struct {
	auth  *authproto.Login
	id    uint32 // of the login, at auth
	name  string
	spent bool // auth is gone, and the login with it
}

// leave is auth's for one command on one user's mail.
type leave struct {
	user   string // canonical where a ticket gives it
	ticket string // "" on the local class, which needs none
	since  time.Time
}

// login has auth judge one line of the client's. The password goes there and
// stays nowhere.
func (s *session) login(line string) (*principal, error) {
	response, err := plain(line)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	ctx, done := s.helloContext()
	defer done()
	release, err := s.front.turns.take(ctx, s.peer.name)
	if err != nil {
		return nil, errors.New("others from there are still being judged")
	}
	defer release()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.front.AuthSocket)
	if err != nil {
		return nil, err
	}
	auth, err := authproto.OpenLogin(ctx, conn)
	if err != nil {
		return nil, err
	}
	ok, err := auth.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN", Params: s.params(), Extra: s.extra(), Initial: response})
	var no *authproto.Refused
	switch {
	case errors.As(err, &no):
		auth.Close()
		return nil, refusedLogin{no}
	case err != nil:
		auth.Close()
		return nil, err
	}
	return &principal{auth: auth, id: ok.ID, name: ok.User}, nil
}

// plain reads the one kind of line that there is (spec/doveadm.md 1.4).
func plain(line string) ([]byte, error) {
	text, ok := strings.CutPrefix(line, "PLAIN\t")
	if !ok {
		return nil, errors.New("no PLAIN where it was due")
	}
	response, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("PLAIN with broken base64")
	}
	// As in Dovecot: whom a command is for, it says itself.
	if len(response) > 0 && response[0] != 0 {
		return nil, errors.New("PLAIN with an authorization identity")
	}
	return response, nil
}

// helloContext ends when the time to say who one is does, or the house closes.
func (s *session) helloContext() (context.Context, func()) {
	ctx, stop := context.WithDeadline(context.Background(), s.conn.by)
	go func() {
		select {
		case <-s.front.house.closing:
			stop()
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}

// params tell auth who asks, and from where.
func (s *session) params() authproto.Params {
	p := authproto.Params{Service: "doveadm", Session: s.id}
	p.RemoteIP, p.RemotePort, _ = net.SplitHostPort(s.conn.RemoteAddr().String())
	p.LocalIP, p.LocalPort, _ = net.SplitHostPort(s.conn.LocalAddr().String())
	return p
}

// extra says whether the password came over a line that nobody else reads.
func (s *session) extra() []string {
	if s.tls == nil {
		return nil
	}
	return []string{"secured=tls"}
}

// newID names a session in our log and in auth's: with 64 random bits no two have
// one name.
func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// getLeaves asks auth for all users whose mail the command needs, before a worker is
// asked for: two halves of a copy are both within reach, or there is no copy.
func (r *run) getLeaves(users []string) error {
	for _, user := range users {
		l := leave{user: user}
		if err := r.renew(&l); err != nil {
			return err
		}
		r.leaves = append(r.leaves, l)
	}
	return nil
}

// renew fetches a ticket, unless there is one that auth still knows.
func (r *run) renew(l *leave) error {
	p := r.s.principal
	if p == nil || l.ticket != "" && time.Since(l.since) < ticketAge {
		return nil
	}
	l.since = time.Now()
	// Not the command's own context: a cancel in the middle would cost the login.
	ctx, stop := context.WithTimeout(context.Background(), ticketTimeout)
	defer stop()
	t, err := p.auth.Ticket(ctx, p.id, l.user, r.names)
	if err == nil {
		l.user, l.ticket = t.User, t.Text
		return nil
	}
	var no *authproto.Refused
	var later *authproto.Tempfail
	switch {
	case errors.Is(err, authproto.ErrNotFound):
		r.failFor(l.user, doveadmproto.NoUser, "User doesn't exist", logline.Warn)
	case errors.As(err, &no):
		r.failFor(l.user, doveadmproto.NoPerm, no.Reason, logline.Warn)
	case errors.As(err, &later) && later.Err != nil:
		p.spent = true
		r.failFor(l.user, doveadmproto.TempFail, "auth is gone, and the login with it: connect again ("+later.Error()+")", logline.Error)
	default:
		r.failFor(l.user, doveadmproto.TempFail, err.Error(), logline.Error)
	}
	return err
}

// ended tells auth what became of the command, for its record.
func (r *run) ended() {
	p := r.s.principal
	if p == nil || p.spent {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), ticketTimeout)
	defer stop()
	for _, l := range r.leaves {
		if p.auth.Ended(ctx, p.id, l.user, r.code, r.names) != nil {
			p.spent = true
		}
	}
}
