package guard

import (
	"context"

	"github.com/sony/gobreaker/v2"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Source guards a source of passwords.
func Source(s passdb.Source, o Options) passdb.Source { return &source{newGuard(o), s} }

type source struct {
	guard *guard
	of    passdb.Source
}

func (s *source) Lookup(ctx context.Context, v *vars.Values) (passdb.Entry, error) {
	own := *v // a lookup that nobody waits for any more still reads it
	return do(ctx, s.guard, v.User, func(ctx context.Context) (passdb.Entry, error) { return s.of.Lookup(ctx, &own) })
}

// Verifier guards a source that proves passwords itself.
func Verifier(s passdb.Verifier, o Options) passdb.Verifier { return &verifier{newGuard(o), s} }

type verifier struct {
	guard *guard
	of    passdb.Verifier
}

func (s *verifier) Verify(ctx context.Context, v *vars.Values, password string) (passdb.Entry, error) {
	own := *v
	return do(ctx, s.guard, v.User, func(ctx context.Context) (passdb.Entry, error) {
		e, err := s.of.Verify(ctx, &own, password)
		return e, scrub(err, password)
	})
}

// DB guards a source of users. Its lists are not timed: they may be long, and hold
// nobody but the one who reads them.
func DB(d userdb.DB, o Options) userdb.DB { return &db{newGuard(o), d} }

type db struct {
	guard *guard
	of    userdb.DB
}

func (d *db) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	own := *v
	return do(ctx, d.guard, v.User, func(ctx context.Context) (field.List, error) { return d.of.Lookup(ctx, &own) })
}

func (d *db) Names(v *vars.Values) bool { return d.of.Names(v) }

func (d *db) Each(ctx context.Context, canon func(string) (string, bool), yield func(string) error) error {
	if d.guard.breaker.State() == gobreaker.StateOpen {
		return d.guard.open()
	}
	return d.of.Each(ctx, canon, yield)
}
