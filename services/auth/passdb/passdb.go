// Package passdb says whose password is right and what else the sources of
// passwords say of a user.
//
// Runs as:   the auth service user.
// Trusts:    the user sources named in its settings.
// Distrusts: clients; a lookup key is data, never a path or a pattern. Who has
// not given the right password learns nothing of an entry but that it was not.
// Speaks:    the passdb half of spec/auth.md 6.
package passdb

import (
	"context"
	"errors"

	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Errors of a source and of a chain, beside userdb.ErrUnknown. All others are temporary.
var (
	// ErrMismatch says that the password is not the user's, or that the user has
	// none that could be tested in the way that was asked for.
	ErrMismatch = errors.New("password mismatch")
	// ErrDisabled says that the user is shut out.
	ErrDisabled = errors.New("user is disabled")
	// ErrExpired says that the password, or the account, has expired.
	ErrExpired = errors.New("password expired")
	// ErrNoLookup says that no source can be asked without a password.
	//
	//lint:ignore ST1005 Dovecot's words, which its clients show as they are
	ErrNoLookup = errors.New("Configured passdbs don't support credentials lookups")
)

// Entry is what a source has of a user.
type Entry struct {
	Password   string // {SCHEME}hash; "" matches nothing
	NoPassword bool   // nothing has to match
	// Fields are as the source has them: of two with one key both are there, and
	// suffixes such as :default are kept. Those for the userdb have their prefix userdb_.
	Fields field.List
	// Again asks once more, past what this entry came from, if that may be out of
	// date: the password may have been changed since. nil: this is the latest.
	Again func(context.Context) (Entry, error)
}

// Source can be asked what it has of a user. With ErrDisabled and ErrExpired
// comes an entry nevertheless: whoever does not know the password is not to
// learn of them.
type Source interface {
	Lookup(ctx context.Context, v *vars.Values) (Entry, error)
}

// Verifier can only be asked with a password whether it is right.
type Verifier interface {
	Verify(ctx context.Context, v *vars.Values, password string) (Entry, error)
}

// Lister can say who is in a source.
type Lister interface {
	// Names says whether the source names the user, working entry or not.
	Names(v *vars.Values) bool
	// Each calls yield with every name, as Lookup has to be asked for it.
	Each(ctx context.Context, canon func(string) (string, bool), yield func(name string) error) error
}

// Want is what is to be known. The password of a query is tested for the first
// of them only, and only until a passdb has found it right and wants the next
// ones to agree.
type Want int

const (
	WantPassword    Want = iota // whether Query.Password is right
	WantCredentials             // a stored password of one of Query.Schemes, or in cleartext
	WantEntry                   // that there is an entry, and its fields: PASS
	WantFields                  // the same, the password being proved in another way
)

// Query is one question to a chain.
type Query struct {
	Values   *vars.Values
	Want     Want
	Password string
	Schemes  []string
	Fields   field.List // gathered before, by a master's entry: kept, and in front
}

// Verdict is the answer. There is one beside an error too.
type Verdict struct {
	User   string     // after the fields user, username and domain; else Values.User
	Login  string     // the field login_user of a master's entry; else Values.LoginUser
	Fields field.List // without those that the chain has used up
	Stored string     // of WantCredentials
	// Continue says that the passdb of a master user wants the chain of the
	// target to agree (pass = yes, result_success = continue).
	Continue bool
}
