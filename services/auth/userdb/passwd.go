package userdb

import (
	"context"
	"errors"
	"strconv"

	"culver/services/auth/field"
	"culver/services/auth/passwdfile"
	"culver/services/auth/vars"
)

// Passwd is the driver passwd: the accounts of the system, of which a static
// program knows those of /etc/passwd only.
type Passwd struct {
	File  *passwdfile.Source
	Valid Range // who is listed
}

// Range bounds uids and gids; 0 is no bound.
type Range struct{ FirstUID, LastUID, FirstGID, LastGID int }

func (r Range) has(uid, gid string) bool {
	in := func(text string, first, last int) bool {
		n, err := strconv.Atoi(text)
		return err == nil && n > 0 && n >= first && (last == 0 || n <= last)
	}
	return in(uid, r.FirstUID, r.LastUID) && in(gid, r.FirstGID, r.LastGID)
}

// Lookup implements DB.
func (p *Passwd) Lookup(_ context.Context, v *vars.Values) (field.List, error) {
	line, _, err := p.File.Lookup(v, v.User)
	switch {
	case errors.Is(err, passwdfile.ErrNoUser):
		return nil, ErrUnknown
	case err != nil:
		return nil, err
	}
	return append(columns(line), field.Field{Key: "system_groups_user", Value: line.Name}), nil
}

// Names implements DB.
func (p *Passwd) Names(v *vars.Values) bool {
	_, _, err := p.File.Lookup(v, v.User)
	return err == nil
}

// Each implements DB. The system's own accounts have no mail.
func (p *Passwd) Each(_ context.Context, canon func(string) (string, bool), yield func(string) error) error {
	return p.File.Only().Each(func(l *passwdfile.Line) error {
		if name, ok := canon(l.Name); !ok || name != l.Name || !p.Valid.has(l.UID, l.GID) {
			return nil
		}
		return yield(l.Name)
	})
}
