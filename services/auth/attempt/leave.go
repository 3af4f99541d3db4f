package attempt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"culver/internal/authproto"
	"culver/services/auth/ticket"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Ticket gives leave for one access to the target's mail by commands, on behalf
// of who has logged in as a principal: the ticket's text, and the canonical name
// that it is for. The error is userdb.ErrUnknown, a *Refusal with CodeOutOfReach
// whose reason may be shown, or temporary. Who may not reach a user does not learn
// either whether there is one.
func (j *Judge) Ticket(ctx context.Context, v vars.Values, who Result, target string, commands []string) (text, user string, err error) {
	user = target
	defer func() {
		r := Record{
			Event: "ticket", Principal: who.User, Target: user, Command: strings.Join(commands, ","),
			Service: v.Service, RemoteIP: v.RemoteIP, Session: v.Session,
		}
		r.Result, r.Reason = outcome(err)
		j.record(r)
	}()
	name, err := j.Names.Canonical(target)
	switch {
	case err != nil && who.Reach.Bounded():
		return "", "", outOfReach(target, err.Error())
	case err != nil:
		return "", "", fmt.Errorf("%w: %v", userdb.ErrUnknown, err)
	}
	user = name
	if err := j.covers(v, who, user, commands); err != nil {
		return "", user, err
	}
	v.User, v.OrigUser, v.LoginUser, v.AuthUser, v.MasterUser = user, target, "", who.User, who.User
	fields, err := j.Users.Lookup(ctx, &v)
	if err != nil {
		return "", user, err
	}
	// The mail is that of the name which the userdb gives.
	mail, renamed := fields.Get("user")
	switch {
	case !renamed:
		mail = user
	case !who.Reach.AllowsUser(mail):
		return "", user, outOfReach(user, "its mail is another user's, whom allow_users does not cover")
	}
	text, err = j.Tickets.Issue(ticket.Ticket{
		Principal: who.User, User: user, Mail: mail, Commands: commands, Session: v.Session, RemoteIP: v.RemoteIP,
	})
	return text, user, err
}

// covers says whether the reach covers each of the commands.
func (j *Judge) covers(v vars.Values, who Result, user string, commands []string) error {
	if len(commands) == 0 || len(commands) > authproto.MaxCommands {
		return outOfReach(user, fmt.Sprintf("%d commands, want 1 to %d", len(commands), authproto.MaxCommands))
	}
	// Names that are no command's would keep the one that is meant out of the record.
	if len(strings.Join(commands, ",")) > maxValue {
		return outOfReach(user, fmt.Sprintf("more commands than the record has room for, which is %d bytes", maxValue))
	}
	for _, c := range commands {
		if j.Commands != nil && !slices.Contains(j.Commands, c) {
			return outOfReach(user, "doveadm_allowed_commands does not have "+c)
		}
		if err := who.Reach.Allows(user, c, v.RemoteIP, j.now()); err != nil {
			return outOfReach(user, err.Error())
		}
	}
	return nil
}

func outOfReach(user, reason string) error {
	reason = authproto.Clean(reason)
	return &Refusal{Code: CodeOutOfReach, Reason: reason, User: user, Err: notAllowed("%s", reason)}
}

// Redeem uses a ticket up, and gives what it is worth if it is one for the user.
// The error is ticket.ErrNone.
func (j *Judge) Redeem(text, user string) (ticket.Ticket, error) {
	t, err := j.Tickets.Redeem(text, user)
	r := Record{
		Event: "redeem", Result: ResultOK, Principal: t.Principal, Target: user,
		Command: strings.Join(t.Commands, ","), RemoteIP: t.RemoteIP, Session: t.Session,
	}
	if err != nil {
		r.Result, r.Reason = ResultRefused, err.Error()
		if t.User != user && t.User != "" {
			r.Reason = "it is a ticket for " + t.User
		}
	}
	j.record(r)
	return t, err
}
