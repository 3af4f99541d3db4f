// Package grant makes what a per-user worker is told of its user, out of auth's
// answer and the settings.
//
// Runs as:   the master; the LMTP front where it delivers itself; pure.
// Trusts:    auth's answer, in which an administrator's data may be wrong.
// Distrusts: a field that is no setting of a user's own: it changes nothing.
// Speaks:    package finished.
package grant

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"culver/internal/authproto"
	"culver/internal/maillocation"
	"culver/internal/settings"
	"culver/internal/settings/finished"
)

// Maker makes grants by one configuration. It holds no state.
type Maker struct {
	Location  maillocation.Template
	MakeHomes bool // mail_home_create: the worker makes a missing Maildir, and in mail_root a missing home

	own map[string]settings.Setting // what a userdb field may set for its user
}

// NewMaker reads the template mail_location, which may be empty where no user
// has a mailbox here.
func NewMaker(location string) (*Maker, error) {
	m := &Maker{own: settings.UserRows()}
	if location == "" {
		return m, nil
	}
	var err error
	if m.Location, err = maillocation.Parse(location); err != nil {
		err = fmt.Errorf("mail_location: %w", err)
	}
	return m, err
}

// ErrNoPlace says that neither home nor mail_location tell where the mail is.
var ErrNoPlace = errors.New("auth gave no home and mail_location names no other place")

// Grant is what one worker is told, and the directories outside the home that
// it needs.
type Grant struct {
	finished.Bag
	Outside []maillocation.Box
}

// For makes the grant of one user. Its error is about this user alone and
// temporary: a value that is none must not pass as "no quota".
func (m *Maker) For(u authproto.User) (Grant, error) {
	location := m.Location
	var err error
	if mail := u.Fields["mail"]; mail != "" {
		if location, err = maillocation.Parse(mail); err != nil {
			return Grant{}, fmt.Errorf("userdb field mail: %w", err)
		}
	}
	vars := maillocation.Vars{User: u.Name, Home: u.Home}
	at, err := location.Expand(vars)
	if err != nil {
		return Grant{}, fmt.Errorf("mail_location: %w", err)
	}
	b := finished.Bag{
		"user":             u.Name,
		"home":             u.Home,
		"uid":              strconv.Itoa(u.UID),
		"gid":              strconv.Itoa(u.GID),
		"mail_path":        at.Root,
		"inbox_path":       at.Inbox,
		"control_path":     at.Control,
		"index_path":       at.Index,
		"mail_layout":      at.Layout,
		"mail_utf8":        yesNo(at.UTF8),
		"subscriptions":    at.Subscriptions,
		"mail_home_create": yesNo(m.MakeHomes),
	}
	if err := m.addOwn(b, u.Fields); err != nil {
		return Grant{}, err
	}
	return Grant{b, location.Boxes(vars)}, nil
}

// addOwn adds the userdb fields that name a setting a user may have of his own.
func (m *Maker) addOwn(b finished.Bag, fields map[string]string) error {
	var rules []settings.Value
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		v := settings.Value{Form: settings.Quoted, Text: fields[k]}
		if strings.HasPrefix(k, "quota_rule") { // quota_rule, quota_rule2, ...
			rules = append(rules, v)
		} else if row, ok := m.own[k]; ok {
			canonical, err := row.Type.Canon(v)
			if err != nil {
				return fmt.Errorf("userdb field %s: %w", k, err)
			}
			b[k] = canonical
		}
	}
	if rules == nil {
		return nil
	}
	canonical, err := m.own["quota_rule"].Type.Canon(settings.Value{Form: settings.Listed, Items: rules})
	if err != nil {
		return fmt.Errorf("userdb field quota_rule: %w", err)
	}
	b["quota_rule"] = canonical
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
