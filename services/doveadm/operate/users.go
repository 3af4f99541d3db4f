package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"culver/internal/authproto"
)

// auth gives a client of auth's userdb socket.
func (o *operation) auth() (*authproto.Client, error) {
	path := o.p.Value("socket-path")
	if path == "" {
		cfg, err := o.load()
		if err != nil {
			return nil, err
		}
		path = cfg.Global.String("auth_socket_path")
	}
	return &authproto.Client{Dial: authproto.Path(path)}, nil
}

// user prints what auth knows of users, or the names that masks match.
func (o *operation) user() error {
	params, err := o.params()
	if err != nil {
		return err
	}
	client, err := o.auth()
	if err != nil {
		return err
	}
	defer client.Close()
	users := o.p.All("user")
	if slices.ContainsFunc(users, func(u string) bool { return strings.ContainsAny(u, "*?") }) {
		return o.list(client, users, params)
	}
	var all error
	for _, name := range users {
		u, err := client.Lookup(o.ctx, name, params)
		if errors.Is(err, authproto.ErrNotFound) {
			// On standard output, as Dovecot has it: scripts look for it there.
			o.flush()
			o.line("userdb lookup: user " + name + " doesn't exist")
			all = &failure{exitNoUser, ""}
			continue
		}
		if err != nil {
			return fmt.Errorf("userdb lookup of %s: %w", name, err)
		}
		if err := o.oneUser(u); err != nil {
			return err
		}
	}
	return all
}

// list prints the names as they come: there may be millions.
func (o *operation) list(client *authproto.Client, masks []string, params authproto.Params) error {
	for _, mask := range masks {
		err := client.List(o.ctx, mask, params, func(name string) error {
			o.line(name)
			return context.Cause(o.ctx)
		})
		if err != nil {
			return fmt.Errorf("list of users: %w", err)
		}
	}
	return nil
}

type pair struct{ name, value string }

func fieldsOf(u authproto.User) []pair {
	var all []pair
	if u.UID >= 0 {
		all = append(all, pair{"uid", strconv.Itoa(u.UID)})
	}
	if u.GID >= 0 {
		all = append(all, pair{"gid", strconv.Itoa(u.GID)})
	}
	if u.Home != "" {
		all = append(all, pair{"home", u.Home})
	}
	return append(all, sorted(u.Fields)...)
}

func sorted(fields map[string]string) []pair {
	var all []pair
	for name, value := range fields {
		all = append(all, pair{name, value})
	}
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	return all
}

func (o *operation) oneUser(u authproto.User) error {
	fields := fieldsOf(u)
	switch {
	case o.p.Has("expand-field"):
		text, err := expand(o.p.Value("expand-field"), u.Name, fields)
		if err != nil {
			return err
		}
		o.line(text)
	case o.p.Has("field"):
		for _, f := range fields {
			if f.name == o.p.Value("field") {
				o.line(f.value)
			}
		}
	case o.p.Has("userdb-only"):
		o.block("userdb", u.Name, fields)
	default:
		// The mail location is a setting that the userdb may overrule; it is
		// part of the answer either way.
		if cfg, err := o.Load(); err == nil && u.Fields["mail"] == "" {
			if mail, err := expand(cfg.Global.String("mail_location"), u.Name, fields); err == nil && mail != "" {
				fields = append(fields, pair{"mail", mail})
			}
		}
		for _, f := range fields {
			if err := o.row(f.name, f.value); err != nil {
				return err
			}
		}
		return o.header()
	}
	return nil
}

// block prints the raw answer of a database.
func (o *operation) block(database, name string, fields []pair) {
	o.line(database + ": " + name)
	o.line(fmt.Sprintf("  %-10s: %s", "user", name))
	for _, f := range fields {
		if f.name != "user" {
			o.line(fmt.Sprintf("  %-10s: %s", f.name, f.value))
		}
	}
}

// flush writes rows before a line that is not one.
func (o *operation) flush() {
	if o.rows != nil {
		o.rows.Flush()
	}
}

// expand fills %{field} and the short forms of names: %u the user, %n what is
// before the @, %d what is after it, %h the home.
func expand(template, user string, fields []pair) (string, error) {
	local, domain, _ := strings.Cut(user, "@")
	known := map[string]string{"user": user, "u": user, "username": local, "n": local, "domain": domain, "d": domain}
	for _, f := range fields {
		known[f.name] = f.value
	}
	known["h"] = known["home"]
	var b strings.Builder
	for {
		before, rest, more := strings.Cut(template, "%")
		b.WriteString(before)
		if !more {
			return b.String(), nil
		}
		if rest == "" {
			return "", failed(exitUsage, "-e ends with a lone %%; write %%%% for one")
		}
		name := rest[:1]
		template = rest[1:]
		switch name {
		case "%":
			b.WriteByte('%')
			continue
		case "{":
			long, after, ok := strings.Cut(template, "}")
			if !ok {
				return "", failed(exitUsage, "-e has %%{ without }")
			}
			name, template = long, after
		}
		value, ok := known[strings.TrimPrefix(name, "userdb:")]
		if !ok && len(name) == 1 {
			return "", failed(exitUsage, "-e has the unknown variable %%%s", name)
		}
		b.WriteString(value) // a field that this user does not have is empty
	}
}
