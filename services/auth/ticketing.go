package auth

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/services/auth/attempt"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Tickets (design 5). A client of the role doveadm is a front for somebody who
// has logged in over it, and it may have been taken over: nothing of what it says
// counts but that login. For each command it needs a ticket:
//
//	TICKET id login target command...
//	    TICKET id text user=name | NOTFOUND id | FAIL id [code=] reason=
//	ENDED id login user code command...
//	    has no answer; it is for the record
//
// and the master, who makes the worker, asks what the ticket is worth, over the
// connection that he made himself:
//
//	REDEEM id text user service=
//	    REDEEM id principal command,... name field... | NOTFOUND id | FAIL id [code=bad_ticket]
//
// All of it is on record, refusals included.

// masterRole is that of the connection which the master made. No listener has it.
func masterRole() Role {
	r := MasterRole()
	r.Commands = maps.Clone(r.Commands)
	r.Commands["REDEEM"] = (*conn).redeem
	return r
}

// ticket answers TICKET.
func (c *clientConn) ticket(f []string) error {
	if c.role.Finish != byTicket {
		return fmt.Errorf("%w: TICKET on a %s listener", errInput, c.role.Name)
	}
	id, err := parseID(f)
	if err != nil {
		return err
	}
	l := c.holder(f[1:])
	switch {
	case l == nil:
		c.fail(id, "temp_fail", "reason=Nobody is logged in here by that number")
		return nil
	case len(f) < 4 || len(f)-3 > authproto.MaxCommands || slices.ContainsFunc(f[3:], noCommand):
		c.fail(id, "", "reason=A ticket is for a user and some commands")
		return nil
	}
	ctx, cancel := c.lookupContext()
	defer cancel()
	text, user, err := c.Judge.Ticket(ctx, l.values, l.result, f[2], distinct(f[3:]))
	var no *attempt.Refusal
	var later *userdb.Refused
	switch {
	case err == nil:
		l.tickets++
		c.send("TICKET", f[0], text, "user="+user)
	case errors.As(err, &no) && no.Code == attempt.CodeOutOfReach:
		c.fail(id, no.Code, "reason="+no.Reason)
	case errors.Is(err, userdb.ErrUnknown):
		c.send("NOTFOUND", f[0])
	case errors.As(err, &later) && later.Reason != "":
		c.fail(id, "temp_fail", "reason="+later.Reason)
	default:
		c.Logf(logline.Error, user, "ticket for %q: %v: temporary failure", user, err)
		c.fail(id, "temp_fail", "reason="+internalFailure)
	}
	return nil
}

func noCommand(name string) bool { return !authproto.ValidCommand(name) }

// holder finds a login by its number.
func (c *clientConn) holder(f []string) *login {
	id, err := parseID(f)
	if err != nil {
		return nil
	}
	return c.loggedIn(id)
}

// distinct gives each command once.
func distinct(commands []string) (all []string) {
	for _, c := range commands {
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// ended takes a front's word on how a command ended, as often as there were
// tickets and for what is in reach: it shall fill no record, nor invent one.
func (c *clientConn) ended(f []string) error {
	if c.role.Finish != byTicket {
		return fmt.Errorf("%w: ENDED on a %s listener", errInput, c.role.Name)
	}
	if _, err := parseID(f); err != nil {
		return err
	}
	l := c.holder(f[1:])
	if l == nil || l.tickets == 0 || len(f) < 5 {
		return nil
	}
	far := l.result.Reach
	if !far.AllowsUser(f[2]) || slices.ContainsFunc(f[4:], func(name string) bool { return !far.AllowsCommand(name) }) {
		return nil // there was no ticket for that
	}
	l.tickets--
	if c.Audit == nil {
		return nil
	}
	r := attempt.Record{Time: time.Now(), Event: "end", Result: attempt.ResultOK, Principal: l.result.User, Target: f[2],
		Command: strings.Join(f[4:], ","), Service: l.values.Service, RemoteIP: l.values.RemoteIP, Session: l.values.Session}
	if code, err := strconv.Atoi(f[3]); err != nil || code != 0 {
		r.Result, r.Reason = attempt.ResultFailed, "the front says that it ended with "+strconv.Itoa(code)
	}
	c.Audit(r)
	return nil
}

// redeem answers REDEEM.
func (c *conn) redeem(r *request) error {
	if len(r.Args) < 2 {
		return fmt.Errorf("%w: REDEEM without a ticket or a user", errInput)
	}
	t, err := c.Judge.Redeem(r.Args[0], r.Args[1])
	if err != nil {
		c.reply(r, "FAIL", "code="+authproto.CodeTicket)
		return nil
	}
	r.name, r.vars = t.User, vars.Values{User: t.User, Service: "doveadm", RemoteIP: t.RemoteIP, Session: t.Session}
	ctx, cancel := c.lookupContext()
	defer cancel()
	name := t.User
	fields, err := c.Users.Lookup(ctx, &r.vars)
	if err == nil {
		name, fields, err = rename(name, fields)
	}
	if err != nil {
		c.refuse(r, err)
		return nil
	}
	if name != t.Mail {
		// The file has changed since, or the front said of the login what the userdb
		// answers by: the reach was held against another user's mail.
		c.Logf(logline.Error, t.User, "ticket of %q for %q: it was for the mail of %q, which is that of %q now: refused", t.Principal, t.User, t.Mail, name)
		c.reply(r, "FAIL", "code="+authproto.CodeTicket)
		return nil
	}
	c.reply(r, "REDEEM", append([]string{t.Principal, strings.Join(t.Commands, ","), name}, fields.Wire()...)...)
	return nil
}
