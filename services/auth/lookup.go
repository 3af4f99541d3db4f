package auth

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/services/auth/aside"
	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/passwdfile"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// lookupContext bounds one lookup (auth_lookup_timeout). A source in memory needs
// no bound, and a timer would cost as much as its answer.
func (s *Server) lookupContext() (context.Context, context.CancelFunc) {
	if s.LookupTimeout <= 0 || !s.Slow {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), s.LookupTimeout)
}

// user answers USER (spec/auth.md 2.3).
func (c *conn) user(r *request) error {
	name, known, err := c.begin(r)
	if err != nil || !known {
		return err
	}
	c.lookup(func() { c.answerUser(r, name) })
	return nil
}

func (c *conn) answerUser(r *request, name string) {
	ctx, cancel := c.lookupContext()
	defer cancel()
	fields, err := c.Users.Lookup(ctx, &r.vars)
	if err != nil {
		c.refuse(r, err)
		return
	}
	if uid, _ := fields.Get("uid"); c.peer.restricted && uid != strconv.FormatUint(uint64(c.peer.uid), 10) {
		c.reply(r, "FAIL")
		return
	}
	if name, fields, err = rename(name, fields); err != nil {
		c.refuse(r, err)
		return
	}
	c.replyFields(r, "USER", []string{name}, fields)
}

// pass answers PASS (spec/auth.md 2.4). The password stays here.
func (c *conn) pass(r *request) error {
	name, known, err := c.begin(r)
	if err != nil || !known {
		return err
	}
	if c.peer.restricted {
		c.reply(r, "FAIL")
		return nil
	}
	c.lookup(func() { c.answerPass(r, name) })
	return nil
}

func (c *conn) answerPass(r *request, name string) {
	ctx, cancel := c.lookupContext()
	defer cancel()
	v, err := c.Passwords.Run(ctx, passdb.Query{Values: &r.vars, Want: passdb.WantEntry, Fields: r.forward})
	fields := v.Fields
	if err == nil {
		name, fields, err = rename(v.User, fields)
	}
	if err != nil {
		c.refuse(r, err)
		return
	}
	if _, wait := named(fields); wait && !c.Slow {
		// A name server may take its time; who asks behind it shall not wait.
		c.beside(func() { c.replyPass(r, name, fields) })
		return
	}
	c.replyPass(r, name, fields)
}

func (c *conn) replyPass(r *request, name string, fields field.List) {
	fields, err := c.hosts.complete(context.Background(), fields)
	if err != nil {
		c.refuse(r, err)
		return
	}
	args := []string{"user=" + name}
	for _, f := range fields {
		// To log in on another host as the user is the business of whoever has the
		// user's own word; the fronts only need to know where that host is.
		remote := (f.Key == "pass" || f.Key == "master") && c.role.Name == "userdb"
		if !hidden(f.Key) && !remote {
			args = append(args, f.Wire())
		}
	}
	c.reply(r, "PASS", args...)
}

// begin reads what USER and PASS have in common. known is false when the
// request is answered already.
func (c *conn) begin(r *request) (name string, known bool, err error) {
	service, ok := r.Service()
	if len(r.Args) == 0 || !ok {
		return "", false, fmt.Errorf("%w: %s without user or service", errInput, r.Command)
	}
	r.name = r.Args[0]
	name, err = c.Names.Canonical(r.name)
	if err != nil {
		c.Logf(logline.Info, "", "user %q is unknown: %v", r.name, err)
		c.reply(r, "NOTFOUND")
		return "", false, nil
	}
	r.vars = vars.Values{User: name, OrigUser: r.name, Service: service}
	for _, p := range r.Args[1:] {
		if key, value, valued := strings.Cut(p, "="); key == "forward_fields" {
			r.forward = forwarded(value)
		} else if valued {
			connection(&r.vars, key, value)
		}
	}
	realAddresses(&r.vars)
	return name, true, nil
}

// refuse is the one place where an error of a lookup becomes an answer. Only
// what no source names is unknown; the reasons of all else go to the log.
func (c *conn) refuse(r *request, err error) {
	var refused *userdb.Refused
	switch {
	case errors.Is(err, userdb.ErrUnknown), errors.Is(err, passdb.ErrDisabled), errors.Is(err, passdb.ErrExpired):
		c.reply(r, "NOTFOUND")
	case errors.As(err, &refused):
		c.fail(r, refused.Reason)
	case errors.Is(err, passdb.ErrNoLookup):
		c.fail(r, err.Error())
	case errors.Is(err, passwdfile.ErrStale):
		c.reply(r, "FAIL") // the file's own complaint is in the log, once
	default:
		c.Logf(logline.Error, r.vars.User, "user %q: %v: temporary failure", r.vars.User, err)
		c.reply(r, "FAIL")
	}
}

func (c *conn) fail(r *request, reason string) {
	if reason == "" {
		c.reply(r, "FAIL")
		return
	}
	c.reply(r, "FAIL", "reason="+reason)
}

// rename applies a field "user" of the source. Postfix and Exim do not unescape
// a name, so one that needs it never leaves.
func rename(name string, fields field.List) (string, field.List, error) {
	other, ok := fields.Get("user")
	if !ok {
		return name, fields, nil
	}
	fields.Remove("user")
	if !authproto.ValidUser(other) {
		return "", nil, fmt.Errorf("field user=%q is no user name", other)
	}
	return other, fields, nil
}

// list answers LIST (spec/auth.md 2.6) as it reads the sources, so memory does
// not grow with the users; a client that reads slowly slows it down. A missing
// mask means everybody.
func (c *conn) list(r *request) error {
	if c.peer.restricted {
		c.reply(r, "DONE", "fail")
		return nil
	}
	mask, ok := r.Param(0, "user")
	if !ok {
		mask = "*"
	}
	service, _ := r.Service()
	canon := func(name string) (string, bool) {
		name, err := c.Names.Canonical(name)
		return name, err == nil
	}
	values := func(name string) *vars.Values { return &vars.Values{User: name, Service: service} }
	var err error
	aside.Run(func() {
		err = c.Users.Each(context.Background(), canon, values, func(name string) error {
			if !authproto.MatchMask(mask, name) {
				return nil
			}
			return c.listed(r, name)
		})
	})
	var lost *lostError
	switch {
	case errors.As(err, &lost):
		return lost.err
	case err != nil:
		c.Logf(logline.Error, "", "list of users is not complete: %v", err)
		c.reply(r, "DONE", "fail")
	default:
		c.reply(r, "DONE", "")
	}
	return nil
}

// lostError says that the client went away in the middle of its list.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }

func (c *conn) listed(r *request, name string) error {
	if err := c.room(); err != nil {
		return &lostError{err}
	}
	c.reply(r, "LIST", name)
	return nil
}
