package master

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/grant"
	"culver/internal/handoff"
	"culver/internal/maillocation"
	"culver/internal/settings"
	"culver/internal/settings/finished"
	"culver/master/internal/rootexec"
	"culver/master/internal/users"
)

// birth is one user's worker before it exists: who it is, what its box opens,
// and what it is told.
type birth struct {
	user  string
	child rootexec.Child
	grant finished.Bag
}

// births turns auth's answers into births, by the settings of one generation.
// It holds no state and may be used outside the loop.
type births struct {
	keep         *rootexec.Identity // non-root mode: everybody is this one
	bounds       users.Bounds
	groups       []int // mail_access_groups
	systemGroups bool
	grants       *grant.Maker
	mailRoot     string // mail_root
	marker       string // mail_mount_marker
	make         bool   // mail_home_create
	openTimeout  time.Duration
}

func newBirths(cfg *settings.Config, keep *rootexec.Identity) (births, error) {
	v := cfg.Global
	b := births{
		keep: keep,
		bounds: users.Bounds{
			FirstUID: int(v.Int("first_valid_uid")), LastUID: int(v.Int("last_valid_uid")),
			FirstGID: int(v.Int("first_valid_gid")), LastGID: int(v.Int("last_valid_gid")),
		},
		systemGroups: v.Bool("system_groups"),
		mailRoot:     v.String("mail_root"),
		marker:       v.String("mail_mount_marker"),
		make:         v.Bool("mail_home_create"),
		openTimeout:  v.Duration("mail_open_timeout"),
	}
	for _, s := range cfg.Services {
		b.bounds.Never = append(b.bounds.Never, s.User.UID)
		b.bounds.NeverGroups = append(append(b.bounds.NeverGroups, s.User.GID), s.Groups...)
	}
	for _, g := range v.List("mail_access_groups") {
		gid, err := strconv.Atoi(g)
		if err != nil {
			return b, fmt.Errorf("mail_access_groups: %w", err)
		}
		b.groups = append(b.groups, gid)
	}
	var err error
	if b.grants, err = grant.NewMaker(v.String("mail_location")); err == nil {
		b.grants.MakeHomes = b.make
	}
	return b, err
}

var errNoIdentity = errors.New("auth gave no uid or no gid")

// of checks one answer of auth, and makes of it a birth in a pool of a service.
// In one that is shared a worker may serve several users, so its box is
// mail_root; else each has its own. Its error is about this user alone and
// temporary.
func (b *births) of(u authproto.Redeemed, service string, shared bool) (birth, error) {
	who, err := b.identity(u.User)
	if err != nil {
		return birth{}, err
	}
	g, err := b.grants.For(u.User)
	if err != nil {
		return birth{}, err
	}
	g.Bag["service"] = service
	g.Bag["commands"] = strings.Join(u.Commands, "\t") // none: the front may ask for any
	child := rootexec.Child{Identity: who, User: u.Name, Deadline: b.openTimeout}
	if shared {
		child.Paths = []rootexec.Path{{Above: b.mailRoot}}
	} else {
		child.Paths = b.paths(u.Home, g.Outside)
	}
	if len(child.Paths) == 0 {
		return birth{}, grant.ErrNoPlace
	}
	if b.marker != "" {
		child.Marker = filepath.Join(markerDir(child.Paths[0], b.mailRoot), b.marker)
		if b.mailRoot != "" {
			g.Bag["mail_mount_marker"] = child.Marker // the worker may outlive the mount
		}
	}
	if n := len(g.Bag.Encode()); n > handoff.MaxGrant {
		return birth{}, fmt.Errorf("a worker can be told %d bytes about its user, and auth's fields and mail_location make %d", handoff.MaxGrant, n)
	}
	return birth{u.Name, child, g.Bag}, nil
}

// only is the identity of all mail where the settings leave only one.
func (b *births) only() (rootexec.Identity, bool) {
	if b.keep != nil {
		return *b.keep, true
	}
	who := rootexec.Identity{UID: b.bounds.FirstUID, GID: b.bounds.FirstGID, Groups: b.groups}
	one := b.bounds.FirstUID == b.bounds.LastUID && b.bounds.FirstGID == b.bounds.LastGID && !b.systemGroups
	return who, one && b.mailRoot != "" && b.bounds.Check(who.UID, who.GID, who.Groups) == nil
}

// markerDir is where mail_mount_marker is looked for: in mail_root, else in the
// directory above the home, which is the one that gets mounted.
func markerDir(first rootexec.Path, mailRoot string) string {
	switch {
	case mailRoot != "":
		return mailRoot
	case first.Below != "":
		return first.Above
	}
	return filepath.Dir(first.Above)
}

func (b *births) identity(u authproto.User) (rootexec.Identity, error) {
	if b.keep != nil {
		return *b.keep, nil
	}
	if u.UID < 0 || u.GID < 0 {
		return rootexec.Identity{}, errNoIdentity
	}
	groups := slices.Clone(b.groups)
	if b.systemGroups {
		name := u.Name
		if account := u.Fields["system_groups_user"]; account != "" {
			name = account
		}
		own, err := users.GroupsOf(name)
		if err != nil {
			return rootexec.Identity{}, err
		}
		groups = append(groups, own...)
	}
	slices.Sort(groups)
	who := rootexec.Identity{UID: u.UID, GID: u.GID, Groups: slices.Compact(groups)}
	return who, b.bounds.Check(who.UID, who.GID, who.Groups)
}

// paths are what the box opens: the home, then what lies elsewhere.
func (b *births) paths(home string, boxes []maillocation.Box) (all []rootexec.Path) {
	if home != "" {
		all = append(all, rootexec.Path{Above: home, Make: b.make})
	}
	for _, box := range boxes {
		all = append(all, rootexec.Path{Above: box.Above, Below: box.Below, Make: b.make && box.Below != "" && !box.Index, Spare: box.Index})
	}
	return all
}
