package passdb

import (
	"context"
	"errors"

	"culver/services/auth/field"
	"culver/services/auth/rule"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Chain asks its links in order.
type Chain struct {
	Links   []Link
	Masters bool  // these are the passwords of master users: the first yes is the end
	Pool    *Pool // nil: no bounds, and no weak schemes
}

// Link is one passdb block. It has a Source or a Verifier or both.
type Link struct {
	Name string // of the block
	Source
	Verifier
	Lister     Lister // nil: cannot list
	Rules      rule.Rules
	Skip       Skip
	Mechanisms []string // in capitals; LOOKUP is a question without one. nil: all
	Filter     rule.Filter
	Deny       bool   // whoever is in it is shut out
	Scheme     string // of a field password that names none
	Defaults   field.Templates
	Overrides  field.Templates
}

// Skip says when a link is passed over.
type Skip int

// The conditions.
const (
	Never           Skip = iota
	Authenticated        // the password was found right before
	Unauthenticated      // it was not
)

// Exists says whether any source names the user, for the userdb static. It asks
// nothing of where a client is or of who is shut out: mail is for whoever exists.
func (c Chain) Exists(ctx context.Context, v *vars.Values) error {
	r := run{Chain: c, Query: Query{Values: v, Want: WantEntry}, good: Verdict{User: v.User}}
	var failed error
	for _, l := range c.Links {
		if l.Deny || r.skips(l) || !l.Filter.Has(v.User) {
			continue
		}
		_, err := r.entry(ctx, l, v)
		switch {
		case err == nil, errors.Is(err, ErrDisabled), errors.Is(err, ErrExpired):
			return nil
		case errors.Is(err, userdb.ErrUnknown):
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return userdb.ErrUnknown
}

// Each names the users of all sources that can list, each once.
func (c Chain) Each(ctx context.Context, canon func(string) (string, bool), yield func(string) error) error {
	var failed error
	var listed []Link
	for _, l := range c.Links {
		if l.Lister == nil || l.Deny {
			continue
		}
		err := l.Lister.Each(ctx, canon, func(name string) error {
			if !l.Filter.Has(name) {
				return nil
			}
			for _, earlier := range listed {
				if earlier.Lister.Names(&vars.Values{User: name}) {
					return nil
				}
			}
			return yield(name)
		})
		switch {
		case err == nil:
			listed = append(listed, l)
		case !errors.Is(err, userdb.ErrNoList) && failed == nil:
			failed = err
		}
	}
	if listed == nil && failed == nil {
		return userdb.ErrNoList
	}
	return failed
}
