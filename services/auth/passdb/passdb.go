// Package passdb answers which users have a password and what else their
// password source says of them. It hands out no password.
//
// Runs as:   the auth service user.
// Trusts:    the user sources named in its settings.
// Distrusts: clients; a lookup key is data, never a path or a pattern.
// Speaks:    the passdb half of spec/auth.md 6, as far as PASS needs it (2.4).
package passdb

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"culver/services/auth/field"
	"culver/services/auth/passwdfile"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// DB is one source of passwords. ErrUnknown is userdb's.
type DB interface {
	Lookup(v *vars.Values) (field.List, error)
	Names(v *vars.Values) bool
	Each(canon func(string) (string, bool), yield func(name string) error) error
}

// Chain asks its sources in order; the first success counts.
type Chain []DB

// ErrNoLookup says that no source can be asked without a password.
//
//lint:ignore ST1005 Dovecot's words, which its clients show as they are
var ErrNoLookup = errors.New("Configured passdbs don't support credentials lookups")

// Lookup gives the fields of the first source that has the user and lets it in
// from where it comes.
func (c Chain) Lookup(v *vars.Values) (field.List, error) {
	if len(c) == 0 {
		return nil, ErrNoLookup
	}
	var failed error
	for _, db := range c {
		f, err := db.Lookup(v)
		if err == nil && !allowed(f, v) {
			err = userdb.ErrUnknown
		}
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, userdb.ErrUnknown):
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, userdb.ErrUnknown
}

// Exists says whether any source names the user, for the userdb static. It asks
// nothing of where a client is: mail from anywhere is for whoever exists.
func (c Chain) Exists(v *vars.Values) error {
	var failed error
	for _, db := range c {
		_, err := db.Lookup(v)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, userdb.ErrUnknown):
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return userdb.ErrUnknown
}

// Each names the users of all sources that can list, each once.
func (c Chain) Each(canon func(string) (string, bool), yield func(string) error) error {
	var failed error
	listed := false
	for i, db := range c {
		err := db.Each(canon, func(name string) error {
			for _, earlier := range c[:i] {
				if earlier.Names(&vars.Values{User: name}) {
					return nil
				}
			}
			return yield(name)
		})
		if err == nil {
			listed = true
		} else if !errors.Is(err, userdb.ErrNoList) && failed == nil {
			failed = err
		}
	}
	if !listed && failed == nil {
		return userdb.ErrNoList
	}
	return failed
}

// PasswdFile is the driver passwd-file.
type PasswdFile struct {
	File      *passwdfile.Source
	Key       vars.Template
	Defaults  field.Templates
	Overrides field.Templates
}

// Lookup implements DB. The uid and gid are not looked at: they are the userdb's.
func (p *PasswdFile) Lookup(v *vars.Values) (field.List, error) {
	line, position, err := p.File.Lookup(v, p.Key.Expand(v))
	switch {
	case errors.Is(err, passwdfile.ErrNoUser):
		return nil, userdb.ErrUnknown
	case err != nil:
		return nil, err
	}
	var own []string
	for _, x := range line.Extras {
		if !strings.HasPrefix(x, "userdb_") {
			own = append(own, x)
		}
	}
	var f field.List
	extras, err := field.ParseTemplates(own)
	for _, add := range []field.Templates{p.Defaults, extras, p.Overrides} {
		if err == nil {
			err = add.AddTo(&f, v)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", position(), err)
	}
	return f, nil
}

// Names implements DB.
func (p *PasswdFile) Names(v *vars.Values) bool {
	_, _, err := p.File.Lookup(v, p.Key.Expand(v))
	return err == nil
}

// Each implements DB.
func (p *PasswdFile) Each(canon func(string) (string, bool), yield func(string) error) error {
	return userdb.EachIn(p.File, p.Key, canon, yield)
}

// Static is the driver static: one password, or none, for everybody.
type Static struct{ Fields field.Templates }

// Lookup implements DB.
func (s *Static) Lookup(v *vars.Values) (field.List, error) {
	var f field.List
	err := s.Fields.AddTo(&f, v)
	return f, err
}

// Names implements DB.
func (s *Static) Names(*vars.Values) bool { return true }

// Each implements DB.
func (s *Static) Each(func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

// allowed is false for an entry that counts as not found: one that says fail,
// or one whose allow_nets does not have the client (spec/auth.md 2.4, 6.2).
func allowed(f field.List, v *vars.Values) bool {
	if _, ok := f.Get("fail"); ok {
		return false
	}
	nets, ok := f.Get("allow_nets")
	if !ok {
		return true
	}
	for item := range strings.FieldsFuncSeq(nets, func(r rune) bool { return r == ',' || r == ' ' }) {
		if v.RemoteIP == "" {
			if item == "local" {
				return true
			}
			continue
		}
		ip, err := netip.ParseAddr(v.RemoteIP)
		if err != nil {
			continue
		}
		if one, err := netip.ParseAddr(item); err == nil && one.Unmap() == ip.Unmap() {
			return true
		}
		if net, err := netip.ParsePrefix(item); err == nil && net.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
