// Package userdb answers whose files a user's mail are and where they lie.
//
// Runs as:   the auth service user.
// Trusts:    the user sources named in its settings.
// Distrusts: clients; a lookup key is data, never a path or a pattern.
// Speaks:    the userdb half of spec/auth.md 6.
package userdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"culver/services/auth/accounts"
	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// ErrUnknown says that the source is whole and does not name the user. Every
// other error is temporary.
var ErrUnknown = errors.New("user unknown")

// ErrNoList says that a source cannot name its users.
var ErrNoList = errors.New("source cannot list users")

// Refused is a failure that the source itself asks for, with its field tempfail.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return "the entry says tempfail: " + r.Reason }

// DB is one source of users.
type DB interface {
	// Lookup gives the user's fields, complete: uid, gid and home first.
	Lookup(ctx context.Context, v *vars.Values) (field.List, error)
	// Names says whether the source names the user, working entry or not.
	Names(v *vars.Values) bool
	// Each calls yield with the name of every user that the source names, as
	// Lookup has to be asked for it. canon gives a name's canonical form.
	Each(ctx context.Context, canon func(string) (string, bool), yield func(name string) error) error
}

// Chain asks its sources in order, with Dovecot's default rules: the first
// success counts, unknown and failure go on to the next one.
type Chain struct{ Links []Link }

// Link is one userdb block.
type Link struct {
	Name string // of the block
	DB
}

// Lookup gives the fields of the first source that has the user. Where none
// has, one failure among them makes the answer a failure: the failed one might
// have had it.
func (c Chain) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	var failed error
	for _, db := range c.Links {
		f, err := db.Lookup(ctx, v)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, ErrUnknown):
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, ErrUnknown
}

// Each names each user once, and only those that Lookup answers. It goes on
// past a source that fails, so that a partial list is as long as it can be,
// and gives the first failure at the end.
func (c Chain) Each(ctx context.Context, canon func(string) (string, bool), values func(name string) *vars.Values, yield func(name string) error) error {
	var failed error
	listed := false
	for i, db := range c.Links {
		err := db.Each(ctx, canon, func(name string) error {
			v := values(name)
			for _, earlier := range c.Links[:i] {
				if earlier.Names(v) {
					return nil
				}
			}
			if _, err := c.Lookup(ctx, v); err != nil {
				return nil
			}
			return stop(yield(name))
		})
		var s stopped
		switch {
		case errors.As(err, &s):
			return s.error
		case err == nil:
			listed = true
		case !errors.Is(err, ErrNoList) && failed == nil:
			failed, listed = err, true
		}
	}
	if !listed {
		return ErrNoList
	}
	return failed
}

// stopped marks an error of the caller's, which ends the whole list.
type stopped struct{ error }

func stop(err error) error {
	if err != nil {
		return stopped{err}
	}
	return nil
}

// IDs resolves account and group names.
type IDs struct{ Users, Groups *accounts.Table }

// complete checks what a lookup has collected and puts uid, gid and home first.
// An entry without usable ids is a failure and not an unknown user: somebody
// meant the user to exist, and mail for it can wait.
func (ids IDs) complete(f field.List) (field.List, error) {
	if _, ok := f.Get("tempfail"); ok {
		reason, _ := f.Get("reason")
		return nil, &Refused{reason}
	}
	out := make(field.List, 0, len(f)+2)
	for _, id := range [...]struct {
		key   string
		table *accounts.Table
	}{{"uid", ids.Users}, {"gid", ids.Groups}} {
		text, _ := f.Get(id.key)
		n, err := id.table.ID(text)
		if err != nil {
			return nil, fmt.Errorf("%s %w", id.key, err)
		}
		out = append(out, field.Field{Key: id.key, Value: strconv.Itoa(n)})
	}
	if home, ok := f.Get("home"); ok {
		out = append(out, field.Field{Key: "home", Value: home})
	}
	for _, x := range f {
		if x.Key != "uid" && x.Key != "gid" && x.Key != "home" {
			out = append(out, x)
		}
	}
	return out, nil
}
