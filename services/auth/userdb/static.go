package userdb

import (
	"context"
	"fmt"

	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Existence tells who exists, for a source that has no list of its own: the passdbs.
type Existence interface {
	// Exists is nil, ErrUnknown, or a temporary failure.
	Exists(ctx context.Context, v *vars.Values) error
	Each(ctx context.Context, canon func(string) (string, bool), yield func(name string) error) error
}

// Static is the driver static: the same template for everybody.
type Static struct {
	Fields field.Templates
	IDs    IDs
	Users  Existence // nil: everybody exists (allow_all_users)
}

// Lookup implements DB.
func (s *Static) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	if s.Users != nil {
		if err := s.Users.Exists(ctx, v); err != nil {
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
	return s.Users == nil || s.Users.Exists(context.Background(), v) == nil
}

// Each implements DB: the users are those whom the passdbs can list.
func (s *Static) Each(ctx context.Context, canon func(string) (string, bool), yield func(string) error) error {
	if s.Users == nil {
		return ErrNoList
	}
	return s.Users.Each(ctx, canon, yield)
}
