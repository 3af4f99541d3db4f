package passdb

import (
	"context"

	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Static is the driver static: one password, or none, for everybody.
type Static struct {
	Password   string // {SCHEME}hash
	NoPassword bool
	Fields     field.Templates
}

// Lookup implements Source.
func (s *Static) Lookup(_ context.Context, v *vars.Values) (Entry, error) {
	fields, err := s.Fields.Expand(v)
	return Entry{Password: s.Password, NoPassword: s.NoPassword, Fields: fields}, err
}
