package settings

import (
	"fmt"
	"slices"
	"strconv"

	"culver/internal/settings/finished"
)

// Listener is one descriptor that the master opens and a child receives.
type Listener struct {
	Kind    string // unix, fifo, inet
	Name    string // a path's last part, or an inet_listener's label
	Type    string
	Path    string // unix, fifo
	Mode    uint32
	Owner   Account
	Address string // inet: "*", "::" or a literal address
	Port    int
	SSL     bool
	HAProxy bool
	Reuse   bool // reuse_port
	Backlog int
	Class   string // which of the service's front processes serves it; "" where there is one
}

// The classes of doveadm's fronts. A socket of this host is served by another
// process than the network: one that a stranger took over has no connection of
// root's in it.
const (
	ClassLocal   = "local"
	ClassNetwork = "network"
)

// Listeners lists what the master opens for a service, in the order in which
// the child finds the descriptors: an inet_listener is one for each of its
// addresses. Where TLS is off globally, listeners that begin with it are left
// out.
func (c *Config) Listeners(s Service) []Listener {
	all := c.listeners(s)
	if s.Name == "doveadm" {
		for i := range all {
			all[i].Class = ClassLocal
			if all[i].Kind == "inet" {
				all[i].Class = ClassNetwork
			}
		}
	}
	return all
}

func (c *Config) listeners(s Service) []Listener {
	var all []Listener
	for _, u := range s.Unix {
		all = append(all, u.listener("unix"))
	}
	for _, u := range s.FIFO {
		all = append(all, u.listener("fifo"))
	}
	for _, i := range s.Inet {
		if i.SSL && c.Global["ssl"] == "no" {
			continue
		}
		for _, address := range i.Addresses {
			all = append(all, Listener{Kind: "inet", Name: i.Name, Type: i.Type, Address: address, Port: i.Port,
				SSL: i.SSL, HAProxy: i.HAProxy, Reuse: i.ReusePort, Backlog: i.Backlog, Owner: Account{UID: -1, GID: -1}})
		}
	}
	return all
}

func (u UnixListener) listener(kind string) Listener {
	name := u.Path
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '/' {
			name = name[i+1:]
			break
		}
	}
	return Listener{Kind: kind, Name: name, Type: u.Type, Path: u.Path, Mode: u.Mode, Owner: u.Owner, Backlog: u.Backlog}
}

// AnvilPath is where anvil is asked, or "" where it does not run.
func (c *Config) AnvilPath() string {
	if s, ok := c.Service("anvil"); ok && len(s.Unix) > 0 {
		return s.Unix[0].Path
	}
	return ""
}

// Service finds a service by name.
func (c *Config) Service(name string) (Service, bool) {
	for _, s := range c.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}

// programs lists who gets what besides its global settings.
var programs = map[string]struct {
	service    string
	listeners  bool
	databases  bool
	namespaces bool
}{
	"log":          {service: "log", listeners: true},
	"anvil":        {service: "anvil", listeners: true},
	"auth":         {service: "auth", listeners: true, databases: true},
	"lmtp":         {service: "lmtp", listeners: true},
	"lmtp-deliver": {service: "lmtp", namespaces: true},

	"doveadm-server": {service: "doveadm", listeners: true},
	"doveadm-worker": {service: "doveadm", namespaces: true},
}

// For gives a program exactly the finished settings that it needs. What only
// the master can know (the host's name, the time zone, certificates) it adds
// itself.
func For(c *Config, program string) finished.Bag { return ForClass(c, program, "") }

// ForClass is For one of a service's fronts: it learns of its own listeners only.
// "" is all of them.
func ForClass(c *Config, program, class string) finished.Bag {
	p, known := programs[program]
	if !known {
		panic("settings: no program " + program)
	}
	bag := finished.Bag{}
	for _, row := range globals() {
		if row.goesTo(program) {
			bag[row.Name] = c.Global[row.Name]
		}
	}
	if s, ok := c.Service(p.service); ok {
		bag["client_limit"] = strconv.Itoa(s.Clients)
		bag["service_count"] = strconv.Itoa(s.ServiceCount)
		bag["process_limit"] = strconv.Itoa(s.Processes)
		if p.listeners {
			all := c.Listeners(s)
			if class != "" {
				bag["class"] = class
				if class == ClassLocal { // it speaks no TLS, and needs no key
					delete(bag, "ssl")
					delete(bag, "ssl_min_protocol")
				}
				all = slices.DeleteFunc(all, func(l Listener) bool { return l.Class != class })
			}
			putListeners(bag, all)
		}
	}
	switch program {
	case "anvil": // whose attempts count
		auth, _ := c.Service("auth")
		bag["auth_uid"] = strconv.Itoa(auth.User.UID)
	case "auth":
		bag["anvil_path"] = c.AnvilPath()
	}
	if p.databases {
		putDatabases(bag, "passdb", c.Passdbs)
		putDatabases(bag, "userdb", c.Userdbs)
	}
	if p.namespaces {
		putNamespaces(bag, c.Namespaces)
	}
	return bag
}

func putListeners(bag finished.Bag, all []Listener) {
	bag["listener/count"] = strconv.Itoa(len(all))
	for i, l := range all {
		key := fmt.Sprintf("listener/%d/", i)
		bag[key+"name"] = l.Name
		bag[key+"kind"] = l.Kind
		bag[key+"type"] = l.Type
		bag[key+"ssl"] = yesNo(l.SSL)
		bag[key+"haproxy"] = yesNo(l.HAProxy)
		bag[key+"mode"] = strconv.FormatUint(uint64(l.Mode), 10)
		bag[key+"uid"] = strconv.Itoa(l.Owner.UID)
		bag[key+"gid"] = strconv.Itoa(l.Owner.GID)
	}
}

func putDatabases(bag finished.Bag, kind string, all []Database) {
	bag[kind+"/count"] = strconv.Itoa(len(all))
	for i, db := range all {
		key := fmt.Sprintf("%s/%d/", kind, i)
		for name, value := range db.Values {
			bag[key+name] = value
		}
		bag[key+"name"], bag[key+"driver"] = db.Name, db.Driver
	}
}

func putNamespaces(bag finished.Bag, all []Namespace) {
	bag["namespace/count"] = strconv.Itoa(len(all))
	for i, ns := range all {
		key := fmt.Sprintf("namespace/%d/", i)
		bag[key+"name"], bag[key+"prefix"], bag[key+"separator"] = ns.Name, ns.Prefix, ns.Separator
		bag[key+"inbox"] = yesNo(ns.Inbox)
		bag[key+"mailbox/count"] = strconv.Itoa(len(ns.Mailboxes))
		for j, m := range ns.Mailboxes {
			key := fmt.Sprintf("%smailbox/%d/", key, j)
			bag[key+"name"], bag[key+"auto"], bag[key+"special_use"] = m.Name, m.Auto, m.SpecialUse
		}
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
