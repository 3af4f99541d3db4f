package config

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"culver/internal/maillocation"
	"culver/internal/masterproto"
	"culver/internal/settings"
)

// check judges what no single setting shows.
func (b *builder) check(cfg *settings.Config) {
	b.globals(cfg)
	for _, s := range cfg.Services {
		b.limits(s)
		b.identity(s, cfg)
	}
	b.listeners(cfg)
	b.accessGroups(cfg)
	b.workers(cfg)
	b.tls()
	b.authentication(cfg)
	b.remote(cfg)
	b.namespaceRules(cfg)
}

// missing reports something that is not there; where some text was not
// understood it may well be there.
func (b *builder) missing(at Pos, what, hint string) {
	if !b.holes {
		b.add(at, what, hint)
	}
}

func (b *builder) serviceNode(name string) *node { return b.root.find("service", name) }

func (b *builder) globals(cfg *settings.Config) {
	g := cfg.Global
	for _, id := range []string{"uid", "gid"} {
		first, last := "first_valid_"+id, "last_valid_"+id
		if n := g.Int(last); n != 0 && g.Int(first) > n {
			b.add(b.root.at(last), fmt.Sprintf("%s %d is above %s %d", first, g.Int(first), last, n), "0 is no bound")
		}
	}
	if text := g["mail_location"]; text != "" {
		if _, err := maillocation.Parse(text); err != nil {
			b.add(b.root.at("mail_location"), fmt.Sprintf("mail_location: %v", err), "")
		}
	}
	whole := g.Duration("lmtp_delivery_timeout")
	for _, part := range []string{"worker_queue_timeout", "mail_open_timeout", "auth_lookup_timeout"} {
		if g.Duration(part) >= whole {
			b.add(b.root.at(part), fmt.Sprintf("%s %s leaves nothing of lmtp_delivery_timeout %s", part,
				settings.FormatTime(g.Duration(part)), settings.FormatTime(whole)), "the delivery includes it")
		}
	}
	if limit := g.Int("spool_limit"); limit != 0 && limit < g.Int("mail_max_size") {
		b.add(b.root.at("spool_limit"), fmt.Sprintf("spool_limit %s is below mail_max_size %s", settings.FormatSize(limit),
			settings.FormatSize(g.Int("mail_max_size"))), "the largest message could never be taken")
	}
	if len(g.List("listen")) == 0 {
		b.add(b.root.at("listen"), "listen is empty", `"*" is all of IPv4, "::" all of IPv6`)
	}
}

// limits holds one service against what its kind allows.
func (b *builder) limits(s settings.Service) {
	n, builtin := b.serviceNode(s.Name), builtinOf(s)
	if s.Type != s.Name {
		b.add(n.at("type"), fmt.Sprintf("service %q has type %q", s.Name, s.Type), "leave type out")
	}
	if builtin.Single && s.Processes != 1 {
		b.add(n.at("process_limit"), fmt.Sprintf("service %q: process_limit must be 1", s.Name), "it is one process")
	} else if s.MinAvail > s.Processes {
		b.add(n.at("process_min_avail"), fmt.Sprintf("service %q: process_min_avail %d is above process_limit %d", s.Name, s.MinAvail, s.Processes), "")
	}
	if builtin.Listens && len(s.Unix)+len(s.FIFO)+len(s.Inet) == 0 {
		b.missing(n.pos, fmt.Sprintf("service %q has no listener", s.Name), `add unix_listener "NAME" {} or inet_listener "NAME" { port = N }`)
	}
	if s.Chroot != "" {
		b.add(n.at("chroot"), fmt.Sprintf("service %q: chroot is not in this version", s.Name), "leave it out: the sandbox confines services")
	}
	if s.Executable == "" {
		b.add(n.at("executable"), fmt.Sprintf("service %q has no executable", s.Name), "leave executable out")
	}
}

func builtinOf(s settings.Service) settings.Builtin {
	builtin, _ := settings.BuiltinNamed(s.Name)
	return builtin
}

// identity refuses root, and an account that two services share: processes of
// one uid may trace each other.
func (b *builder) identity(s settings.Service, cfg *settings.Config) {
	n := b.serviceNode(s.Name)
	switch {
	case s.User.UID == 0:
		b.add(n.at("user"), fmt.Sprintf("service %q would run as root", s.Name), "give it an account of its own")
	case s.User.GID == 0:
		b.add(n.at("group"), fmt.Sprintf("service %q would run in root's group", s.Name), "give it a group of its own")
	case slices.Contains(s.Groups, 0):
		b.add(n.at("extra_groups"), fmt.Sprintf("service %q would have root's group", s.Name), "")
	}
	if s.User.UID <= 0 || s.User.UID == os.Geteuid() {
		return // reported already; or non-root mode, where all are one account
	}
	for _, other := range cfg.Services {
		if other.Name == s.Name {
			return // each pair once, at the later of the two
		}
		if other.User.UID == s.User.UID {
			b.add(n.at("user"), fmt.Sprintf("services %q and %q share uid %d", other.Name, s.Name, s.User.UID), "one could trace the other: an account each")
		}
	}
}

// accessGroups refuses to every worker the groups that the master refuses to
// each: its users would all be without mail. (gid 0 is found in derive.)
func (b *builder) accessGroups(cfg *settings.Config) {
	if _, one := b.acc.(Self); one {
		return
	}
	for _, text := range cfg.Global.List("mail_access_groups") {
		gid, err := strconv.Atoi(text)
		if err != nil || gid <= 0 {
			continue
		}
		for _, s := range cfg.Services {
			if gid == s.User.GID || slices.Contains(s.Groups, gid) {
				b.add(b.root.at("mail_access_groups"), fmt.Sprintf("mail_access_groups: gid %d is a group of service %q", gid, s.Name),
					"no worker is born with a group of Culver's own")
				break
			}
		}
	}
}

// maxSocketPath is what struct sockaddr_un holds, less its final NUL.
const maxSocketPath = 107

// listeners refuses two of one address.
func (b *builder) listeners(cfg *settings.Config) {
	type claim struct{ service, what string }
	paths, ports := map[string]claim{}, map[int][]claim{}
	own := under(b.global["base_dir"], masterproto.SocketName)
	for _, s := range cfg.Services {
		n := b.serviceNode(s.Name)
		for _, u := range slices.Concat(s.Unix, s.FIFO) {
			at := b.listenerAt(n, u.Path)
			if len(u.Path) > maxSocketPath {
				b.add(at, fmt.Sprintf("the path of the socket has %d bytes", len(u.Path)), fmt.Sprintf("at most %d", maxSocketPath))
			}
			if u.Path == own {
				b.add(at, fmt.Sprintf("service %q listens on the master's own socket %s", s.Name, own), "give it another name")
			} else if first, taken := paths[u.Path]; taken {
				b.add(at, both(first.service, s.Name, u.Path), "mode = 0 switches one off")
			}
			paths[u.Path] = claim{service: s.Name}
		}
		for _, i := range s.Inet {
			for _, address := range i.Addresses {
				for _, first := range ports[i.Port] {
					if overlap(first.what, address) {
						b.add(n.find("inet_listener", i.Name).at("port"), both(first.service, s.Name, fmt.Sprintf("%s port %d", address, i.Port)), "port = 0 switches one off")
						break
					}
				}
				ports[i.Port] = append(ports[i.Port], claim{s.Name, address})
			}
		}
	}
}

func both(first, second, what string) string {
	if first == second {
		return fmt.Sprintf("service %q listens twice on %s", first, what)
	}
	return fmt.Sprintf("services %q and %q both listen on %s", first, second, what)
}

// overlap tells whether two addresses cannot both be bound to one port. IPv6
// sockets take IPv6 only, so "*" and "::" do not meet.
func overlap(a, b string) bool {
	six := func(s string) bool { return strings.Contains(s, ":") }
	any := func(s string) bool { return s == "*" || s == "0.0.0.0" || s == "::" }
	return a == b || six(a) == six(b) && (any(a) || any(b))
}

// listenerAt finds where the listener of a path was written.
func (b *builder) listenerAt(n *node, path string) Pos {
	for i := len(n.inner) - 1; i >= 0; i-- {
		if c := n.inner[i]; under(b.global["base_dir"], c.label) == path {
			return c.pos
		}
	}
	return n.pos
}

// workers holds what the sharing of worker processes needs.
func (b *builder) workers(cfg *settings.Config) {
	need := func(at Pos, why string) {
		if cfg.Global["mail_root"] == "" {
			b.missing(at, why+" needs mail_root", "the box of a process that serves several users covers mail_root")
		}
	}
	for _, s := range cfg.Services {
		if !builtinOf(s).Mail {
			continue
		}
		n := b.serviceNode(s.Name)
		if s.ServiceCount != 1 {
			need(n.at("service_count"), fmt.Sprintf("service %q: service_count other than 1", s.Name))
		}
		if s.Name == "lmtp" && cfg.Global["lmtp_reproxy"] == "uid-differs" {
			need(b.root.at("lmtp_reproxy"), `lmtp_reproxy = "uid-differs"`)
		}
		if s.MinAvail > 0 {
			need(n.at("process_min_avail"), fmt.Sprintf("service %q: process_min_avail above 0", s.Name))
			if _, one := b.acc.(Self); !one && !fixedMailID(cfg) {
				b.missing(n.at("process_min_avail"), fmt.Sprintf("service %q: process_min_avail above 0 needs one fixed mail uid and gid", s.Name),
					"first_valid_uid = last_valid_uid, first_valid_gid = last_valid_gid, system_groups = no")
			}
		}
	}
}

// fixedMailID tells whether all mail users have one identity, so that workers
// can be born before anybody is known whom they will serve.
func fixedMailID(cfg *settings.Config) bool {
	g := cfg.Global
	for _, id := range []string{"uid", "gid"} {
		if n := g.Int("first_valid_" + id); n == 0 || n != g.Int("last_valid_"+id) {
			return false
		}
	}
	return !g.Bool("system_groups")
}

// tls looks whether the files that the master will read are there.
func (b *builder) tls() {
	if b.global["ssl"] == "no" {
		return
	}
	for _, name := range []string{"ssl_cert", "ssl_key"} {
		file := b.global[name]
		if file == "" {
			if !b.root.set[name].bad {
				b.missing(b.root.at("ssl"), fmt.Sprintf("ssl = %s needs %s", b.global["ssl"], name), "")
			}
			continue
		}
		if src, err := readSource(file); err != nil {
			b.add(b.root.at(name), fmt.Sprintf("%s: cannot read %s: %v", name, file, err), "")
		} else if !strings.Contains(string(src.text), "-----BEGIN ") {
			b.add(b.root.at(name), fmt.Sprintf("%s: %s is not a PEM file", name, file), "")
		}
	}
}

// namespaceRules are Dovecot's for namespaces (spec/maildir.md).
func (b *builder) namespaceRules(cfg *settings.Config) {
	inbox, byPrefix := "", map[string]string{}
	for _, ns := range cfg.Namespaces {
		n := b.root.find("namespace", ns.Name)
		if utf8.RuneCountInString(ns.Separator) > 1 || ns.Separator == `"` || ns.Separator == `\` {
			b.add(n.at("separator"), fmt.Sprintf("namespace %q: separator %q", ns.Name, ns.Separator), `one character, "/" or "."`)
		}
		if ns.Prefix != "" && ns.Separator != "" && !strings.HasSuffix(ns.Prefix, ns.Separator) {
			b.add(n.at("prefix"), fmt.Sprintf("namespace %q: prefix %q does not end with the separator %q", ns.Name, ns.Prefix, ns.Separator), "")
		}
		if first, taken := byPrefix[ns.Prefix]; taken {
			b.add(n.at("prefix"), fmt.Sprintf("namespaces %q and %q have one prefix %q", first, ns.Name, ns.Prefix), "")
		}
		byPrefix[ns.Prefix] = ns.Name
		if ns.Inbox && inbox != "" {
			b.add(n.at("inbox"), fmt.Sprintf("namespaces %q and %q both hold INBOX", inbox, ns.Name), "")
		}
		if ns.Inbox {
			inbox = ns.Name
		}
	}
	if inbox == "" {
		b.missing(b.root.find("namespace", cfg.Namespaces[0].Name).pos, "no namespace holds INBOX", "inbox = yes in one of them")
	}
}

// remote looks whether somebody can judge those who administer this host over
// a network.
func (b *builder) remote(cfg *settings.Config) {
	if !cfg.Remote() || cfg.TicketSocket() != "" {
		return
	}
	s, _ := cfg.Service("doveadm")
	what, hint := "and service \"auth\" has none", `unix_listener "auth-doveadm" { mode = 0660 } in service auth`
	if _, own := cfg.Service("auth"); !own {
		what = fmt.Sprintf("and auth_socket_path %s is another server's, which gives out none", cfg.Global["auth_socket_path"])
		hint = "add passdb and userdb blocks, so that Culver's own auth runs, or switch the listener off with port = 0"
	}
	for _, i := range s.Inet {
		if !i.SSL {
			b.missing(b.serviceNode("doveadm").find("inet_listener", i.Name).pos,
				fmt.Sprintf("service \"doveadm\": inet_listener %q needs a socket of auth that gives out tickets, %s", i.Name, what), hint)
		}
	}
}

// remoteNotes are about doveadm's inet listeners.
func remoteNotes(cfg *settings.Config, s settings.Service) (all []string) {
	masters := slices.ContainsFunc(cfg.Passdbs, func(d settings.Database) bool { return d.Values["master"] == "yes" })
	for _, i := range s.Inet {
		at := func(format string) { all = append(all, fmt.Sprintf("service doveadm: "+format, i.Name)) }
		switch ssl := cfg.Global["ssl"]; {
		case i.SSL && ssl == "no":
			at("inet_listener %q is left out: ssl = no")
		case cfg.Global["doveadm_password_file"] == "" && !masters:
			at("nobody can log in at inet_listener %q without a passdb with master = yes or doveadm_password_file")
		case i.SSL, ssl == "required":
		case ssl == "yes":
			at("at inet_listener %q the password and all mail of a client that does not begin with STARTTLS cross the network in the clear; ssl = required refuses it")
		default:
			at("at inet_listener %q passwords and all mail cross the network in the clear")
		}
	}
	return all
}

// Notes are what check tells of a configuration that is valid: what is given
// up, and what this version leaves out.
func Notes(cfg *settings.Config) []string {
	var all []string
	note := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, s := range cfg.Services {
		switch s.Name {
		case "lmtp", "doveadm":
			if s.ServiceCount != 1 {
				note("service %s: with service_count = %d one process serves several users of one uid: a fault in it reaches all mail below mail_root", s.Name, s.ServiceCount)
			}
		}
		if s.Name == "doveadm" {
			all = append(all, remoteNotes(cfg, s)...)
		}
	}
	switch cfg.Global["sandbox"] {
	case "best-effort":
		note("sandbox = best-effort: where the kernel cannot box a child it runs without")
	case "off":
		note("sandbox = off: a worker that is taken over can reach all that its uid can")
	}
	if cfg.Global["lmtp_reproxy"] == "uid-differs" {
		note("lmtp_reproxy = uid-differs: the process that reads the network holds the mail of its own uid")
	}
	if cfg.Global["mail_fsync"] == "never" {
		note("mail_fsync = never: mail that was confirmed can be lost when the host fails")
	}
	if t := cfg.Global.Duration("shutdown_timeout"); t > 85*time.Second {
		note("shutdown_timeout %s: systemd kills a service 90s after its stop began", settings.FormatTime(t))
	}
	return all
}
