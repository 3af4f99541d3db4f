// Package users turns names and auth's answers into the numbers that a process
// may be born with.
//
// Runs as:   ROOT.
// Trusts:    /etc/passwd and /etc/group, the only sources a static program reads; settings.
// Distrusts: auth's numbers: they meet floor, ceiling and the list of ids that are never a mail user's.
// Speaks:    passwd(5), group(5); first_valid_uid and its kin (spec/master.md 3).
package users

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// ErrRefused says that an identity is outside what the settings allow.
var ErrRefused = errors.New("identity refused")

// Bounds are the identities that mail users may have.
type Bounds struct {
	FirstUID, LastUID int // last_valid_uid 0: no ceiling
	FirstGID, LastGID int
	Never             []int // uids of Culver's own services
	NeverGroups       []int // and their gids
}

// Check says whether a worker may be born with this identity. uid and gid 0
// never are, whatever the settings say.
func (b Bounds) Check(uid, gid int, groups []int) error {
	switch {
	case uid <= 0:
		return fmt.Errorf("%w: uid %d is never a mail user's", ErrRefused, uid)
	case uid < b.FirstUID:
		return fmt.Errorf("%w: uid %d is below first_valid_uid %d", ErrRefused, uid, b.FirstUID)
	case b.LastUID > 0 && uid > b.LastUID:
		return fmt.Errorf("%w: uid %d is above last_valid_uid %d", ErrRefused, uid, b.LastUID)
	case slices.Contains(b.Never, uid):
		return fmt.Errorf("%w: uid %d belongs to Culver itself", ErrRefused, uid)
	}
	if err := b.checkGID(gid); err != nil {
		return err
	}
	for _, g := range groups {
		if err := b.checkGroup(g); err != nil {
			return err
		}
	}
	return nil
}

func (b Bounds) checkGID(gid int) error {
	switch {
	case gid > 0 && gid < b.FirstGID:
		return fmt.Errorf("%w: gid %d is below first_valid_gid %d", ErrRefused, gid, b.FirstGID)
	case b.LastGID > 0 && gid > b.LastGID:
		return fmt.Errorf("%w: gid %d is above last_valid_gid %d", ErrRefused, gid, b.LastGID)
	}
	return b.checkGroup(gid)
}

// checkGroup holds for supplementary groups too: the valid range is about mail
// users' own groups, gid 0 and Culver's about everything.
func (b Bounds) checkGroup(gid int) error {
	switch {
	case gid <= 0:
		return fmt.Errorf("%w: gid %d is never a mail user's", ErrRefused, gid)
	case slices.Contains(b.NeverGroups, gid):
		return fmt.Errorf("%w: gid %d belongs to Culver itself", ErrRefused, gid)
	}
	return nil
}

// Files is one reading of the account files.
type Files struct {
	uids   map[string]account
	gids   map[string]int
	groups map[string][]int // supplementary groups by member's name
}

type account struct{ uid, gid int }

// Read reads the account files. Lines it cannot read are nobody's.
func Read(passwd, group string) (*Files, error) {
	f := &Files{map[string]account{}, map[string]int{}, map[string][]int{}}
	err := lines(passwd, 7, func(c []string) {
		uid, err1 := strconv.Atoi(c[2])
		gid, err2 := strconv.Atoi(c[3])
		if _, twice := f.uids[c[0]]; !twice && err1 == nil && err2 == nil {
			f.uids[c[0]] = account{uid, gid}
		}
	})
	if err != nil {
		return nil, err
	}
	return f, lines(group, 4, func(c []string) {
		gid, err := strconv.Atoi(c[2])
		if _, twice := f.gids[c[0]]; twice || err != nil {
			return
		}
		f.gids[c[0]] = gid
		for _, member := range strings.Split(c[3], ",") {
			if member != "" {
				f.groups[member] = append(f.groups[member], gid)
			}
		}
	})
}

func lines(path string, columns int, each func([]string)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if c := strings.Split(strings.TrimRight(line, "\n"), ":"); len(c) == columns {
			each(c)
		}
	}
	return nil
}

// User gives the ids of an account, by name or number. A number needs no
// account; its gid is -1 when there is none.
func (f *Files) User(name string) (uid, gid int, err error) {
	if a, ok := f.uids[name]; ok {
		return a.uid, a.gid, nil
	}
	n, err := number(name)
	if err != nil {
		return -1, -1, fmt.Errorf("no user %q", name)
	}
	for _, a := range f.uids {
		if a.uid == n {
			return n, a.gid, nil
		}
	}
	return n, -1, nil
}

// Group gives the gid of a group, by name or number.
func (f *Files) Group(name string) (int, error) {
	if gid, ok := f.gids[name]; ok {
		return gid, nil
	}
	n, err := number(name)
	if err != nil {
		return -1, fmt.Errorf("no group %q", name)
	}
	return n, nil
}

func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 { // the highest means "leave as it is" to the kernel
		return -1, errors.New("not an id")
	}
	return int(n), nil
}

// GroupsOf gives the supplementary groups of an account, sorted.
func (f *Files) GroupsOf(name string) []int {
	g := slices.Clone(f.groups[name])
	slices.Sort(g)
	return slices.Compact(g)
}
