package passdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"culver/internal/password"
	"culver/services/auth/field"
	"culver/services/auth/passwdfile"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// PasswdFile is the driver passwd-file.
type PasswdFile struct {
	File      *passwdfile.Source
	Key       vars.Template
	Scheme    string // of passwords that name none
	Defaults  field.Templates
	Overrides field.Templates
}

// Lookup implements Source. The uid and gid are not looked at: they are the userdb's.
func (p *PasswdFile) Lookup(_ context.Context, v *vars.Values) (Entry, error) {
	line, position, err := p.File.Lookup(v, p.Key.Expand(v))
	switch {
	case errors.Is(err, passwdfile.ErrNoUser):
		return Entry{}, userdb.ErrUnknown
	case err != nil:
		return Entry{}, err
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
		return Entry{}, fmt.Errorf("%s: %w", position(), err)
	}
	return Entry{Password: password.WithScheme(line.Password, p.Scheme), Fields: f}, nil
}

// Names implements Lister.
func (p *PasswdFile) Names(v *vars.Values) bool {
	_, _, err := p.File.Lookup(v, p.Key.Expand(v))
	return err == nil
}

// Each implements Lister.
func (p *PasswdFile) Each(_ context.Context, canon func(string) (string, bool), yield func(string) error) error {
	return userdb.EachIn(p.File, p.Key, canon, yield)
}
