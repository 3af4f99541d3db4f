package userdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"culver/internal/authproto"
	"culver/services/auth/field"
	"culver/services/auth/rule"
	"culver/services/auth/vars"
)

// Chain asks its links in order.
type Chain struct {
	Links []Link
	IDs   IDs
}

// Link is one userdb block.
type Link struct {
	Name string // of the block
	DB
	Rules     rule.Rules
	Skip      Skip
	Filter    rule.Filter
	Defaults  field.Templates
	Overrides field.Templates
}

// Skip says when a link is passed over.
type Skip int

// The conditions.
const (
	Never    Skip = iota
	Found         // the verdict so far is yes
	NotFound      // it is no
)

// fromLogin is a source that answers another way for who has just logged in.
type fromLogin interface {
	Login(ctx context.Context, v *vars.Values, passed field.List) (field.List, error)
}

// errLater says that a source can be asked after a login only.
var errLater = errors.New("answers only those who log in")

// Lookup gives the user's fields, complete: uid, gid and home first. Where the
// user has another name now, it is the field user. The errors are those of DB:
// where no source has the user, one failure among them makes the answer a
// failure, since the failed one might have had it.
func (c Chain) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	r := run{Chain: c, name: v.User, values: v}
	return r.links(ctx)
}

// Login is Lookup for a user who has just logged in: passed are the fields of the
// passdbs. Those that begin with userdb_ come first.
func (c Chain) Login(ctx context.Context, v *vars.Values, passed field.List) (field.List, error) {
	r := run{Chain: c, name: v.User, values: v, passed: passed, login: true}
	for _, f := range passed {
		if key, ok := strings.CutPrefix(f.Key, "userdb_"); ok {
			f.Key = key
			r.fields.Set(f)
		}
	}
	var err error
	if r.values, r.fields, err = rename(r.values, r.fields); err != nil {
		return nil, err
	}
	return r.links(ctx)
}

// run is one lookup on its way through the links.
type run struct {
	Chain
	name     string // as it was asked for
	values   *vars.Values
	passed   field.List // of the passdbs
	login    bool
	fields   field.List // of those who said yes
	complete bool       // they are checked, and in their order
	yes      bool       // one has said yes
	verdict  bool       // by the rules, so far
	broken   error      // the first that could not tell
	no       bool       // one has said no
}

func (r *run) links(ctx context.Context) (field.List, error) {
	filtered := 0
	for _, l := range r.Links {
		switch {
		case !l.Filter.Has(r.values.User):
			filtered++
			continue
		case l.Skip == Found && r.verdict, l.Skip == NotFound && !r.verdict:
			continue
		}
		v, fields, err := r.ask(ctx, l)
		if errors.Is(err, errLater) {
			continue
		}
		then := l.Rules.After(answer(err))
		if err == nil && !then.Continues() {
			// What this one leaves out nobody adds: that it is not whole is its failure.
			if fields, err = r.IDs.complete(fields); err != nil {
				err = named(l, at(l, r.values, err))
				then = l.Rules.After(rule.Broken)
			}
		}
		switch {
		case err == nil:
			r.yes, r.values, r.fields, r.complete = true, v, fields, !then.Continues()
		case errors.Is(err, ErrUnknown):
			r.no = true
		case r.broken == nil:
			r.broken = err
		}
		if r.verdict = then.Verdict(r.verdict); !then.Continues() {
			break
		}
	}
	switch {
	case r.yes && r.verdict:
		return r.whole()
	case r.broken != nil:
		return nil, r.broken
	case r.no, filtered > 0 && filtered == len(r.Links):
		return nil, ErrUnknown
	case r.yes:
		return nil, errors.New("the userdb that has the user leaves the verdict to others, and there are none")
	}
	return nil, errors.New("there is no userdb to be asked without a login")
}

// whole gives the answer of those who said yes together.
func (r *run) whole() (field.List, error) {
	if !r.complete {
		var err error
		if r.fields, err = r.IDs.complete(r.fields); err != nil {
			return nil, err
		}
	}
	if r.values.User != r.name {
		r.fields = append(r.fields, field.Field{Key: "user", Value: r.values.User})
	}
	return r.fields, nil
}

func answer(err error) rule.Answer {
	switch {
	case err == nil:
		return rule.Yes
	case errors.Is(err, ErrUnknown):
		return rule.No
	}
	return rule.Broken
}

// at adds where a user's entry is, so that an administrator finds it.
func at(l Link, v *vars.Values, err error) error {
	var refused *Refused
	if db, ok := l.DB.(interface{ Where(*vars.Values) string }); ok && !errors.As(err, &refused) {
		return fmt.Errorf("%s: %w", db.Where(v), err)
	}
	return err
}

// named adds the block's name to an error that is none of the user's own.
func named(l Link, err error) error {
	var refused *Refused
	if l.Name == "" || errors.As(err, &refused) || errors.Is(err, ErrUnknown) {
		return err
	}
	return fmt.Errorf("userdb %q: %w", l.Name, err)
}

// ask gives what a link adds, with what there is already.
func (r *run) ask(ctx context.Context, l Link) (*vars.Values, field.List, error) {
	all := append(make(field.List, 0, len(r.fields)+4), r.fields...)
	v := r.values
	if r.passed != nil || len(all) > 0 || len(l.Defaults) > 0 || len(l.Overrides) > 0 {
		v = r.seen(&all)
	}
	if err := l.Defaults.AddTo(&all, v); err != nil {
		return v, nil, named(l, err)
	}
	lookup := l.DB.Lookup
	if db, ok := l.DB.(fromLogin); ok && r.login {
		lookup = func(ctx context.Context, v *vars.Values) (field.List, error) { return db.Login(ctx, v, r.passed) }
	}
	more, err := lookup(ctx, v)
	if err != nil {
		return v, nil, named(l, err)
	}
	for _, f := range more {
		all.Set(f)
	}
	if err := l.Overrides.AddTo(&all, v); err != nil {
		return v, nil, named(l, err)
	}
	if text, ok := all.Get("userdb_import"); ok {
		all.Remove("userdb_import")
		all.Import(text)
	}
	v, all, err = rename(v, all)
	if err != nil {
		err = named(l, err)
	}
	return v, all, err
}

// seen are the values that a link sees: what was gathered can be asked for.
func (r *run) seen(fields *field.List) *vars.Values {
	v := *r.values
	before := v.Field
	v.Field = func(db, name string) (string, bool) {
		switch {
		case db == "userdb":
			return fields.Get(name)
		case r.passed != nil:
			return r.passed.Get(name)
		case before != nil:
			return before(db, name)
		}
		return "", false
	}
	return &v
}

// rename takes the fields user, username and domain out: the links after this
// one are asked for that name.
func rename(v *vars.Values, all field.List) (*vars.Values, field.List, error) {
	name := v.User
	kept := all[:0]
	for _, f := range all {
		switch f.Key {
		case "user":
			name = f.Value
		case "username":
			name = f.Value + vars.FromAt(name)
		case "domain":
			name = vars.BeforeAt(name) + "@" + f.Value
		default:
			kept = append(kept, f)
		}
	}
	if name == v.User {
		return v, kept, nil
	}
	if !authproto.ValidUser(name) {
		return v, nil, fmt.Errorf("field user=%q is no user name", name)
	}
	other := *v
	other.User = name
	return &other, kept, nil
}

// Each names each user once, and only those that Lookup answers. It goes on
// past a source that fails, so that a partial list is as long as it can be,
// and gives the first failure at the end.
func (c Chain) Each(ctx context.Context, canon func(string) (string, bool), values func(name string) *vars.Values, yield func(name string) error) error {
	var failed error
	listed := false
	for i, l := range c.Links {
		err := l.DB.Each(ctx, canon, func(name string) error {
			v := values(name)
			for _, earlier := range c.Links[:i] {
				if earlier.Filter.Has(name) && earlier.Names(v) {
					return nil
				}
			}
			if !l.Filter.Has(name) {
				return nil
			}
			if _, err := c.Lookup(ctx, v); err != nil {
				return stop(ctx.Err())
			}
			return stop(yield(name))
		})
		var s stopped
		switch {
		case errors.As(err, &s):
			return s.error
		case err == nil:
			listed = true
		case !errors.Is(err, ErrNoList) && failed == nil:
			failed, listed = err, true
		}
	}
	if !listed {
		return ErrNoList
	}
	return failed
}

// stopped marks an error of the caller's, which ends the whole list.
type stopped struct{ error }

func stop(err error) error {
	if err != nil {
		return stopped{err}
	}
	return nil
}
