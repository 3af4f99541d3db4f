package users

import (
	"errors"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	b := Bounds{FirstUID: 500, LastUID: 60000, FirstGID: 100, LastGID: 60000, Never: []int{900}, NeverGroups: []int{901}}
	for _, tt := range []struct {
		name     string
		uid, gid int
		groups   []int
		ok       bool
	}{
		{"an ordinary user", 1000, 1000, nil, true},
		{"root", 0, 1000, nil, false},
		{"a uid nobody gave", -1, 1000, nil, false},
		{"below the floor", 499, 1000, nil, false},
		{"above the ceiling", 60001, 1000, nil, false},
		{"one of our own", 900, 1000, nil, false},
		{"root's group", 1000, 0, nil, false},
		{"a group below the floor", 1000, 99, nil, false},
		{"a group above the ceiling", 1000, 60001, nil, false},
		{"our own group", 1000, 901, nil, false},
		{"an extra group below the floor", 1000, 1000, []int{8}, true},
		{"root's as an extra group", 1000, 1000, []int{8, 0}, false},
		{"ours as an extra group", 1000, 1000, []int{901}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := b.Check(tt.uid, tt.gid, tt.groups)
			if (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrRefused)) {
				t.Errorf("got %v, want allowed: %t", err, tt.ok)
			}
		})
	}
}

func TestGroupsOfNobodyWeKnow(t *testing.T) {
	t.Parallel()
	if got, err := GroupsOf("no-such-account"); got != nil || err != nil {
		t.Errorf("got %v, %v; want none", got, err)
	}
}
