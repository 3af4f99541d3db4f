package config

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"culver/internal/settings"
	"culver/internal/settings/finished"
)

// Print writes cfg as a configuration file that loads to the same Config: what
// differs from the defaults, or all. Secrets are named but never shown.
func Print(w io.Writer, cfg *settings.Config, all bool) error {
	p := &printer{cfg: cfg, all: all}
	root := settings.Root()
	p.rows(root.Rows, cfg.Global, p.derived)
	for _, builtin := range settings.Builtins() {
		if s, ok := cfg.Service(builtin.Name); ok {
			p.service(root, s, builtin)
		}
	}
	for _, db := range cfg.Passdbs {
		p.database(root, "passdb", db)
	}
	for _, db := range cfg.Userdbs {
		p.database(root, "userdb", db)
	}
	p.namespaces(root)
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct {
	cfg    *settings.Config
	all    bool
	out    bytes.Buffer
	indent string
}

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(&p.out, p.indent+format+"\n", args...)
}

// block prints a block with what inside prints; where only what differs is
// wanted, a block without content is left out unless it must be there.
func (p *printer) block(kind, label string, must bool, inside func()) {
	mark := p.out.Len()
	if p.indent == "" && mark > 0 {
		p.out.WriteByte('\n')
	}
	p.line("%s %s {", kind, settings.Quote(label))
	start := p.out.Len()
	outer := p.indent
	p.indent += "  "
	inside()
	p.indent = outer
	if p.out.Len() == start && !must && !p.all {
		p.out.Truncate(mark)
		return
	}
	p.line("}")
}

// rows prints settings; those of equal default only where all are wanted.
func (p *printer) rows(rows []settings.Setting, values finished.Bag, standard func(settings.Setting) string) {
	width := 0
	var shown []settings.Setting
	for _, row := range rows {
		if v, ok := values[row.Name]; ok && (p.all || v != standard(row)) {
			shown = append(shown, row)
			width = max(width, len(row.Name))
		}
	}
	for _, row := range shown {
		if row.Secret {
			p.line("# %s is not shown", row.Name)
			continue
		}
		p.line("%-*s = %s", width, row.Name, row.Type.Write(values[row.Name]))
	}
}

// derived is the value that a row would have if nobody had written it.
func (p *printer) derived(row settings.Setting) string {
	switch {
	case row.Name == "spool_dir":
		return path.Join(p.cfg.Global["base_dir"], "spool")
	case row.Name == "auth_socket_path", row.Name == "doveadm_socket_path":
		return under(p.cfg.Global["base_dir"], row.DefaultValue())
	case row.From != "" && row.Default == "":
		return p.cfg.Global[row.From]
	}
	return row.DefaultValue()
}

func (p *printer) service(root *settings.Block, s settings.Service, builtin settings.Builtin) {
	kind, _ := root.Block("service")
	var rows []settings.Setting
	for _, row := range kind.Rows {
		rows = append(rows, builtin.ServiceRow(row))
	}
	values := finished.Bag{
		"protocol": s.Protocol, "type": s.Type, "executable": s.Executable,
		"user": s.User.Name, "group": s.User.Group, "extra_groups": strings.Join(s.GroupNames, "\t"), "chroot": s.Chroot,
		"process_limit": strconv.Itoa(s.Processes), "process_min_avail": strconv.Itoa(s.MinAvail),
		"client_limit": strconv.Itoa(s.Clients), "service_count": strconv.Itoa(s.ServiceCount),
		"idle_kill": strconv.FormatInt(int64(s.IdleKill), 10), "vsz_limit": strconv.FormatInt(s.VSZ, 10),
	}
	// A service that only runs when it is named must be named; auth is one where
	// nothing else shows that it is wanted.
	must := !builtin.Always || builtin.Name == "auth" && len(p.cfg.Passdbs)+len(p.cfg.Userdbs) == 0
	p.block("service", s.Name, must, func() {
		p.rows(rows, values, p.derived)
		p.listeners(kind, s, builtin)
	})
}

func (p *printer) listeners(kind *settings.Block, s settings.Service, builtin settings.Builtin) {
	base := p.cfg.Global["base_dir"]
	off := map[string]bool{}
	for label := range builtin.Listeners {
		off[label] = true
	}
	file := func(name string, u settings.UnixListener) {
		listener, _ := kind.Block(name)
		label := u.Path
		if short, ok := strings.CutPrefix(u.Path, base+"/"); ok {
			label = short
		}
		var defaults map[string]string
		for l, d := range builtin.Listeners {
			if under(base, l) == u.Path && name == "unix_listener" {
				label, defaults = l, d
				delete(off, l)
			}
		}
		var rows []settings.Setting
		for _, row := range listener.Rows {
			rows = append(rows, listenerRow(row, defaults))
		}
		values := finished.Bag{"mode": strconv.FormatUint(uint64(u.Mode), 10), "user": u.Owner.Name, "group": u.Owner.Group}
		if name == "unix_listener" {
			values["type"], values["backlog"] = u.Type, strconv.Itoa(u.Backlog)
		}
		p.block(name, label, defaults == nil, func() { p.rows(rows, values, p.derived) })
	}
	for _, u := range s.Unix {
		file("unix_listener", u)
	}
	for label := range off { // there is at most one
		p.block("unix_listener", label, true, func() { p.line("mode = 0") })
	}
	for _, u := range s.FIFO {
		file("fifo_listener", u)
	}
	inet, _ := kind.Block("inet_listener")
	for _, i := range s.Inet {
		values := finished.Bag{
			"address": strings.Join(i.Addresses, "\t"), "port": strconv.Itoa(i.Port), "ssl": yesNo(i.SSL), "haproxy": yesNo(i.HAProxy),
			"reuse_port": yesNo(i.ReusePort), "backlog": strconv.Itoa(i.Backlog), "type": i.Type,
		}
		p.block("inet_listener", i.Name, true, func() {
			p.rows(inet.Rows, values, func(row settings.Setting) string {
				if row.Name == "address" {
					return p.cfg.Global["listen"]
				}
				return row.DefaultValue()
			})
		})
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (p *printer) database(root *settings.Block, kind string, db settings.Database) {
	block, _ := root.Block(kind)
	p.block(kind, db.Name, true, func() {
		p.rows(block.Rows, db.Values, func(row settings.Setting) string {
			if row.Must {
				return ""
			}
			return row.DefaultValue()
		})
	})
}

func (p *printer) namespaces(root *settings.Block) {
	block, _ := root.Block("namespace")
	mailbox, _ := block.Block("mailbox")
	standard := func(row settings.Setting) string { return row.DefaultValue() }
	for _, ns := range p.cfg.Namespaces {
		builtin := len(p.cfg.Namespaces) == 1 && ns.Name == "inbox" && ns.Prefix == "" && ns.Separator == "" && ns.Inbox && len(ns.Mailboxes) == 0
		if builtin && !p.all {
			return
		}
		p.block("namespace", ns.Name, true, func() {
			p.rows(block.Rows, finished.Bag{"prefix": ns.Prefix, "separator": ns.Separator, "inbox": yesNo(ns.Inbox)}, standard)
			for _, m := range ns.Mailboxes {
				p.block("mailbox", m.Name, true, func() {
					p.rows(mailbox.Rows, finished.Bag{"auto": m.Auto, "special_use": m.SpecialUse}, standard)
				})
			}
		})
	}
}
