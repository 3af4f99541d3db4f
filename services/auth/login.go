package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Ways in which a login goes on after OK.
const (
	byRequest = "REQUEST" // the mail process finishes it on the master socket
	byTicket  = "TICKET"  // it lives as long as its connection
)

// login is an AUTH that succeeded, on a connection where more follows.
type login struct {
	asked
	result Result
	timer  *time.Timer // nil: it lives as long as the connection

	tickets int // given out whose ENDED has not come; the reading goroutine's
}

// keep has a login wait for what follows. The mutex is held.
func (c *clientConn) keep(x *exchange, a verdict) {
	l := &login{asked: x.asked, result: a.result}
	if c.role.Finish == byRequest {
		l.timer = time.AfterFunc(requestLifetime, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.logins[x.id] == l {
				c.forget(x.id)
			}
		})
	}
	c.forget(x.id)
	c.logins[x.id] = l
	c.requests.Add(1)
}

// forget drops a login, if there is one. The mutex is held.
func (c *clientConn) forget(id uint32) {
	l := c.logins[id]
	if l == nil {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	delete(c.logins, id)
	c.requests.Add(-1)
}

// take gives a login to the one who finishes it, once.
func (c *clientConn) take(id uint32) *login {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logins[id]
	c.forget(id)
	return l
}

// loggedIn gives a login that lives as long as its connection.
func (c *clientConn) loggedIn(id uint32) *login {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins[id]
}

// registry has the login connections of all listeners by what they say their
// process is. Several may say the same: the cookie, which only the server and
// that one client know, tells them apart, so nobody gains by saying another's,
// as one who comes first does with Dovecot.
type registry struct {
	mu  sync.Mutex
	all map[uint32][]*clientConn
}

func (r *registry) add(c *clientConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[uint32][]*clientConn{}
	}
	r.all[c.cpid] = append(r.all[c.cpid], c)
}

func (r *registry) remove(c *clientConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.all[c.cpid], func(other *clientConn) bool { return other == c })
	if len(left) == 0 {
		delete(r.all, c.cpid)
		return
	}
	r.all[c.cpid] = left
}

// find gives the connection of that process and cookie.
func (r *registry) find(cpid uint32, cookie string) *clientConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all[cpid] {
		if subtle.ConstantTimeCompare([]byte(c.cookie), []byte(cookie)) == 1 {
			return c
		}
	}
	return nil
}

// finishLogin answers REQUEST (spec/auth.md 2.5): the process that serves the
// mail asks whose it is. Every failure looks the same, and uses the login up.
func (c *conn) finishLogin(r *request) error {
	if len(r.Args) < 3 {
		return fmt.Errorf("%w: REQUEST without its arguments", errInput)
	}
	cpid, err1 := strconv.ParseUint(r.Args[0], 10, 32)
	id, err2 := strconv.ParseUint(r.Args[1], 10, 32)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%w: REQUEST of no process or request", errInput)
	}
	front := c.registry.find(uint32(cpid), r.Args[2])
	if front == nil {
		c.reply(r, "FAIL")
		return nil
	}
	l := front.take(uint32(id))
	session, named := r.Param(3, "session_pid")
	if l == nil || named && session != strconv.Itoa(int(c.peer.pid)) {
		c.reply(r, "FAIL")
		return nil
	}
	c.lookup(func() { c.answerLogin(r, l, session) })
	return nil
}

// answerLogin tells who has logged in, and whose files the mail is in.
func (c *conn) answerLogin(r *request, l *login, session string) {
	r.name, r.vars = l.result.User, l.values
	r.vars.User, r.vars.OrigUser = l.result.User, l.result.Original
	r.vars.MasterUser, r.vars.AuthUser = l.result.Master, l.result.AuthUser
	ctx, cancel := c.lookupContext()
	defer cancel()
	fields, err := c.Users.Login(ctx, &r.vars, l.result.Fields)
	if err != nil {
		c.refuse(r, err)
		return
	}
	name, fields, err := rename(l.result.User, fields)
	if err != nil {
		c.refuse(r, err)
		return
	}
	args := append([]string{name}, fields.Wire()...)
	if l.result.Master != "" {
		args = append(args, "master_user="+l.result.Master)
	}
	args = append(args, "auth_mech="+l.mechanism)
	if l.result.Anonymous {
		args = append(args, "anonymous")
	}
	if _, wanted := r.Param(3, "request_auth_token"); wanted {
		args = append(args, "auth_token="+c.token(session, l.values.Session, l.values.Service, name))
	}
	switch {
	case l.result.AuthUser != "" && l.result.AuthUser != name:
		args = append(args, "auth_user="+l.result.AuthUser)
	case l.result.Original != "" && l.result.Original != name:
		args = append(args, "auth_user="+l.result.Original)
	}
	if l.values.LocalName != "" {
		args = append(args, "local_name="+l.values.LocalName)
	}
	c.reply(r, "USER", args...)
}

// token is what the session may show in place of a password. Unlike in Dovecot
// each part has its length before it, so that no two logins make one text.
func (s *Server) token(parts ...string) string {
	mac := hmac.New(sha256.New, s.secret[:])
	for _, p := range parts {
		binary.Write(mac, binary.BigEndian, uint32(len(p)))
		mac.Write([]byte(p))
	}
	return hex.EncodeToString(mac.Sum(nil)[:20])
}
