package users

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	passwd, group := filepath.Join(dir, "passwd"), filepath.Join(dir, "group")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0600); err != nil {
			t.Fatal(err)
		}
	}
	write(passwd, "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:\nann:x:0:0::/:\nbroken:x:no\n")
	write(group, "mail:x:8:ann,bob\nann:x:1000:\nstaff:x:50:ann\n")
	f, err := Read(passwd, group)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		uid, gid int
		ok       bool
	}{
		{"ann", 1000, 1000, true}, // the first line, not the second
		{"1000", 1000, 1000, true},
		{"4242", 4242, -1, true},
		{"nobody", -1, -1, false},
		{"broken", -1, -1, false},
		{"4294967295", -1, -1, false},
		{"-1", -1, -1, false},
	} {
		uid, gid, err := f.User(tt.name)
		if uid != tt.uid || gid != tt.gid || (err == nil) != tt.ok {
			t.Errorf("User(%s): got %d, %d, %v; want %d, %d, %t", tt.name, uid, gid, err, tt.uid, tt.gid, tt.ok)
		}
	}
	if gid, err := f.Group("mail"); gid != 8 || err != nil {
		t.Errorf("Group(mail): got %d, %v; want 8", gid, err)
	}
	if got, want := f.GroupsOf("ann"), []int{8, 50}; !slices.Equal(got, want) {
		t.Errorf("GroupsOf(ann): got %v, want %v", got, want)
	}
}
