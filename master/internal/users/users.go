// Package users says which identities a per-user process may be born with.
//
// Runs as:   ROOT.
// Trusts:    /etc/passwd and /etc/group, the only sources a static program reads; settings.
// Distrusts: auth's numbers: they meet floor, ceiling and the list of ids that are never a mail user's.
// Speaks:    passwd(5), group(5); first_valid_uid and its kin (spec/master.md 3).
package users

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
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

// GroupsOf gives the supplementary groups of the system's account of that
// name, sorted, without gid 0 and the account's own group; none when there is no
// such account.
func GroupsOf(name string) ([]int, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if errors.As(err, new(user.UnknownUserError)) {
			return nil, nil
		}
		return nil, err
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", name, err)
	}
	var groups []int
	for _, id := range ids {
		if gid, err := strconv.Atoi(id); err == nil && gid != 0 && id != u.Gid {
			groups = append(groups, gid)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}
