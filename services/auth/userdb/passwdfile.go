package userdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"culver/services/auth/field"
	"culver/services/auth/passwdfile"
	"culver/services/auth/vars"
)

// PasswdFile is the driver passwd-file. A line that names the user but has no
// usable uid and gid, be it "user:password" alone, is a failure and not an
// unknown user, unless another source or the block's fields give the ids.
type PasswdFile struct {
	File *passwdfile.Source
	Key  vars.Template // username_format
}

// Lookup implements DB.
func (p *PasswdFile) Lookup(_ context.Context, v *vars.Values) (field.List, error) {
	line, position, err := p.File.Lookup(v, p.Key.Expand(v))
	switch {
	case errors.Is(err, passwdfile.ErrNoUser):
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	}
	f := columns(line)
	var extras []string
	for _, x := range line.Extras {
		if x, ok := strings.CutPrefix(x, "userdb_"); ok {
			extras = append(extras, x)
		}
	}
	if extras == nil {
		return f, nil
	}
	templates, err := field.ParseTemplates(extras)
	var more field.List
	if err == nil {
		more, err = templates.Expand(v)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", position(), err)
	}
	return append(f, more...), nil
}

// columns gives those that are set. The home is not expanded, as in Dovecot.
func columns(line *passwdfile.Line) field.List {
	f := make(field.List, 0, 4)
	for _, column := range [...]field.Field{{Key: "uid", Value: line.UID}, {Key: "gid", Value: line.GID}, {Key: "home", Value: line.Home}} {
		if column.Value != "" {
			f = append(f, column)
		}
	}
	return f
}

// Where gives file and line of a user.
func (p *PasswdFile) Where(v *vars.Values) string {
	_, position, err := p.File.Lookup(v, p.Key.Expand(v))
	if err != nil {
		return "passwd-file"
	}
	return position()
}

// Names implements DB.
func (p *PasswdFile) Names(v *vars.Values) bool {
	_, _, err := p.File.Lookup(v, p.Key.Expand(v))
	return err == nil
}

// Each implements DB. A line whose name is not what its own canonical form is
// looked up by cannot be reached, so it is not listed.
func (p *PasswdFile) Each(_ context.Context, canon func(string) (string, bool), yield func(string) error) error {
	return EachIn(p.File, p.Key, canon, yield)
}

// EachIn lists the reachable users of a passwd-file.
func EachIn(source *passwdfile.Source, key vars.Template, canon func(string) (string, bool), yield func(string) error) error {
	file := source.Only()
	if file == nil {
		return ErrNoList
	}
	var v vars.Values
	return file.Each(func(l *passwdfile.Line) error {
		name, ok := canon(l.Name)
		if v.User = name; !ok || key.Expand(&v) != l.Name {
			return nil
		}
		return yield(name)
	})
}
