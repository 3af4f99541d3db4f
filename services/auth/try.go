package auth

import (
	"context"
	"errors"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/sasl"
	"culver/services/auth/userdb"
)

// Try is one client's try to be somebody.
type Try interface {
	sasl.Backend
	Result() Result
}

type Result struct {
	User      string
	Original  string
	AuthUser  string
	Master    string
	Anonymous bool
	Fields    field.List
}

type Refusal struct {
	Code    string
	Reason  string
	NoDelay bool
	Fields  field.List
	User    string
	Err     error
}

func (r *Refusal) Error() string { return "refused" }
func (r *Refusal) Unwrap() error { return r.Err }

// byPassword is a Try that knows passwords only. Master users, challenges and
// certificates are to be judged by package attempt.
type byPassword struct {
	*Server
	asked
	result Result
}

func (t *byPassword) Subject(authcid, _ string) string {
	if name, err := t.Names.Canonical(authcid); err == nil {
		return name
	}
	return authcid
}

func (t *byPassword) Verify(ctx context.Context, authcid, authzid, password string) error {
	name, err := t.Names.Canonical(authcid)
	if err != nil || authzid != "" && authzid != authcid {
		return &Refusal{User: authcid, Err: err}
	}
	v := t.values
	v.User, v.OrigUser = name, authcid
	got, err := t.Passwords.Run(ctx, passdb.Query{Values: &v, Want: passdb.WantPassword, Password: password, Fields: t.forward})
	switch {
	case err == nil:
		t.result = Result{User: got.User, Original: authcid, Fields: got.Fields}
		return nil
	case errors.Is(err, userdb.ErrUnknown), errors.Is(err, passdb.ErrMismatch):
		return &Refusal{User: name, Err: err}
	}
	return &Refusal{User: name, Code: "temp_fail", Err: err}
}

func (t *byPassword) Credentials(context.Context, string, string, ...string) (string, error) {
	return "", sasl.ErrNoCredentials
}
func (t *byPassword) Proved(context.Context) error            { return &Refusal{} }
func (t *byPassword) Disproved(context.Context) error         { return &Refusal{} }
func (t *byPassword) External(context.Context, string) error  { return &Refusal{} }
func (t *byPassword) Anonymous(context.Context, string) error { return &Refusal{} }
func (t *byPassword) Result() Result                          { return t.result }
