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
	File   *passwdfile.Source
	Key    vars.Template
	Scheme string // of passwords that name none
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
	var fields field.List
	extras, err := field.ParseTemplates(line.Extras)
	if err == nil {
		fields, err = extras.Expand(v)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s: %w", position(), err)
	}
	return Entry{Password: stored(line.Password, p.Scheme), Fields: fields}, nil
}

// stored gives a password column its scheme. Old files say it by a number after
// the hash (spec/auth.md 6.4).
func stored(column, scheme string) string {
	if prefix, _ := password.Split(column); prefix == "" && strings.HasSuffix(column, "]") {
		if hash, number, ok := strings.Cut(strings.TrimSuffix(column, "]"), "["); ok {
			switch number {
			case "34":
				return "{PLAIN-MD5}" + hash
			case "56":
				return "{DIGEST-MD5}" + hash
			}
			return "{CRYPT}" + hash
		}
	}
	return password.WithScheme(column, scheme)
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
