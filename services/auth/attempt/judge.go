// Package attempt judges one try of somebody to be somebody: whose password it
// was, as whom that one may act, and whether there is such a user.
//
// Runs as:   the auth service user.
// Trusts:    the sources; a front for addresses, and for what it says of a
// client's certificate.
// Distrusts: clients: of a login that is refused they learn nothing but that,
// unless the password was right and the user's own.
// Speaks:    spec/auth.md 3 (master users) and 8.5 (names).
package attempt

import (
	"time"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/ticket"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Judge has what all attempts share.
type Judge struct {
	Names     Names
	Separator string // auth_master_user_separator
	Passwords passdb.Chain
	Masters   passdb.Chain // of the passdbs with master = yes
	Users     userdb.Chain
	Anonymous string   // auth_anonymous_username
	Shared    *Shared  // nil: there is none
	Commands  []string // doveadm_allowed_commands, for tickets; nil: no bound
	Tickets   ticket.Book

	CertNames   bool // auth_ssl_username_from_cert
	RequireCert bool // auth_ssl_require_client_cert

	Audit func(Record)     // nil: nobody keeps records
	Now   func() time.Time // nil: time.Now
}

// Client is who tries, and what its front says of it.
type Client struct {
	vars.Values
	CertUser string     // the name in its certificate
	Forward  field.List // forward_fields
	// Principal says that only master users are let in here, and as themselves:
	// for whom they act they say with each ticket.
	Principal bool
	// OnlyOK says that the client acts on OK alone: fields that forbid the login
	// are lost on it, as on SMTP servers.
	OnlyOK bool
}

// Begin begins an attempt. It is good for one exchange.
func (j *Judge) Begin(c Client) *Attempt { return &Attempt{judge: j, client: c} }

func (j *Judge) now() time.Time {
	if j.Now == nil {
		return time.Now()
	}
	return j.Now()
}

func (j *Judge) record(r Record) {
	if j.Audit != nil {
		r.Time = j.now()
		j.Audit(r)
	}
}

// outcome gives the result and the reason of a record.
func outcome(err error) (result, reason string) {
	switch {
	case err == nil:
		return ResultOK, ""
	case code(err) == CodeTemporary:
		return ResultFailed, err.Error()
	}
	return ResultRefused, err.Error()
}
