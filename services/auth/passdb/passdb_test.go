package passdb

import (
	"context"
	"errors"
	"testing"

	"culver/services/auth/field"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// one is a source with one answer.
type one struct {
	entry Entry
	err   error
}

func (o one) Lookup(context.Context, *vars.Values) (Entry, error) { return o.entry, o.err }

func has(texts ...string) one {
	var l field.List
	for _, t := range texts {
		l.Set(field.Cut(t))
	}
	return one{entry: Entry{Fields: l}}
}

func chain(all ...one) (c Chain) {
	for _, o := range all {
		c.Links = append(c.Links, Link{Source: o})
	}
	return c
}

func TestChain(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	unknown := one{err: userdb.ErrUnknown}
	for _, tt := range []struct {
		name  string
		chain Chain
		rip   string
		want  error
		exist error // for mail, which comes from anywhere
	}{
		{"no passdb", chain(), "", ErrNoLookup, userdb.ErrUnknown},
		{"found", chain(unknown, has()), "", nil, nil},
		{"nowhere", chain(unknown, unknown), "", userdb.ErrUnknown, userdb.ErrUnknown},
		{"a failure and nowhere else", chain(one{err: broken}, unknown), "", broken, broken},
		{"a failure, but found after it", chain(one{err: broken}, has()), "", nil, nil},
		{"fail counts as not found", chain(has("fail")), "", userdb.ErrUnknown, nil},
		{"allow_nets without an address", chain(has("allow_nets=192.0.2.0/24")), "", userdb.ErrUnknown, nil},
		{"allow_nets with local", chain(has("allow_nets=192.0.2.0/24,local")), "", nil, nil},
		{"inside the net", chain(has("allow_nets=10.0.0.0/8 192.0.2.0/24")), "192.0.2.9", nil, nil},
		{"mapped into IPv6", chain(has("allow_nets=192.0.2.0/24")), "::ffff:192.0.2.9", nil, nil},
		{"outside", chain(has("allow_nets=192.0.2.0/24,local")), "192.0.3.9", userdb.ErrUnknown, nil},
		{"one address", chain(has("allow_nets=2001:db8::1")), "2001:DB8::1", nil, nil},
		{"an item that is none lets nobody in", chain(has("allow_nets=192.0.2")), "192.0.2.1", userdb.ErrUnknown, nil},
		{"an address that is none", chain(has("allow_nets=0.0.0.0/0")), "x", userdb.ErrUnknown, nil},
	} {
		v := &vars.Values{User: "bob", RemoteIP: tt.rip}
		if _, err := tt.chain.Run(context.Background(), Query{Values: v, Want: WantEntry}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if err := tt.chain.Exists(context.Background(), v); !errors.Is(err, tt.exist) {
			t.Errorf("%s: exists: got %v, want %v", tt.name, err, tt.exist)
		}
	}
}
