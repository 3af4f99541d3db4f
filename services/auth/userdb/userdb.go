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
	// Lookup gives the user's fields, as the source has them: of two with one key
	// both are there, and suffixes such as :default are kept.
	Lookup(ctx context.Context, v *vars.Values) (field.List, error)
	// Names says whether the source names the user, working entry or not.
	Names(v *vars.Values) bool
	// Each calls yield with the name of every user that the source names, as
	// Lookup has to be asked for it. canon gives a name's canonical form.
	Each(ctx context.Context, canon func(string) (string, bool), yield func(name string) error) error
}
