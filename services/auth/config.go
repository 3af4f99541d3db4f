package auth

import (
	"errors"
	"fmt"
	"strings"

	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
	"culver/services/auth/accounts"
	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/passwdfile"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// New makes a Server from finished settings.
//
// Without a userdb block the passwd-files of the passdbs are the userdbs too:
// Dovecot would answer with neither uid nor gid then, which is of no use to us.
func New(set finished.Bag, logf Logf) (*Server, error) {
	b := builder{
		logf:  logf,
		files: map[string]*passwdfile.Source{},
		ids: userdb.IDs{
			Users:  &accounts.Table{Path: "/etc/passwd"},
			Groups: &accounts.Table{Path: "/etc/group"},
		},
	}
	s := &Server{Logf: logf, Clients: int(set.Int("client_limit"))}
	var err error
	s.Names = Names{Realm: set.String("auth_default_realm"), Chars: set.String("auth_username_chars")}
	if s.Names.Format, err = vars.Parse(set.String("auth_username_format")); err != nil {
		return nil, fmt.Errorf("auth_username_format: %w", err)
	}
	pass, user := blocks(set, "passdb"), blocks(set, "userdb")
	for _, d := range pass {
		db, err := b.passdb(d)
		if err != nil {
			return nil, fmt.Errorf("passdb %q: %w", d.name, err)
		}
		s.Passwords.Links = append(s.Passwords.Links, db)
	}
	if len(user) == 0 {
		for _, d := range pass {
			if d.driver == "passwd-file" {
				user = append(user, d)
			}
		}
	}
	for _, d := range user {
		db, err := b.userdb(d, s.Passwords)
		if err != nil {
			return nil, fmt.Errorf("userdb %q: %w", d.name, err)
		}
		s.Users.Links = append(s.Users.Links, userdb.Link{Name: d.name, DB: db})
	}
	if len(s.Users.Links) == 0 {
		return nil, errors.New("no userdb block, and no passdb block with the driver passwd-file")
	}
	return s, nil
}

// block is one passdb or userdb block.
type block struct {
	name, driver string
	set          finished.Bag
}

func blocks(set finished.Bag, kind string) (all []block) {
	for i := range set.Int(kind + "/count") {
		sub := set.Sub(fmt.Sprintf("%s/%d/", kind, i))
		all = append(all, block{sub["name"], sub["driver"], sub})
	}
	return all
}

// list gives a setting that is a list of key=value.
func (d block) list(key string) []string {
	if d.set[key] == "" {
		return nil
	}
	return strings.Split(d.set[key], "\t")
}

// args gives the words of Dovecot 2.3's way to write a block.
func (d block) args() []string { return strings.Fields(d.set["args"]) }

// arg gives a setting, from args if it is there.
func (d block) arg(name string) string {
	for _, a := range d.args() {
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
	}
	return d.set[name]
}

type builder struct {
	logf  Logf
	files map[string]*passwdfile.Source
	ids   userdb.IDs
}

func (b *builder) userdb(d block, passwords passdb.Chain) (userdb.DB, error) {
	defaults, overrides, err := d.fields()
	if err != nil {
		return nil, err
	}
	switch d.driver {
	case "passwd-file":
		file, key, err := b.file(d)
		return &userdb.PasswdFile{File: file, Key: key, Defaults: defaults, Overrides: overrides, IDs: b.ids}, err
	case "static":
		var texts []string
		for _, t := range append(d.list("fields"), d.args()...) {
			if !strings.HasPrefix(t, "allow_all_users=") {
				texts = append(texts, t)
			}
		}
		own, err := field.ParseTemplates(texts)
		if err != nil {
			return nil, err
		}
		s := &userdb.Static{Fields: append(append(defaults, own...), overrides...), IDs: b.ids, Users: passwords}
		if d.arg("allow_all_users") == "yes" {
			s.Users = nil
		} else if len(passwords.Links) == 0 {
			return nil, errors.New("driver static asks the passdbs who exists, and there is none (or set allow_all_users = yes)")
		}
		return s, nil
	}
	return nil, fmt.Errorf("driver %q is not in this version, want passwd-file or static", d.driver)
}

func (b *builder) passdb(d block) (passdb.Link, error) {
	l := passdb.Link{Name: d.name}
	defaults, overrides, err := d.fields()
	if err != nil {
		return l, err
	}
	switch d.driver {
	case "passwd-file":
		file, key, err := b.file(d)
		source := &passdb.PasswdFile{File: file, Key: key, Scheme: "CRYPT", Defaults: defaults, Overrides: overrides}
		l.Source, l.Lister = source, source
		return l, err
	case "static":
		var texts []string
		for _, t := range append(d.list("fields"), d.args()...) {
			if !strings.HasPrefix(t, "password=") {
				texts = append(texts, t)
			}
		}
		own, err := field.ParseTemplates(texts)
		l.Source = &passdb.Static{Fields: append(append(defaults, own...), overrides...)}
		return l, err
	}
	return l, fmt.Errorf("driver %q is not in this version, want passwd-file or static", d.driver)
}

func (d block) fields() (defaults, overrides field.Templates, err error) {
	if defaults, err = field.ParseTemplates(d.list("default_fields")); err != nil {
		return nil, nil, fmt.Errorf("default_fields: %w", err)
	}
	if overrides, err = field.ParseTemplates(d.list("override_fields")); err != nil {
		return nil, nil, fmt.Errorf("override_fields: %w", err)
	}
	return defaults, overrides, nil
}

// file gives the passwd-file of a block; blocks that name one path share it.
func (b *builder) file(d block) (*passwdfile.Source, vars.Template, error) {
	path := d.set["path"]
	if path == "" {
		if a := d.args(); len(a) > 0 {
			path = a[len(a)-1]
		}
	}
	if !strings.HasPrefix(path, "/") {
		return nil, vars.Template{}, fmt.Errorf("path %q: want an absolute path", path)
	}
	format := d.arg("username_format")
	if format == "" {
		format = "%u"
	}
	key, err := vars.Parse(format)
	if err != nil {
		return nil, key, fmt.Errorf("username_format: %w", err)
	}
	f := b.files[path]
	if f == nil {
		f, err = passwdfile.NewSource(path, func(l logline.Level, format string, args ...any) {
			b.logf(l, "", format, args...)
		})
		b.files[path] = f
	}
	return f, key, err
}
