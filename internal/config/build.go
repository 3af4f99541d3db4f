package config

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/settings"
	"culver/internal/settings/finished"
)

// builder makes a Config of the merged tree. It fills in defaults and resolves
// names; what can be judged only over the whole is in check.go.
type builder struct {
	*loader
	root   *node
	acc    Accounts
	global finished.Bag
}

func (b *builder) config() *settings.Config {
	b.global = b.values(b.root, b.root.kind.Rows)
	b.derive()
	cfg := &settings.Config{Global: b.global}
	for _, builtin := range settings.Builtins() {
		if svc, on := b.service(builtin); on {
			cfg.Services = append(cfg.Services, svc)
		}
	}
	cfg.Passdbs = b.databases("passdb")
	cfg.Userdbs = b.databases("userdb")
	cfg.Namespaces = b.namespaces()
	return cfg
}

// values gives the canonical value of each row: what was written, or the
// default.
func (b *builder) values(n *node, rows []settings.Setting) finished.Bag {
	bag := finished.Bag{}
	for _, row := range rows {
		if g, ok := n.set[row.Name]; ok && !g.bad {
			bag[row.Name] = g.value
			continue
		}
		if bag[row.Name] = row.DefaultValue(); row.From != "" && row.Default == "" {
			bag[row.Name] = b.global[row.From]
		}
	}
	return bag
}

// paths makes the paths of the top level absolute.
func (b *builder) paths() {
	base := b.global["base_dir"]
	if b.global["spool_dir"] == "" {
		b.global["spool_dir"] = path.Join(base, "spool")
	}
	b.global["auth_socket_path"] = under(base, b.global["auth_socket_path"])
	if at := b.global["doveadm_socket_path"]; strings.Contains(at, "/") || !strings.Contains(at, ":") { // else HOST:PORT
		b.global["doveadm_socket_path"] = under(base, at)
	}
}

// derive fills in what depends on other global settings.
func (b *builder) derive() {
	b.paths()
	var gids []string
	for _, name := range b.global.List("mail_access_groups") {
		gid := b.group(b.root, "mail_access_groups", name)
		if gid == 0 {
			b.add(b.root.at("mail_access_groups"), fmt.Sprintf("mail_access_groups: %q is gid 0", name), "workers never get root's group")
		}
		gids = append(gids, strconv.Itoa(gid))
	}
	b.global["mail_access_groups"] = strings.Join(gids, "\t")
}

func under(base, name string) string {
	if name == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(base, name)
}

// at gives the place of a setting, or of its block where it was not written.
func (n *node) at(name string) Pos {
	if g, ok := n.set[name]; ok {
		return g.Pos
	}
	return n.pos
}

// find gives the inner block of a kind and label; where none was written, an
// empty one at the same place.
func (n *node) find(kind, label string) *node {
	for _, c := range n.all(kind) {
		if c.label == label {
			return c
		}
	}
	k, _ := n.kind.Block(kind)
	return newNode(k, label, n.pos)
}

// service builds one service; false where it does not run.
func (b *builder) service(builtin settings.Builtin) (settings.Service, bool) {
	n := b.root.find("service", builtin.Name)
	if written := slices.Contains(b.root.inner, n); !written && (!builtin.Always || builtin.Name == "auth" && b.foreignAuth()) {
		return settings.Service{}, false
	}
	var rows []settings.Setting
	for _, row := range n.kind.Rows {
		rows = append(rows, builtin.ServiceRow(row))
	}
	v := b.values(n, rows)
	if v["protocol"] != "" && !slices.Contains(b.global.List("protocols"), v["protocol"]) {
		return settings.Service{}, false
	}
	svc := settings.Service{
		Name: builtin.Name, Protocol: v["protocol"], Type: v["type"], Executable: v["executable"],
		Chroot:     under(b.global["base_dir"], v["chroot"]),
		User:       b.process(n, v),
		GroupNames: v.List("extra_groups"),
		Limits: settings.Limits{
			Processes: int(v.Int("process_limit")), MinAvail: int(v.Int("process_min_avail")),
			Clients: int(v.Int("client_limit")), ServiceCount: int(v.Int("service_count")),
			IdleKill: time.Duration(v.Int("idle_kill")), VSZ: v.Int("vsz_limit"),
		},
	}
	for _, name := range svc.GroupNames {
		svc.Groups = append(svc.Groups, b.group(n, "extra_groups", name))
	}
	slices.Sort(svc.Groups)
	svc.Groups = slices.Compact(svc.Groups)
	svc.Unix = b.files(n, "unix_listener", builtin.Listeners)
	svc.FIFO = b.files(n, "fifo_listener", nil)
	svc.Inet = b.ports(n)
	return svc, !builtin.Optional || len(svc.Unix)+len(svc.FIFO)+len(svc.Inet) > 0
}

// foreignAuth tells whether users are looked up in another server's socket, and
// nothing here would give our own auth anything to answer.
func (b *builder) foreignAuth() bool {
	return b.global["auth_socket_path"] != path.Join(b.global["base_dir"], "auth-userdb") &&
		len(b.root.all("passdb"))+len(b.root.all("userdb")) == 0
}

// process resolves the account of a service.
func (b *builder) process(n *node, v finished.Bag) settings.Account {
	a := settings.Account{Name: v["user"], Group: v["group"], UID: -1, GID: -1}
	uid, gid, err := userIDs(b.acc, a.Name)
	if err != nil {
		b.account(n, "user", a.Name, err)
	}
	if a.UID, a.GID = uid, gid; a.Group != "" {
		a.GID = b.group(n, "group", a.Group)
	}
	return a
}

// group resolves a group and reports one that is missing.
func (b *builder) group(n *node, setting, name string) int {
	gid, err := groupID(b.acc, name)
	if err != nil {
		b.account(n, setting, name, err)
	}
	return gid
}

// account reports a name that the host does not have, where it was written: in
// the block, or as the default of all blocks.
func (b *builder) account(n *node, setting, name string, err error) {
	at, where := n.at(setting), ""
	if n.kind.Kind != "" {
		where = fmt.Sprintf("%s %q: ", n.kind.Kind, n.label)
	}
	hint := "create it, or give another name or a number"
	if _, own := n.set[setting]; !own {
		if b.holes {
			return // what was not understood may name another
		}
		global := "default_internal_group"
		if setting == "user" {
			global = "default_internal_user"
		}
		if b.global[global] == name {
			hint = "create it, or set " + global
			if g, written := b.root.set[global]; written {
				at, where, hint = g.Pos, global+": ", "create it, or give another name or a number" // once for all who use it
			}
		}
	}
	b.add(at, where+err.Error(), hint)
}

// files builds the listeners that have a path; those with mode 0 are off.
func (b *builder) files(n *node, kind string, builtin map[string]map[string]string) []settings.UnixListener {
	var nodes []*node // our own first, so that the order is one however they are written
	for _, name := range slices.Sorted(maps.Keys(builtin)) {
		nodes = append(nodes, n.find(kind, name))
	}
	for _, c := range n.all(kind) {
		if !slices.Contains(nodes, c) {
			nodes = append(nodes, c)
		}
	}
	var out []settings.UnixListener
	for _, c := range nodes {
		var rows []settings.Setting
		for _, row := range c.kind.Rows {
			rows = append(rows, listenerRow(row, builtin[c.label]))
		}
		v := b.values(c, rows)
		if v.Int("mode") == 0 {
			continue
		}
		label, err := settings.BasePath().Canon(settings.Value{Form: settings.Quoted, Text: c.label})
		if err != nil {
			b.add(c.pos, fmt.Sprintf("%s: %v", kind, err), "")
		}
		l := settings.UnixListener{Path: under(b.global["base_dir"], label), Type: v["type"], Mode: uint32(v.Int("mode")), Owner: b.owner(c, v)}
		if backlog, ok := v["backlog"]; ok {
			l.Backlog, _ = strconv.Atoi(backlog)
		}
		out = append(out, l)
	}
	return out
}

// listenerRow gives a row of a listener with the default that it has in this
// one.
func listenerRow(row settings.Setting, defaults map[string]string) settings.Setting {
	if text, ok := defaults[row.Name]; ok {
		row.Default = text
		if text[0] == '$' {
			row.Default, row.From = "", text[1:]
		}
	}
	return row
}

// owner resolves the owner of a socket.
func (b *builder) owner(n *node, v finished.Bag) settings.Account {
	a := settings.Account{Name: v["user"], Group: v["group"], UID: -1, GID: -1}
	if a.Name != "" {
		uid, _, err := userIDs(b.acc, a.Name)
		if err != nil {
			b.account(n, "user", a.Name, err)
		}
		a.UID = uid
	}
	if a.Group != "" {
		a.GID = b.group(n, "group", a.Group)
	}
	return a
}

// ports builds the inet listeners; those with port 0 are off.
func (b *builder) ports(n *node) []settings.InetListener {
	var out []settings.InetListener
	for _, c := range n.all("inet_listener") {
		v := b.values(c, c.kind.Rows)
		if v["port"] == "0" {
			continue
		}
		addresses := v.List("address")
		if len(addresses) == 0 {
			addresses = b.global.List("listen")
		}
		out = append(out, settings.InetListener{
			Name: c.label, Type: v["type"], Addresses: addresses, Port: int(v.Int("port")),
			SSL: v.Bool("ssl"), HAProxy: v.Bool("haproxy"), ReusePort: v.Bool("reuse_port"), Backlog: int(v.Int("backlog")),
		})
	}
	return out
}

// namespaces builds the namespaces; without any there is one for INBOX.
func (b *builder) namespaces() []settings.Namespace {
	var out []settings.Namespace
	for _, n := range b.root.all("namespace") {
		v := b.values(n, n.kind.Rows)
		ns := settings.Namespace{Name: n.label, Prefix: v["prefix"], Separator: v["separator"], Inbox: v.Bool("inbox")}
		for _, m := range n.all("mailbox") {
			v := b.values(m, m.kind.Rows)
			ns.Mailboxes = append(ns.Mailboxes, settings.Mailbox{Name: m.label, Auto: v["auto"], SpecialUse: v["special_use"]})
		}
		out = append(out, ns)
	}
	if len(out) == 0 {
		return []settings.Namespace{{Name: "inbox", Inbox: true}}
	}
	return out
}
