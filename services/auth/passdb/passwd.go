package passdb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/services/auth/passwdfile"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Passwd is the driver passwd: the accounts of the system. Their passwords are
// mostly in the shadow file, so this says little more than who there is.
type Passwd struct{ File *passwdfile.Source }

// Lookup implements Source.
func (p *Passwd) Lookup(_ context.Context, v *vars.Values) (Entry, error) {
	line, err := find(p.File, v)
	if err != nil || line.Password == "x" { // it is in the shadow file
		return Entry{}, err
	}
	return account(line.Password)
}

// Shadow is the driver shadow: the passwords of the system's accounts.
type Shadow struct {
	File *passwdfile.Source
	Now  func() time.Time
}

// Lookup implements Source.
func (s *Shadow) Lookup(_ context.Context, v *vars.Values) (Entry, error) {
	line, err := find(s.File, v)
	if err != nil {
		return Entry{}, err
	}
	e, err := account(line.Password)
	if err != nil {
		return e, err
	}
	a, err := parseAging(line.Text)
	if err != nil {
		return e, err
	}
	return e, a.check(s.Now())
}

// find gives the line of an account, which has the user's whole name.
func find(file *passwdfile.Source, v *vars.Values) (*passwdfile.Line, error) {
	line, _, err := file.Lookup(v, v.User)
	if errors.Is(err, passwdfile.ErrNoUser) {
		return nil, userdb.ErrUnknown
	}
	return line, err
}

// account reads a password column of crypt(5). A "!" before the hash, or a "*"
// in its place, locks the account; what is behind the "!" is still the password.
func account(column string) (Entry, error) {
	hash := strings.TrimLeft(column, "!")
	if strings.HasPrefix(hash, "*") {
		hash = ""
	}
	e := Entry{}
	if hash != "" {
		e.Password = "{CRYPT}" + hash
	}
	if hash != column {
		return e, fmt.Errorf("%w: the account is locked", ErrDisabled)
	}
	return e, nil
}

// aging is what shadow(5) says of times, in days since 1970; -1 is nothing.
type aging struct{ changed, most, expires int64 }

// shadowFields of a line: name, password, last change, least and most days
// between changes, warning, inactivity, end of the account, reserved.
const shadowFields = 9

func parseAging(text string) (aging, error) {
	f := strings.Split(text, ":")
	if len(f) != shadowFields {
		return aging{}, fmt.Errorf("the line has %d fields, want %d", len(f), shadowFields)
	}
	var a aging
	for _, x := range [...]struct {
		to *int64
		at int
	}{{&a.changed, 2}, {&a.most, 4}, {&a.expires, 7}} {
		if *x.to = -1; f[x.at] == "" {
			continue
		}
		n, err := strconv.ParseInt(f[x.at], 10, 32)
		if err != nil {
			return aging{}, fmt.Errorf("field %d of the line is %q, want a number of days", x.at+1, f[x.at])
		}
		*x.to = n
	}
	return a, nil
}

// never is what shadow has for a password that is not to be changed.
const never = 10000

func (a aging) check(now time.Time) error {
	today := now.Unix() / (24 * 60 * 60)
	switch {
	case a.expires >= 0 && today >= a.expires:
		return fmt.Errorf("%w: the account has ended", ErrExpired)
	case a.changed == 0:
		return fmt.Errorf("%w: it has to be changed first", ErrExpired)
	case a.changed > 0 && a.most >= 0 && a.most < never && today > a.changed+a.most:
		return fmt.Errorf("%w: it is more than %d days old", ErrExpired, a.most)
	}
	return nil
}
