package attempt

import (
	"errors"
	"fmt"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/reach"
	"culver/services/auth/userdb"
)

// Result is what has come of an attempt that succeeded.
type Result struct {
	User      string // whose mail it is; a principal's own name where it has no target
	Original  string // the name as the client sent it; "" where it sent none
	AuthUser  string // whose password it was, where that is another
	Master    string // the same, for who is a master user
	Anonymous bool
	Fields    field.List  // of the passdbs
	Reach     reach.Reach // of a principal; anybody else's goes nowhere
}

// Refusal is the error of an attempt that did not succeed.
type Refusal struct {
	Code    string // one of the codes; "" says nothing
	Reason  string // for the client
	NoDelay bool
	Fields  field.List // for the client
	User    string     // the name, canonical if there is such a form
	Err     error      // for the log
}

// Codes of a Refusal (spec/auth.md 1.5). Each but CodeTemporary is told only to
// who has the password. There is no authz_fail after a login: it would say to
// somebody who guesses that the password was right.
const (
	CodeTemporary  = "temp_fail"
	CodeDisabled   = "user_disabled"
	CodeExpired    = "pass_expired"
	CodeOutOfReach = "authz_fail" // of tickets
)

// reasonExpired is Dovecot's.
const reasonExpired = "Password expired"

func (r *Refusal) Error() string { return fmt.Sprintf("login of %q refused: %v", r.User, r.Err) }
func (r *Refusal) Unwrap() error { return r.Err }

// errNo is a refusal of the judge's own: it counts as a wrong password.
var errNo = errors.New("not allowed")

func notAllowed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errNo}, args...)...)
}

// plain says whether an error is one of those that look like a wrong password.
func plain(err error) bool {
	for _, e := range []error{errNo, userdb.ErrUnknown, passdb.ErrMismatch, passdb.ErrNoLookup} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// code classes an error. What nobody foresaw is temporary.
func code(err error) string {
	switch {
	case plain(err):
		return ""
	case errors.Is(err, passdb.ErrDisabled):
		return CodeDisabled
	case errors.Is(err, passdb.ErrExpired):
		return CodeExpired
	}
	return CodeTemporary
}
