package brain

import (
	"errors"

	"culver/internal/doveadmproto"
)

// worse gives the exit status of a run after one more result: the first that is
// not 0 stays, but 75 overrides any (spec/doveadm.md 2.6).
func worse(have, code int) int {
	switch {
	case code < 0 || code > 255:
		code = doveadmproto.TempFail // a shell would see the rest of a division
	}
	if have == 0 || code == doveadmproto.TempFail {
		return code
	}
	return have
}

// reasonOf is what a status means, where the server said nothing more.
func reasonOf(code int) string {
	switch code {
	case doveadmproto.Changed:
		return "the mailbox changed meanwhile"
	case doveadmproto.Usage:
		return "the server does not take these options or arguments"
	case doveadmproto.DataErr:
		return "not possible"
	case doveadmproto.NoUser:
		return "no such user"
	case doveadmproto.NotFound:
		return "not found"
	case doveadmproto.OverQuota:
		return "over quota"
	case doveadmproto.Protocol:
		return "protocol error"
	case doveadmproto.NoPerm:
		return "not permitted"
	case doveadmproto.Referral:
		return "the user is on another server"
	case doveadmproto.Expired:
		return "expired"
	}
	return "temporary failure"
}

// failure is an error that ends the program before anybody's mail is touched.
type failure struct {
	code int
	what string
}

func (f *failure) Error() string { return f.what }

// Code is the exit status of such an error. What is unknown may pass.
func Code(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	return doveadmproto.TempFail
}

func usage(what string) error { return &failure{doveadmproto.Usage, what} }
