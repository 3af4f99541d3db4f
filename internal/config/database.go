package config

import (
	"fmt"
	"slices"
	"strings"

	"culver/internal/settings"
)

// databases builds the passdbs or userdbs.
func (b *builder) databases(kind string) []settings.Database {
	var out []settings.Database
	for _, n := range b.root.all(kind) {
		driver := n.set["driver"]
		switch {
		case driver.value == "":
			if !driver.bad {
				b.add(n.pos, fmt.Sprintf("%s %q has no driver", kind, n.label), "passwd-file or static")
			}
			continue
		case n.set["args"].value != "":
			b.args(n, driver.value)
		}
		var rows []settings.Setting
		for _, row := range n.kind.Rows {
			foreign := row.Drivers != "" && !slices.Contains(strings.Fields(row.Drivers), driver.value)
			if g, set := n.set[row.Name]; set && foreign {
				b.add(g.Pos, fmt.Sprintf("%s%s: the driver %q has no such setting", row.Name, n.where(), driver.value), "it belongs to "+row.Drivers)
			}
			if !foreign && row.Name != "args" {
				rows = append(rows, row)
			}
		}
		db := settings.Database{Name: n.label, Driver: driver.value, Values: b.values(n, rows)}
		b.complete(n, db)
		out = append(out, db)
	}
	return out
}

// complete reports what a driver cannot do without.
func (b *builder) complete(n *node, db settings.Database) {
	what := func(what, hint string) {
		b.add(n.pos, fmt.Sprintf("%s %q: %s", n.kind.Kind, n.label, what), hint)
	}
	if db.Driver == "passwd-file" && db.Values["path"] == "" && !n.set["path"].bad {
		what("passwd-file without a path", `path = "/etc/culver/users"`)
	}
	if n.kind.Kind != "userdb" || db.Driver != "static" || n.set["fields"].bad {
		return
	}
	all := slices.Concat(db.Values.List("default_fields"), db.Values.List("fields"), db.Values.List("override_fields"))
	for _, need := range []string{"uid", "gid"} {
		if !slices.ContainsFunc(all, func(f string) bool { return strings.HasPrefix(f, need+"=") }) {
			what("static without "+need, `fields = ["uid=1000", "gid=1000", "home=/srv/mail/%u"]`)
		}
	}
}

// args reads Dovecot's older form of a database's settings into ours.
func (b *builder) args(n *node, driver string) {
	g := n.set["args"]
	names := map[string]bool{"scheme": true, "username_format": true}
	put := func(name, text string, list bool) {
		row, known := n.kind.Row(name)
		if !known {
			return // scheme in a userdb: means nothing there
		}
		v := settings.Value{Form: settings.Quoted, Text: text}
		if list {
			v.Form = settings.Listed
			for _, f := range strings.Fields(text) {
				v.Items = append(v.Items, settings.Value{Form: settings.Quoted, Text: f})
			}
		}
		canonical, err := row.Type.Canon(v)
		if err != nil {
			b.add(g.Pos, fmt.Sprintf("args: %v", err), "")
		}
		if _, set := n.set[name]; !set {
			n.set[name] = given{Pos: g.Pos, value: canonical, bad: err != nil}
		}
	}
	switch {
	case driver == "static":
		var fields []string
		for _, f := range strings.Fields(g.value) {
			name, value, _ := strings.Cut(f, "=")
			if row, known := n.kind.Row(name); known && row.Drivers == "static" {
				put(name, value, false) // allow_all_users, password
				continue
			}
			fields = append(fields, f)
		}
		put("fields", strings.Join(fields, " "), true)
	default:
		rest := g.value
		for {
			word, after, _ := strings.Cut(strings.TrimSpace(rest), " ")
			name, value, ok := strings.Cut(word, "=")
			if !ok || !names[name] {
				break
			}
			put(name, value, false)
			rest = after
		}
		put("path", strings.TrimSpace(rest), false)
	}
}
