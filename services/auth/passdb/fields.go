package passdb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/password"
	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// said is what one source says of a user, with what its block adds.
type said struct {
	user           string // as the fields user, username and domain have it
	login          string // login_user
	password       string // {SCHEME}hash
	noPassword     bool
	noAuthenticate bool
	fail           bool
	proved         bool       // the password was right, or not to be tested
	shut           bool       // the source shuts the user out: the chain ends with it
	fields         field.List // all others, and those gathered before
}

// read takes the fields that a chain uses up out of a list that is in the order
// in which they were set.
func (s *said) read(all field.List, scheme string) error {
	if text, ok := all.Get("passdb_import"); ok {
		all.Remove("passdb_import")
		all.Import(text)
	}
	for _, f := range all {
		switch f.Key {
		case "user":
			s.user = f.Value
		case "username":
			s.user = f.Value + vars.FromAt(s.user)
		case "domain":
			s.user = vars.BeforeAt(s.user) + "@" + f.Value
		case "login_user":
			s.login = f.Value
		case "password":
			s.password = password.WithScheme(f.Value, scheme)
		case "password_noscheme":
			s.password = "{" + scheme + "}" + f.Value
		case "nopassword":
			s.noPassword = true
		case "noauthenticate":
			s.noAuthenticate = true
		case "fail":
			s.fail = true
		default:
			if strings.HasPrefix(f.Key, "check_client_") {
				return fmt.Errorf("field %s is not in this version, so it lets nobody in", f.Key)
			}
			s.fields = append(s.fields, f)
		}
	}
	switch {
	case !authproto.ValidUser(s.user):
		return fmt.Errorf("field user=%q is no user name", s.user)
	case s.login != "" && !authproto.ValidUser(s.login):
		return fmt.Errorf("field login_user=%q is no user name", s.login)
	}
	return nil
}

// from says whether an entry holds for who comes from there. An item that is no
// network lets nobody in.
func from(nets, ip string) bool {
	for item := range strings.FieldsFuncSeq(nets, func(r rune) bool { return r == ',' || r == ' ' }) {
		if n, err := field.ParseNet(item); err == nil && n.Has(ip) {
			return true
		}
	}
	return false
}

// allowed gives the field that keeps the client out, "" if none does.
func allowed(f field.List, v *vars.Values) string {
	for _, net := range [...]struct{ key, ip string }{{"allow_nets", v.RemoteIP}, {"allow_real_nets", v.RealRemoteIP}} {
		if nets, ok := f.Get(net.key); ok && !from(nets, net.ip) {
			return net.key
		}
	}
	return ""
}

// maxDelay is the most that delay_until may ask for.
const maxDelay = 5 * time.Minute

// delay gives how long a success waits by the field delay_until,
// "unixtime[+most random seconds]".
func delay(f field.List, now time.Time, random func(n int64) int64) (time.Duration, error) {
	text, ok := f.Get("delay_until")
	if !ok {
		return 0, nil
	}
	until, more, spread := strings.Cut(text, "+")
	unix, err := strconv.ParseInt(until, 10, 64)
	var extra int64
	if err == nil && spread {
		extra, err = strconv.ParseInt(more, 10, 32)
	}
	if err != nil || extra < 0 {
		return 0, fmt.Errorf("field delay_until=%q is no time", text)
	}
	wait := time.Unix(unix, 0).Sub(now)
	if wait > maxDelay {
		return 0, errors.New("field delay_until is more than 5 minutes ahead")
	}
	if wait > 0 && extra > 0 {
		wait += time.Duration(random(extra+1)) * time.Second
	}
	return max(0, wait), nil
}
