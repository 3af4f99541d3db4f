package passdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"culver/internal/password"
	"culver/services/auth/field"
	"culver/services/auth/rule"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Run answers a question (spec/auth.md 6.1). A Verdict comes with an error too:
// its fields nodelay and, where the password was right, reason are for who is
// refused, and with ErrDisabled or ErrExpired of WantCredentials comes what the
// proof needs, after which alone the refusal may be told.
//
// Unlike in Dovecot no rule makes a yes of what no source has said yes to, a
// changed name goes with the source that said no, a name that every
// username_filter leaves out is unknown and no failure, and an entry's deny, lock
// or end is told only to whoever has the password.
func (c Chain) Run(ctx context.Context, q Query) (Verdict, error) {
	r := run{
		Chain: c, Query: q, authenticated: q.Want == WantFields,
		good: Verdict{User: q.Values.User, Login: q.Values.LoginUser, Fields: q.Fields},
	}
	if len(c.Links) == 0 {
		return r.good, ErrNoLookup
	}
	err := r.links(ctx)
	// A failure says already that this is not a wrong password, and while a source
	// is away everybody's takes this way.
	if q.Want == WantPassword && !r.tested && r.broken == nil {
		c.Pool.waste(ctx, q.Password)
	}
	if err == nil {
		err = r.conclude(ctx)
	}
	if err == nil {
		return r.good, nil
	}
	v := Verdict{User: q.Values.User, Login: q.Values.LoginUser, Fields: r.kept}
	if closed(err) {
		v.Stored = r.good.Stored
	}
	return v, err
}

// closed says whether an error is one that only who has the password may know.
func closed(err error) bool { return errors.Is(err, ErrDisabled) || errors.Is(err, ErrExpired) }

// run is one question on its way through the links.
type run struct {
	Chain
	Query
	good          Verdict    // what those who said yes have said
	kept          field.List // what stays of those who said no
	yes           bool       // one has said yes
	verdict       bool       // by the rules, so far
	authenticated bool       // the password is tested no more
	tested        bool       // a test has taken its time
	denied        error      // the user is shut out, whatever the others say
	refused       error      // the reason for a no
	broken        error      // the first that could not tell
	unfinished    string     // the link whose noauthenticate wants another after it
}

// links asks them. An error ends the chain whatever the rules say.
func (r *run) links(ctx context.Context) error {
	asked, filtered := false, 0
	for _, l := range r.Links {
		switch {
		case !l.Filter.Has(r.good.User):
			filtered++
			continue
		case r.skips(l):
			continue
		}
		asked, r.unfinished = true, ""
		if l.Deny {
			if err := r.deny(ctx, l); err != nil {
				return err
			}
			continue
		}
		s, err := r.ask(ctx, l)
		if err != nil {
			err = fmt.Errorf("passdb %q: %w", l.Name, err)
		}
		if err == nil && s.noAuthenticate {
			r.good.User, r.good.Fields, r.unfinished = s.user, s.fields, l.Name
			continue
		}
		answer := r.note(s, err)
		if s.shut {
			return err
		}
		then := l.Rules.After(answer)
		r.verdict = then.Verdict(r.verdict)
		if answer == rule.Yes {
			r.authenticated = r.authenticated || then == rule.Continue || then == rule.ContinueOK
			if r.Masters {
				r.good.Continue = r.authenticated
				r.verdict = r.verdict || then == rule.Continue
				return nil
			}
		}
		if !then.Continues() {
			return nil
		}
	}
	switch {
	case asked:
		return nil
	case filtered == len(r.Links):
		return fmt.Errorf("%w: no passdb has such names by its username_filter", userdb.ErrUnknown)
	}
	return fmt.Errorf("no passdb is asked by %s", r.mechanism())
}

// mechanism is what a link's list of them is compared with.
func (r *run) mechanism() string {
	if r.Values.Mech == "" {
		return "LOOKUP"
	}
	return r.Values.Mech
}

func (r *run) skips(l Link) bool {
	return l.Mechanisms != nil && !slices.Contains(l.Mechanisms, r.mechanism()) ||
		l.Skip == Authenticated && r.authenticated || l.Skip == Unauthenticated && !r.authenticated
}

// values are those that a link sees: the name may have been changed, and what
// was gathered so far can be asked for.
func (r *run) values(fields *field.List) *vars.Values {
	v := *r.Values
	v.User = r.good.User
	before := v.Field
	v.Field = func(db, name string) (string, bool) {
		if db == "passdb" {
			return fields.Get(name)
		}
		if before == nil {
			return "", false
		}
		return before(db, name)
	}
	return &v
}

// deny looks whether a denying link has the user. Who is found still goes through
// the chain: the refusal is for whoever has the password, and for others there
// is to be no difference.
func (r *run) deny(ctx context.Context, l Link) error {
	fields := r.good.Fields
	_, err := r.entry(ctx, l, r.values(&fields))
	switch {
	case errors.Is(err, userdb.ErrUnknown):
		return nil
	case err == nil, errors.Is(err, ErrMismatch), closed(err):
		r.denied = fmt.Errorf("passdb %q: %w: it denies", l.Name, ErrDisabled)
		return nil
	}
	return fmt.Errorf("passdb %q, which denies: %w", l.Name, err)
}

// verifies says whether a link tests the password itself.
func (r *run) verifies(l Link) bool {
	return l.Verifier != nil && r.Want == WantPassword && !r.authenticated && (!l.Deny || l.Source == nil)
}

// entry asks the source.
func (r *run) entry(ctx context.Context, l Link, v *vars.Values) (Entry, error) {
	switch {
	case r.verifies(l):
		r.tested = true // it takes its own time
		return l.Verifier.Verify(ctx, v, r.Password)
	case l.Source == nil:
		return Entry{}, ErrNoLookup
	}
	return l.Source.Lookup(ctx, v)
}

// ask gives what a link says of the user. A yes has no error.
func (r *run) ask(ctx context.Context, l Link) (said, error) {
	base := slices.Clone(r.good.Fields)
	v := r.values(&base)
	if err := l.Defaults.AddTo(&base, v); err != nil {
		return said{}, err
	}
	e, err := r.entry(ctx, l, v)
	s, err := r.judge(ctx, l, v, e, err, base)
	// Stored credentials too: they are proved later, when nobody can ask again.
	if e.Again != nil && (errors.Is(err, ErrMismatch) || r.Want == WantCredentials) {
		e, err = e.Again(ctx)
		s, err = r.judge(ctx, l, v, e, err, base)
	}
	return s, err
}

// judge holds an entry, and what its source says of it, against the question.
func (r *run) judge(ctx context.Context, l Link, v *vars.Values, e Entry, found error, base field.List) (said, error) {
	if found != nil && !closed(found) {
		return said{}, found
	}
	s, err := r.read(l, v, e, base)
	s.shut = found != nil
	if err == nil && !s.noAuthenticate {
		err = r.prove(ctx, l, s)
	}
	if err != nil {
		return s, err
	}
	s.proved = true
	key := allowed(s.fields, v)
	switch {
	case found != nil:
		return s, found
	case s.fail:
		return s, fmt.Errorf("%w: the entry says fail", userdb.ErrUnknown)
	case key != "" && !s.noAuthenticate: // the others' yes is held against it at the end
		return s, fmt.Errorf("%w: %s does not have the client's address", userdb.ErrUnknown, key)
	}
	return s, nil
}

// read makes one list of all that is said, in its order.
func (r *run) read(l Link, v *vars.Values, e Entry, base field.List) (said, error) {
	all := slices.Clone(base)
	if e.Password != "" {
		all.Set(field.Field{Key: "password", Value: e.Password})
	}
	if e.NoPassword {
		all.Set(field.Field{Key: "nopassword", Bare: true})
	}
	for i, f := range e.Fields {
		// The last one counts, and which of two bounds was meant nobody knows.
		if r.Masters && strings.HasPrefix(f.Key, "allow_") && slices.ContainsFunc(e.Fields[:i], func(o field.Field) bool { return o.Key == f.Key }) {
			return said{}, fmt.Errorf("field %s is there twice: want it once, with commas", f.Key)
		}
		all.Set(f)
	}
	if err := l.Overrides.AddTo(&all, v); err != nil {
		return said{}, err
	}
	s := said{user: v.User}
	return s, s.read(all, l.Scheme)
}

// prove says whether an entry's password is what is asked for.
func (r *run) prove(ctx context.Context, l Link, s said) error {
	switch {
	case r.Want == WantEntry, r.authenticated, r.verifies(l):
		return nil
	case s.noPassword && s.password != "":
		return fmt.Errorf("%w: nopassword beside a password", ErrMismatch)
	case r.Want == WantCredentials:
		if !password.Serves(s.password, r.Schemes) {
			return fmt.Errorf("%w: no stored password that %s can use", ErrMismatch, r.mechanism())
		}
		_, err := r.Pool.look(s.password)
		return err
	case s.noPassword:
		return nil
	case s.password == "":
		return fmt.Errorf("%w: the entry has no password", ErrMismatch)
	}
	ok, err := r.Pool.test(ctx, s.password, r.Values.User, r.Password)
	r.tested = r.tested || err == nil
	if err == nil && !ok {
		err = ErrMismatch
	}
	return err
}

// note keeps what is to be kept of a link's answer.
func (r *run) note(s said, err error) rule.Answer {
	if err == nil || closed(err) {
		if r.Want == WantCredentials && r.good.Stored == "" {
			r.good.Stored = s.password
		}
	}
	if err == nil {
		r.yes = true
		r.good.User, r.good.Fields = s.user, s.fields
		if s.login != "" {
			r.good.Login = s.login
		}
		return rule.Yes
	}
	for _, f := range s.fields {
		if f.Key == "nodelay" || f.Key == "reason" && s.proved {
			r.kept.Set(f)
		}
	}
	if errors.Is(err, ErrExpired) {
		r.kept.Set(field.Field{Key: "reason:default", Value: "Password expired"})
	}
	switch {
	case errors.Is(err, ErrMismatch), closed(err):
		r.refused = err
		return rule.No
	case errors.Is(err, ErrNoLookup):
		if !errors.Is(r.refused, ErrMismatch) {
			r.refused = err
		}
		return rule.No
	case errors.Is(err, userdb.ErrUnknown):
		if r.refused == nil {
			r.refused = err
		}
		return rule.No
	}
	if r.broken == nil {
		r.broken = err
	}
	return rule.Broken
}

// conclude gives the end's verdict.
func (r *run) conclude(ctx context.Context) error {
	switch {
	case r.yes && r.verdict:
	case r.denied != nil && r.Want == WantFields: // no password is left to be proved
		return r.denied
	case r.broken != nil:
		return r.broken
	case r.unfinished != "":
		return fmt.Errorf("passdb %q has the field noauthenticate, and no other follows it", r.unfinished)
	case r.refused != nil:
		return r.refused
	default:
		return fmt.Errorf("%w: a passdb that said yes leaves it to others, and none of them did", ErrMismatch)
	}
	if r.denied != nil {
		return r.denied
	}
	if key := allowed(r.good.Fields, r.Values); key != "" {
		return fmt.Errorf("%w: %s does not have the client's address", userdb.ErrUnknown, key)
	}
	wait, err := delay(r.good.Fields, time.Now(), rand.Int64N)
	if err != nil || wait == 0 || r.Want == WantEntry {
		return err
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("delay_until: %w", ctx.Err())
	}
}
