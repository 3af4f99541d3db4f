package passdb

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"culver/internal/password"
	"culver/services/auth/field"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Chain asks its links in order.
type Chain struct {
	Links   []Link
	Masters bool // these are the passwords of master users
}

// Link is one passdb block: a Source or a Verifier, or both.
type Link struct {
	Name string // of the block
	Source
	Verifier
	Lister Lister // nil: cannot list
}

// Run answers a question. See the errors above; a Verdict comes with each.
func (c Chain) Run(ctx context.Context, q Query) (Verdict, error) {
	verdict := Verdict{User: q.Values.User, Login: q.Values.LoginUser, Fields: q.Fields}
	if len(c.Links) == 0 {
		return verdict, ErrNoLookup
	}
	var failed error
	for _, l := range c.Links {
		e, err := l.Source.Lookup(ctx, q.Values)
		if err == nil && !allowed(e.Fields, q.Values) {
			err = userdb.ErrUnknown
		}
		if err == nil && q.Want == WantPassword && !e.NoPassword {
			ok, bad := password.Checker{}.Match(e.Password, q.Values.User, q.Password)
			if err = bad; err == nil && !ok {
				err = ErrMismatch
			}
		}
		switch {
		case err == nil:
			for _, f := range e.Fields {
				verdict.Fields.Set(f)
			}
			verdict.Stored = e.Password
			return verdict, nil
		case errors.Is(err, userdb.ErrUnknown):
		case failed == nil:
			failed = err
		}
	}
	if failed != nil {
		return verdict, failed
	}
	return verdict, userdb.ErrUnknown
}

// Exists says whether any source names the user, for the userdb static. It asks
// nothing of where a client is: mail from anywhere is for whoever exists.
func (c Chain) Exists(ctx context.Context, v *vars.Values) error {
	var failed error
	for _, l := range c.Links {
		_, err := l.Source.Lookup(ctx, v)
		switch {
		case err == nil:
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
	listed := false
	for i, l := range c.Links {
		if l.Lister == nil {
			continue
		}
		err := l.Lister.Each(ctx, canon, func(name string) error {
			for _, earlier := range c.Links[:i] {
				if earlier.Lister != nil && earlier.Lister.Names(&vars.Values{User: name}) {
					return nil
				}
			}
			return yield(name)
		})
		if err == nil {
			listed = true
		} else if !errors.Is(err, userdb.ErrNoList) && failed == nil {
			failed = err
		}
	}
	if !listed && failed == nil {
		return userdb.ErrNoList
	}
	return failed
}

// allowed is false for an entry that counts as not found: one that says fail,
// or one whose allow_nets does not have the client (spec/auth.md 2.4, 6.2).
func allowed(f field.List, v *vars.Values) bool {
	if _, ok := f.Get("fail"); ok {
		return false
	}
	nets, ok := f.Get("allow_nets")
	if !ok {
		return true
	}
	for item := range strings.FieldsFuncSeq(nets, func(r rune) bool { return r == ',' || r == ' ' }) {
		if v.RemoteIP == "" {
			if item == "local" {
				return true
			}
			continue
		}
		ip, err := netip.ParseAddr(v.RemoteIP)
		if err != nil {
			continue
		}
		if one, err := netip.ParseAddr(item); err == nil && one.Unmap() == ip.Unmap() {
			return true
		}
		if net, err := netip.ParsePrefix(item); err == nil && net.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
