package attempt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/reach"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// actAs ends the login of a master user, whose password was right, for a target.
func (a *Attempt) actAs(ctx context.Context, master passdb.Verdict) (Result, error) {
	leave, err := reach.Parse(master.Fields)
	if err != nil {
		return Result{}, notAllowed("the entry of %q: %v", master.User, err)
	}
	target := master.Login // of the field login_user, or the client's
	if target != a.claim.target {
		if target, err = a.judge.Names.Canonical(target); err != nil {
			return Result{}, notAllowed("field login_user: %v", err)
		}
	}
	if err := leave.Allows(target, a.client.Service, a.client.RemoteIP, a.judge.now()); err != nil {
		return Result{}, notAllowed("%v", err)
	}
	v := a.client.Values
	v.User, v.OrigUser, v.LoginUser = target, a.claim.given, ""
	v.MasterUser, v.AuthUser = master.User, master.User
	final, fields, err := a.judge.target(ctx, &v, master, leave)
	if err != nil {
		return Result{}, err
	}
	for _, key := range [...]string{"nologin", "proxy"} {
		if _, ok := fields.Get(key); ok && a.client.OnlyOK {
			return Result{}, notAllowed("target %q has the field %s", final, key)
		}
	}
	return Result{User: final, Original: a.claim.given, AuthUser: master.User, Master: master.User, Fields: fields}, nil
}

// target looks the target up. There has to be such a user, whatever the master's
// passdb says to a success: an SMTP server would take mail in the name of one
// who does not exist (spec/auth.md 9.4). Its own entry counts as if it logged in
// itself, but for the password.
func (j *Judge) target(ctx context.Context, v *vars.Values, master passdb.Verdict, leave reach.Reach) (string, field.List, error) {
	// The bounds are of the one entry that they are in.
	var given field.List
	for _, f := range master.Fields {
		if !strings.HasPrefix(f.Key, "allow_") {
			given = append(given, f)
		}
	}
	said, err := j.Passwords.Run(ctx, passdb.Query{Values: v, Want: passdb.WantFields, Fields: given})
	if err == nil {
		err = j.expired(said.Fields)
	} else if !master.Continue && (errors.Is(err, userdb.ErrUnknown) || errors.Is(err, passdb.ErrNoLookup)) {
		// No entry, or one that keeps this client out?
		if there := j.Passwords.Exists(ctx, v); errors.Is(there, userdb.ErrUnknown) || errors.Is(there, passdb.ErrNoLookup) {
			said, err = passdb.Verdict{User: v.User, Fields: given}, nil
		} else if there != nil {
			err = there
		}
	}
	switch {
	case errors.Is(err, passdb.ErrDisabled), errors.Is(err, passdb.ErrExpired):
		return "", nil, notAllowed("target %q: %v", v.User, err)
	case err != nil:
		return "", nil, fmt.Errorf("target %q: %w", v.User, err)
	case !leave.AllowsUser(said.User):
		return "", nil, notAllowed("target %q is %q, whom allow_users does not cover", v.User, said.User)
	}
	mail := *v
	mail.User = said.User
	fields, err := j.Users.Login(ctx, &mail, said.Fields)
	name, renamed := fields.Get("user")
	switch {
	case errors.Is(err, userdb.ErrUnknown) && j.named(&mail): // it is one without mail
	case err != nil:
		return "", nil, fmt.Errorf("target %q: %w", v.User, err)
	case renamed && !leave.AllowsUser(name):
		return "", nil, notAllowed("the mail of target %q is that of %q, whom allow_users does not cover", v.User, name)
	}
	return said.User, said.Fields, nil
}

// named says whether a passdb has the user by name. The yes of one that cannot
// list its users, as the driver static, may be everybody's.
func (j *Judge) named(v *vars.Values) bool {
	for _, l := range j.Passwords.Links {
		if l.Lister != nil && !l.Deny && l.Filter.Has(v.User) && l.Lister.Names(v) {
			return true
		}
	}
	return false
}
