package passdb

import (
	"errors"
	"testing"

	"culver/services/auth/field"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// one is a source with one answer.
type one struct {
	fields field.List
	err    error
}

func (o one) Lookup(*vars.Values) (field.List, error) { return o.fields, o.err }
func (o one) Names(*vars.Values) bool                 { return o.err == nil }
func (o one) Each(func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

func has(texts ...string) one {
	var l field.List
	for _, t := range texts {
		l.Set(field.Cut(t))
	}
	return one{fields: l}
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
		{"no passdb", nil, "", ErrNoLookup, userdb.ErrUnknown},
		{"found", Chain{unknown, has()}, "", nil, nil},
		{"nowhere", Chain{unknown, unknown}, "", userdb.ErrUnknown, userdb.ErrUnknown},
		{"a failure and nowhere else", Chain{one{err: broken}, unknown}, "", broken, broken},
		{"a failure, but found after it", Chain{one{err: broken}, has()}, "", nil, nil},
		{"fail counts as not found", Chain{has("fail")}, "", userdb.ErrUnknown, nil},
		{"allow_nets without an address", Chain{has("allow_nets=192.0.2.0/24")}, "", userdb.ErrUnknown, nil},
		{"allow_nets with local", Chain{has("allow_nets=192.0.2.0/24,local")}, "", nil, nil},
		{"inside the net", Chain{has("allow_nets=10.0.0.0/8 192.0.2.0/24")}, "192.0.2.9", nil, nil},
		{"mapped into IPv6", Chain{has("allow_nets=192.0.2.0/24")}, "::ffff:192.0.2.9", nil, nil},
		{"outside", Chain{has("allow_nets=192.0.2.0/24,local")}, "192.0.3.9", userdb.ErrUnknown, nil},
		{"one address", Chain{has("allow_nets=2001:db8::1")}, "2001:DB8::1", nil, nil},
		{"an item that is none lets nobody in", Chain{has("allow_nets=192.0.2")}, "192.0.2.1", userdb.ErrUnknown, nil},
		{"an address that is none", Chain{has("allow_nets=0.0.0.0/0")}, "x", userdb.ErrUnknown, nil},
	} {
		v := &vars.Values{User: "bob", RemoteIP: tt.rip}
		if _, err := tt.chain.Lookup(v); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if err := tt.chain.Exists(v); !errors.Is(err, tt.exist) {
			t.Errorf("%s: exists: got %v, want %v", tt.name, err, tt.exist)
		}
	}
}
