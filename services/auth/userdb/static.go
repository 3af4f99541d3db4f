package userdb

import (
	"fmt"

	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Existence tells who exists, for a source that has no list of its own: the passdbs.
type Existence interface {
	// Exists is nil, ErrUnknown, or a temporary failure.
	Exists(v *vars.Values) error
	Each(canon func(string) (string, bool), yield func(name string) error) error
}

// Static is the driver static: the same template for everybody.
type Static struct {
	Fields field.Templates
	IDs    IDs
	Users  Existence // nil: everybody exists (allow_all_users)
}

// Lookup implements DB.
func (s *Static) Lookup(v *vars.Values) (field.List, error) {
	if s.Users != nil {
		if err := s.Users.Exists(v); err != nil {
			return nil, err
		}
	}
	var f field.List
	if err := s.Fields.AddTo(&f, v); err != nil {
		return nil, fmt.Errorf("userdb static: %w", err)
	}
	f, err := s.IDs.complete(f)
	if err != nil {
		return nil, fmt.Errorf("userdb static: %w", err)
	}
	return f, nil
}

// Names implements DB.
func (s *Static) Names(v *vars.Values) bool {
	return s.Users == nil || s.Users.Exists(v) == nil
}

// Each implements DB: the users are those whom the passdbs can list.
func (s *Static) Each(canon func(string) (string, bool), yield func(string) error) error {
	if s.Users == nil {
		return ErrNoList
	}
	return s.Users.Each(canon, yield)
}
