// Package settings is what Culver can be told: every setting as one row of one
// table, and the checked result as plain values.
//
// Runs as:   the master, the settings printer, the brain; pure.
// Trusts:    nobody.
// Distrusts: nothing: text is the business of package config.
// Speaks:    Dovecot's setting names where the meaning is the same (spec/master.md).
package settings

import (
	"time"

	"culver/internal/settings/finished"
)

// Config is one whole configuration, checked: every name resolved, every limit
// in range, every default filled in.
type Config struct {
	Global     finished.Bag // every global setting, canonical
	Services   []Service    // in order of first appearance
	Passdbs    []Database
	Userdbs    []Database
	Namespaces []Namespace
}

// Account is a resolved identity of a process or the owner of a socket. -1 for
// an id that was not given.
type Account struct {
	Name  string // as written; "" was not given
	Group string // as written; "" was not given
	UID   int
	GID   int
}

// Service is one service block with its defaults.
type Service struct {
	Name       string
	Protocol   string
	Type       string // "log", "auth", "lmtp", "anvil", "doveadm": which program's rules hold
	Executable string // relative to libexec_dir
	User       Account
	Groups     []int    // supplementary groups of extra_groups, sorted
	GroupNames []string // the same as they were written
	Chroot     string   // absolute; "" is none
	Limits
	Unix []UnixListener
	FIFO []UnixListener
	Inet []InetListener
}

// Front gives the program that faces the clients of a service, or is all of it.
func (s Service) Front() string {
	if s.Name == "doveadm" {
		return "doveadm-server"
	}
	return s.Name
}

// Limits are the numbers of a service that bound its processes.
type Limits struct {
	Processes    int           // process_limit
	MinAvail     int           // process_min_avail
	Clients      int           // client_limit
	ServiceCount int           // service_count; 0 is no limit
	IdleKill     time.Duration // idle_kill; 0 is never
	VSZ          int64         // vsz_limit in bytes; 0 is none
}

// UnixListener is a unix_listener or fifo_listener block.
type UnixListener struct {
	Path    string // absolute
	Type    string
	Mode    uint32
	Owner   Account // -1: stays the master's
	Backlog int
}

// InetListener is an inet_listener block.
type InetListener struct {
	Name      string
	Type      string
	Addresses []string // "*", "::" or literal addresses
	Port      int
	SSL       bool
	HAProxy   bool
	ReusePort bool
	Backlog   int
}

// Database is a passdb or userdb block: its settings by name, as written.
type Database struct {
	Name   string
	Driver string
	Values finished.Bag
}

// Namespace is a namespace block.
type Namespace struct {
	Name      string
	Prefix    string
	Separator string
	Inbox     bool
	Mailboxes []Mailbox
}

// Mailbox is a mailbox block of a namespace.
type Mailbox struct {
	Name       string
	Auto       string // no, create, subscribe
	SpecialUse string
}
