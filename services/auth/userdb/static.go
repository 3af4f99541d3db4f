package userdb

import (
	"context"

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
	Users  Existence // nil: everybody exists (allow_all_users)
}

// Lookup implements DB.
func (s *Static) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	if s.Users != nil {
		if err := s.Users.Exists(ctx, v); err != nil {
			return nil, err
		}
	}
	return s.Fields.Expand(v)
}

// Login is Lookup for who has just proved to exist.
func (s *Static) Login(_ context.Context, v *vars.Values, _ field.List) (field.List, error) {
	return s.Fields.Expand(v)
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
