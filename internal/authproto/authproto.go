// Package authproto is the master protocol of the auth service (spec/auth.md
// 2): its messages and limits, and the client end.
//
// Runs as:   whoever looks users up; the root master uses the client end.
// Trusts:    the auth service for who a user is, within the limits below.
// Distrusts: the form of everything it sends: a line too long, a field too
// many, an id never given or a number that is none costs the
// connection or the lookup, and then the answer is "later", never "unknown".
// Speaks:    VERSION 1.x, USER, PASS, LIST with Dovecot 2.3, 2.4 and our own.
package authproto

import (
	"errors"
	"strings"
)

// Limits of the protocol, for both ends.
const (
	MajorVersion = 1
	MinorVersion = 1 // what both ends of Dovecot 2.3 announce; has no effect here

	// MaxReply bounds a line from the server, its line end included: Dovecot's
	// clients drop the connection beyond it.
	MaxReply = 8192
	// MaxRequest bounds a line from our client: a Dovecot server resets the
	// connection beyond it.
	MaxRequest = 1024
	// MaxServerRequest bounds a line to our server, which is more patient than
	// Dovecot so that a long CACHE-FLUSH or forward_fields need not end in a reset.
	MaxServerRequest = 8192
	// MaxFields bounds the fields of one line.
	MaxFields = 256
	// MaxUser bounds a user name in bytes (design 5).
	MaxUser = 255
	// MaxReason bounds the text of a failure that is passed on.
	MaxReason = 512
)

// ErrNotFound says that auth answered, and that no entry names the user.
var ErrNotFound = errors.New("user unknown")

// ErrTempfail is what every other failure is: with errors.Is it matches each
// error of this package that is not ErrNotFound.
var ErrTempfail = errors.New("temporary authentication failure")

// Tempfail is a failure that may pass: auth said FAIL, or went away, or did not
// answer in time, or answered nonsense.
type Tempfail struct {
	Reason string // what auth says the client may know; "" when auth did not say
	Err    error  // for the log; nil when auth itself said FAIL

	badTicket bool // Redeem's, which makes ErrTicket of it
}

func (t *Tempfail) Error() string {
	switch {
	case t.Err != nil:
		return "auth: " + t.Err.Error()
	case t.Reason != "":
		return "auth: temporary failure: " + t.Reason
	}
	return "auth: temporary failure"
}

// Is makes every Tempfail an ErrTempfail.
func (t *Tempfail) Is(target error) bool { return target == ErrTempfail }

// Unwrap gives the cause, so that callers can see a context's end.
func (t *Tempfail) Unwrap() error { return t.Err }

// User is what auth knows of a user.
type User struct {
	Name   string            // canonical: it may differ from the one that was asked for
	UID    int               // -1 when auth gave none
	GID    int               // -1 when auth gave none
	Home   string            // "" when auth gave none
	Fields map[string]string // all other fields; a bare one is "yes"
}

// Params say on whose behalf a lookup is made. Empty ones are not sent.
type Params struct {
	Service    string // lmtp, doveadm; "" is sent as "culver", since servers insist on one
	LocalIP    string
	RemoteIP   string
	LocalPort  string
	RemotePort string
	Session    string
}

// fields gives the parameters as they are sent: service= for servers up to 2.3
// and protocol= for 2.4, each of which ignores the other.
func (p Params) fields() []string {
	service := p.Service
	if service == "" {
		service = "culver"
	}
	f := []string{"service=" + service, "protocol=" + service}
	for _, kv := range [...][2]string{
		{"lip=", p.LocalIP}, {"rip=", p.RemoteIP},
		{"lport=", p.LocalPort}, {"rport=", p.RemotePort},
		{"session=", p.Session},
	} {
		if kv[1] != "" {
			f = append(f, kv[0]+kv[1])
		}
	}
	return f
}

// ValidUser says whether name can be a user name at all: at most 255 bytes, at
// least one, none of them a control byte (Postfix and Exim do not unescape).
func ValidUser(name string) bool {
	return name != "" && len(name) <= MaxUser && Clean(name) == name
}

// Clean replaces control bytes by "?", so that a text can be shown or logged.
func Clean(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return '?'
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }
