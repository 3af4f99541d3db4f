package userdb

import (
	"context"
	"strings"

	"culver/services/auth/field"
	"culver/services/auth/vars"
)

// Prefetch is the driver prefetch: for who has just logged in, the passdb has
// said all that a userdb would, in fields that begin with userdb_. To everybody
// else it gives no answer, be it that there is no such user.
type Prefetch struct{}

// Lookup implements DB.
func (Prefetch) Lookup(context.Context, *vars.Values) (field.List, error) { return nil, errLater }

// Login is Lookup for who has just logged in. The fields are there already.
func (Prefetch) Login(_ context.Context, _ *vars.Values, passed field.List) (field.List, error) {
	for _, f := range passed {
		if strings.HasPrefix(f.Key, "userdb_") {
			return nil, nil
		}
	}
	return nil, errLater
}

// Names implements DB.
func (Prefetch) Names(*vars.Values) bool { return false }

// Each implements DB.
func (Prefetch) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return ErrNoList
}
