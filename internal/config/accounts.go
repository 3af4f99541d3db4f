package config

import (
	"fmt"
	"os/user"
	"strconv"
)

// Accounts resolves the names of users and groups. Numbers never reach it: they
// stand for themselves.
type Accounts interface {
	User(name string) (uid, gid int, err error)
	Group(name string) (gid int, err error)
}

// System resolves names from the host's databases.
type System struct{}

// User gives an account's ids.
func (System) User(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return -1, -1, err
	}
	uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return -1, -1, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// Group gives a group's id.
func (System) Group(name string) (gid int, err error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(g.Gid)
}

// Self is for non-root mode, where everything runs as whoever started it: every
// name is that one account.
type Self struct{ UID, GID int }

// User gives the caller's ids.
func (s Self) User(string) (uid, gid int, err error) { return s.UID, s.GID, nil }

// Group gives the caller's group.
func (s Self) Group(string) (gid int, err error) { return s.GID, nil }

// userIDs resolves a name or number. A number that no account has gets the
// group of the same number, which is what packaging tools make.
func userIDs(acc Accounts, name string) (uid, gid int, err error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		if u, err := user.LookupId(name); err == nil {
			if gid, err := strconv.Atoi(u.Gid); err == nil {
				return int(n), gid, nil
			}
		}
		return int(n), int(n), nil
	}
	if uid, gid, err = acc.User(name); err != nil {
		return -1, -1, fmt.Errorf("no user %q on this host", name)
	}
	return uid, gid, nil
}

// groupID resolves a name or number.
func groupID(acc Accounts, name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(n), nil
	}
	gid, err := acc.Group(name)
	if err != nil {
		return -1, fmt.Errorf("no group %q on this host", name)
	}
	return gid, nil
}
