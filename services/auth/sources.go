package auth

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"culver/internal/maillog/logline"
	"culver/internal/password"
	"culver/internal/settings/finished"
	"culver/services/auth/accounts"
	"culver/services/auth/field"
	"culver/services/auth/guard"
	"culver/services/auth/passdb"
	"culver/services/auth/passwdfile"
	"culver/services/auth/rule"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// The files of the system's accounts.
const (
	passwdPath = "/etc/passwd"
	groupPath  = "/etc/group"
	shadowPath = "/etc/shadow"
)

// block is one passdb or userdb block. A setting that it does not have is "".
type block struct {
	kind, name, driver string
	set                finished.Bag
}

func blocks(set finished.Bag, kind string) (all []block) {
	for i := range set.Int(kind + "/count") {
		sub := set.Sub(fmt.Sprintf("%s/%d/", kind, i))
		all = append(all, block{kind, sub["name"], sub["driver"], sub})
	}
	return all
}

// asUserdb is a passdb block where no userdb is: its fields are the userdb's,
// those that begin with userdb_ under the name that they have there.
func (d block) asUserdb() block {
	set := finished.Bag{}
	for key, value := range d.set {
		switch key {
		case "default_fields", "override_fields":
			all := d.list(key)
			for i := range all {
				all[i] = strings.TrimPrefix(all[i], "userdb_")
			}
			set[key] = strings.Join(all, "\t")
		case "name", "path", "username_format", "username_filter", "args", "timeout":
			set[key] = value
		}
	}
	return block{"userdb", d.name, d.driver, set}
}

// list gives a setting that is a list.
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

// fields gives the setting fields and those of args, without the words named.
func (d block) fields(without ...string) (field.Templates, error) {
	var texts []string
	for _, t := range append(d.list("fields"), d.args()...) {
		keep := true
		for _, w := range without {
			keep = keep && !strings.HasPrefix(t, w+"=")
		}
		if keep {
			texts = append(texts, t)
		}
	}
	return field.ParseTemplates(texts)
}

// templates gives a list of fields.
func (d block) templates(key string) (field.Templates, error) {
	all, err := field.ParseTemplates(d.list(key))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return all, nil
}

// rules reads what follows the answers of a block.
func (d block) rules() (r rule.Rules, err error) {
	for _, x := range [...]struct {
		key string
		to  *rule.Rule
	}{{"result_success", &r.Success}, {"result_failure", &r.Failure}, {"result_internalfail", &r.Internal}} {
		if *x.to, err = rule.Parse(d.set[x.key]); err != nil {
			return r, fmt.Errorf("%s: %w", x.key, err)
		}
	}
	if d.set["pass"] == "yes" {
		r.Success = rule.Continue
	}
	return r, nil
}

// builder makes links of blocks.
type builder struct {
	logf  Logf
	files map[string]*passwdfile.Source
	ids   userdb.IDs
	valid userdb.Range
	pool  *passdb.Pool
	slow  bool // a source is guarded, and so may keep lookups waiting
}

func newBuilder(set finished.Bag, logf Logf) *builder {
	number := func(key string) int {
		n, _ := strconv.Atoi(set[key])
		return n
	}
	return &builder{
		logf:  logf,
		files: map[string]*passwdfile.Source{},
		ids: userdb.IDs{
			Users:  &accounts.Table{Path: passwdPath},
			Groups: &accounts.Table{Path: groupPath},
		},
		valid: userdb.Range{
			FirstUID: number("first_valid_uid"), LastUID: number("last_valid_uid"),
			FirstGID: number("first_valid_gid"), LastGID: number("last_valid_gid"),
		},
		pool: passdb.NewPool(password.Checker{AllowWeak: set["auth_allow_weak_schemes"] == "yes"}, hashMemory(), logf),
	}
}

// hashMemory gives the KiB that tests of passwords may take together: a quarter
// of what the process may have, and the rest is for the sources.
func hashMemory() int {
	var limit syscall.Rlimit
	const unlimited = 1 << 20
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil || limit.Cur>>12 > unlimited {
		return unlimited
	}
	return int(limit.Cur >> 12)
}

// guarded says how long a source may take that does more than look into memory.
func (b *builder) guarded(d block) guard.Options {
	b.slow = true
	timeout := 5 * time.Second
	if n, err := strconv.ParseInt(d.set["timeout"], 10, 64); err == nil && n > 0 {
		timeout = time.Duration(n)
	}
	return guard.Options{Name: fmt.Sprintf("%s %q", d.kind, d.name), Timeout: timeout, Logf: b.logf}
}

var passSkips = map[string]passdb.Skip{"": passdb.Never, "never": passdb.Never, "authenticated": passdb.Authenticated, "unauthenticated": passdb.Unauthenticated}

// passdb makes the link of a passdb block.
func (b *builder) passdb(d block) (passdb.Link, error) {
	l := passdb.Link{
		Name: d.name, Skip: passSkips[d.set["skip"]], Deny: d.set["deny"] == "yes",
		Filter: rule.ParseFilter(d.list("username_filter")), Scheme: "CRYPT",
	}
	for _, m := range d.list("mechanisms") {
		if m = strings.ToUpper(m); m == "NONE" {
			m = "LOOKUP"
		}
		l.Mechanisms = append(l.Mechanisms, m)
	}
	var err error
	for _, step := range []func() error{
		func() (err error) { l.Rules, err = d.rules(); return },
		func() (err error) { l.Defaults, err = d.templates("default_fields"); return },
		func() (err error) { l.Overrides, err = d.templates("override_fields"); return },
		func() error { return b.passSource(d, &l) },
	} {
		if err = step(); err != nil {
			return l, err
		}
	}
	return l, nil
}

// passSource makes the source of a passdb block.
func (b *builder) passSource(d block, l *passdb.Link) error {
	switch d.driver {
	case "passwd-file":
		if scheme := d.arg("scheme"); scheme != "" {
			l.Scheme = strings.ToUpper(scheme)
		}
		file, key, err := b.file(d)
		if err != nil {
			return err
		}
		source := &passdb.PasswdFile{File: file, Key: key, Scheme: l.Scheme}
		l.Source, l.Lister = source, source
		if file.Only() == nil { // it looks for files as it is asked
			l.Source = guard.Source(source, b.guarded(d))
		}
	case "passwd":
		file, err := b.source(passwdPath)
		if err != nil {
			return err
		}
		l.Source = &passdb.Passwd{File: file}
	case "shadow":
		file, err := b.source(shadowPath)
		if err != nil {
			return err
		}
		if f, err := os.Open(shadowPath); err == nil {
			f.Close()
		} else if errors.Is(err, os.ErrPermission) {
			b.logf(logline.Error, "", `passdb %q: %v: it needs "extra_groups = shadow" in service auth; until then nobody logs in by it`, d.name, err)
		}
		l.Source = &passdb.Shadow{File: file, Now: time.Now}
	case "static":
		l.Scheme = "PLAIN"
		own, err := d.fields("password")
		if err != nil {
			return err
		}
		l.Source = &passdb.Static{
			Password: password.WithScheme(d.arg("password"), l.Scheme), NoPassword: d.set["nopassword"] == "yes", Fields: own,
		}
	default:
		return fmt.Errorf("driver %q is not in this version, want passwd-file, passwd, shadow or static", d.driver)
	}
	return nil
}

var userSkips = map[string]userdb.Skip{"": userdb.Never, "never": userdb.Never, "found": userdb.Found, "notfound": userdb.NotFound}

// userdb makes the link of a userdb block. passwords are the passdbs, who know
// whom the driver static does not.
func (b *builder) userdb(d block, passwords passdb.Chain) (userdb.Link, error) {
	l := userdb.Link{Name: d.name, Skip: userSkips[d.set["skip"]], Filter: rule.ParseFilter(d.list("username_filter"))}
	for _, step := range []func() error{
		func() (err error) { l.Rules, err = d.rules(); return },
		func() (err error) { l.Defaults, err = d.templates("default_fields"); return },
		func() (err error) { l.Overrides, err = d.templates("override_fields"); return },
		func() (err error) { l.DB, err = b.userSource(d, passwords); return },
	} {
		if err := step(); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (b *builder) userSource(d block, passwords passdb.Chain) (userdb.DB, error) {
	switch d.driver {
	case "passwd-file":
		file, key, err := b.file(d)
		if err != nil {
			return nil, err
		}
		var db userdb.DB = &userdb.PasswdFile{File: file, Key: key}
		if file.Only() == nil {
			db = guard.DB(db, b.guarded(d))
		}
		return db, nil
	case "passwd":
		file, err := b.source(passwdPath)
		return &userdb.Passwd{File: file, Valid: b.valid}, err
	case "prefetch":
		return userdb.Prefetch{}, nil
	case "static":
		own, err := d.fields("allow_all_users")
		if err != nil {
			return nil, err
		}
		s := &userdb.Static{Fields: own, Users: passwords}
		if d.arg("allow_all_users") == "yes" {
			s.Users = nil
		} else if len(passwords.Links) == 0 {
			return nil, errors.New("driver static asks the passdbs who exists, and there is none (or set allow_all_users = yes)")
		}
		return s, nil
	}
	return nil, fmt.Errorf("driver %q is not in this version, want passwd-file, passwd, static or prefetch", d.driver)
}

// file gives the passwd-file of a block.
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
	f, err := b.source(path)
	return f, key, err
}

// source gives the file of a path; blocks that name one path share it.
func (b *builder) source(path string) (*passwdfile.Source, error) {
	if f := b.files[path]; f != nil {
		return f, nil
	}
	f, err := passwdfile.NewSource(path, func(l logline.Level, format string, args ...any) {
		b.logf(l, "", format, args...)
	})
	b.files[path] = f
	return f, err
}
