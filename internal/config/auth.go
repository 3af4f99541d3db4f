package config

import (
	"fmt"
	"slices"
	"strings"

	"culver/internal/mechanism"
	"culver/internal/settings"
)

// authentication looks whether anybody can be found at all, and whether those
// who log in can.
func (b *builder) authentication(cfg *settings.Config) {
	s, own := cfg.Service("auth")
	if !own {
		return
	}
	path := cfg.Global["auth_socket_path"]
	if !slices.ContainsFunc(s.Unix, func(u settings.UnixListener) bool { return u.Path == path }) {
		b.missing(b.root.at("auth_socket_path"), fmt.Sprintf("auth_socket_path %s is no listener of service \"auth\"", path),
			"to use another server's, remove the passdb, userdb and service auth blocks")
	}
	b.authListeners(s)
	b.userdbs(cfg)
	b.mechanisms(cfg)
	if sep := cfg.Global["auth_master_user_separator"]; sep != "" && strings.Contains(cfg.Global["auth_username_chars"], sep) {
		b.add(b.root.at("auth_master_user_separator"), fmt.Sprintf("auth_master_user_separator %q is also a character of user names", sep),
			"take one that is not in auth_username_chars, such as *")
	}
}

// roles are the values of type for a listener of auth. Over TCP nobody can be
// told from anybody else, so what asks for no password is for sockets of this host.
var roles = map[string]struct{ onlyLocal bool }{
	"auth": {}, "auth-legacy": {}, "login": {}, "userdb": {true}, "master": {true}, "doveadm": {true},
}

func (b *builder) authListeners(s settings.Service) {
	n := b.serviceNode("auth")
	wrong := func(at Pos, typ string) {
		b.add(at, fmt.Sprintf("type %q is no role of a listener of auth", typ), "auth, auth-legacy, login, userdb, master or doveadm")
	}
	for _, u := range s.Unix {
		if _, known := roles[u.Type]; u.Type != "" && !known {
			wrong(b.listenerAt(n, u.Path), u.Type)
		}
	}
	for _, i := range s.Inet {
		at := n.find("inet_listener", i.Name).pos
		role := i.Type
		if role == "" {
			role = i.Name[strings.LastIndexByte(i.Name, '-')+1:] // Dovecot's rule
		}
		switch r, known := roles[role]; {
		case i.Type != "" && !known:
			wrong(at, i.Type)
		case r.onlyLocal:
			b.add(at, fmt.Sprintf("inet_listener %q has the role %s, which asks for no password: whoever reaches the port could look up everybody", i.Name, role),
				"use a unix_listener, or type = auth")
		case i.SSL:
			b.add(at, fmt.Sprintf("inet_listener %q: service \"auth\" speaks no TLS", i.Name), "use a unix_listener, or an address that only this host has")
		}
	}
}

// userdbs reports sources that leave everybody without mail.
func (b *builder) userdbs(cfg *settings.Config) {
	files := slices.ContainsFunc(cfg.Passdbs, func(d settings.Database) bool { return d.Driver == "passwd-file" })
	written := b.root.all("userdb")
	if len(written) == 0 && !files {
		b.missing(b.root.pos, "no userdb, and no passdb with the driver passwd-file: nobody could get mail", `add userdb "users" { driver = "passwd-file" and a path }`)
	}
	for _, db := range cfg.Userdbs {
		if db.Driver == "static" && !db.Values.Bool("allow_all_users") && len(b.root.all("passdb")) == 0 {
			b.missing(b.root.find("userdb", db.Name).pos, fmt.Sprintf("userdb %q: static asks the passdbs who exists, and there is none", db.Name), "allow_all_users = yes takes every name")
		}
	}
	prefetch := func(d settings.Database) bool { return d.Driver == "prefetch" }
	if i := slices.IndexFunc(cfg.Userdbs, prefetch); i >= 0 && !slices.ContainsFunc(cfg.Userdbs, func(d settings.Database) bool { return !prefetch(d) }) {
		b.missing(b.root.find("userdb", cfg.Userdbs[i].Name).pos, fmt.Sprintf("userdb %q: prefetch knows only who has just logged in, so nobody would get mail", cfg.Userdbs[i].Name),
			"add a second userdb behind it")
	}
}

// mechanisms refuses a mechanism that no passdb can serve: Dovecot's auth would
// not start with it.
func (b *builder) mechanisms(cfg *settings.Config) {
	if _, written := b.root.set["auth_mechanisms"]; !written && len(cfg.Passdbs) == 0 {
		return // nobody logs in here
	}
	at := b.root.at("auth_mechanisms")
	offered := cfg.Global.List("auth_mechanisms")
	if len(offered) == 0 {
		b.missing(at, "auth_mechanisms is empty", `["plain", "login"] is the default`)
	}
	for _, m := range mechanism.All() {
		name := strings.ToLower(m.Name)
		if !slices.Contains(offered, name) {
			continue
		}
		if m.Needs == mechanism.Certificate && !cfg.Global.Bool("auth_ssl_username_from_cert") {
			b.add(at, "auth_mechanisms: external needs auth_ssl_username_from_cert = yes", "it takes the user's name from the client's certificate")
		}
		if m.Needs == mechanism.Certificate || m.Needs == mechanism.Nothing {
			continue
		}
		var why []string
		served := false
		for _, db := range cfg.Passdbs {
			if reason := cannotServe(db, m); reason != "" {
				why = append(why, reason)
			} else {
				served = true
			}
		}
		if !served && len(why) == 0 {
			why = []string{"there is no passdb"}
		}
		if !served {
			b.missing(at, fmt.Sprintf("auth_mechanisms: no passdb can serve %s: %s", name, strings.Join(why, "; ")), "leave it out, or add a passdb that can")
		}
	}
}

// cannotServe says why a passdb is of no use for a mechanism; "" when it may be.
func cannotServe(db settings.Database, m mechanism.Mechanism) string {
	why := func(text string) string { return fmt.Sprintf("%q %s", db.Name, text) }
	only := db.Values.List("mechanisms")
	switch {
	case db.Values.Bool("deny"):
		return why("denies")
	case db.Values.Bool("master"):
		return why("is for master users")
	case len(only) > 0 && !slices.Contains(only, strings.ToLower(m.Name)):
		return why("has other mechanisms")
	case m.Needs != mechanism.Credentials:
		return ""
	}
	switch db.Driver {
	case "passwd", "shadow":
		return why("has crypt(3) hashes only")
	case "static":
		scheme, _, found := strings.Cut(strings.TrimPrefix(db.Values["password"], "{"), "}")
		clear := !found || !strings.HasPrefix(db.Values["password"], "{") || slices.Contains([]string{"PLAIN", "CLEAR", "CLEARTEXT"}, strings.ToUpper(scheme))
		switch {
		case db.Values["password"] == "":
			return why("has no password")
		case !clear && !slices.Contains(m.Schemes, strings.ToUpper(scheme)):
			return why("has a password of another scheme")
		}
	}
	return ""
}
