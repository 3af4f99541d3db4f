// Package maillocation turns a mail_location template into the paths of one
// user's mail.
//
// Runs as:   the master, the settings printer; pure.
// Trusts:    the template, which the administrator wrote.
// Distrusts: the values: a user name that would climb out of the place that the
// template gives it is refused, never cleaned.
// Speaks:    Dovecot's mail_location (spec/maildir.md 6): maildir:ROOT[:KEY=VALUE...],
// "::" for a literal colon, "~/" and % variables.
package maillocation

import (
	"errors"
	"fmt"
	"strings"
)

// The layouts of folders below a root.
const (
	LayoutPlusPlus = "maildir++"
	LayoutFS       = "fs"
)

// Vars are the values of one user.
type Vars struct {
	User string // as auth answered it: local part, or local part@domain
	Home string // absolute, or "" when the user has none
}

// Location is where one user's mail lies. All paths are absolute and have no
// "." or ".." in them.
type Location struct {
	Root          string
	Inbox         string // Root, unless INBOX= says otherwise
	Control       string // Root, unless CONTROL= says otherwise
	Index         string // Root, unless INDEX= says otherwise; "" for INDEX=MEMORY
	Layout        string // LayoutPlusPlus or LayoutFS
	UTF8          bool   // folder names are UTF-8 on disk
	Subscriptions string // file name in Control
}

// Template is a mail_location that has been parsed.
type Template struct {
	root, inbox, control, index path
	indexInMemory               bool
	layout                      string
	utf8                        bool
	subscriptions               string
}

// Parse reads a mail_location. Its errors are for the administrator.
func Parse(text string) (Template, error) {
	t := Template{layout: LayoutPlusPlus, subscriptions: "subscriptions"}
	driver, rest, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return t, fmt.Errorf("%q has no driver: write maildir:PATH, for example maildir:~/Maildir", text)
	case driver != "maildir":
		return t, fmt.Errorf("mail format %q is not supported, only maildir", driver)
	}
	parts := splitColons(rest)
	var err error
	if t.root, err = parsePath(parts[0]); err != nil {
		return t, err
	}
	for _, part := range parts[1:] {
		if err := t.option(part); err != nil {
			return t, err
		}
	}
	return t, nil
}

// splitColons cuts at single colons; a double one is a literal colon.
func splitColons(s string) []string {
	parts := []string{""}
	for i := 0; i < len(s); i++ {
		last := &parts[len(parts)-1]
		switch {
		case s[i] != ':':
			*last += s[i : i+1]
		case i+1 < len(s) && s[i+1] == ':':
			*last += ":"
			i++
		default:
			parts = append(parts, "")
		}
	}
	return parts
}

func (t *Template) option(part string) (err error) {
	key, value, _ := strings.Cut(part, "=")
	switch strings.ToUpper(key) {
	case "INBOX":
		t.inbox, err = parsePath(value)
	case "CONTROL":
		t.control, err = parsePath(value)
	case "INDEX":
		if t.indexInMemory = value == "MEMORY"; !t.indexInMemory {
			t.index, err = parsePath(value)
		}
	case "LAYOUT":
		t.layout, err = parseLayout(value)
	case "UTF-8":
		t.utf8 = true
	case "SUBSCRIPTIONS":
		t.subscriptions = value
		if value == "" || value == "." || value == ".." || strings.ContainsAny(value, "/%\x00") {
			err = errors.New("want the name of one file, without slash or variable")
		}
	case "INDEXCACHE", "INDEXPVT", "VOLATILEDIR", "LISTINDEX", "ITERINDEX", "NO-NOSELECT":
		// Places and habits of Dovecot's own caches, which we never touch.
	case "DIRNAME", "FULLDIRNAME", "MAILBOXDIR", "BROKENCHAR", "ALT", "ALTNOCHECK", "NO-FS-VALIDATION":
		err = errors.New("not supported")
	default:
		err = errors.New("unknown key")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	return nil
}

func parseLayout(value string) (string, error) {
	switch l := strings.ToLower(value); l {
	case LayoutPlusPlus, LayoutFS:
		return l, nil
	case "index":
		return "", errors.New("not supported: only Dovecot knows which folder is which there")
	case "imapdir":
		return "", errors.New("not supported")
	}
	return "", errors.New("unknown layout, want maildir++ or fs")
}

// Expand gives one user's paths. An error is about this user and says nothing
// about others.
func (t Template) Expand(v Vars) (Location, error) {
	l := Location{Layout: t.layout, UTF8: t.utf8, Subscriptions: t.subscriptions}
	root, err := t.root.expand(v)
	if err != nil {
		return Location{}, err
	}
	l.Root = root.whole()
	for _, p := range []struct {
		path path
		to   *string
	}{{t.inbox, &l.Inbox}, {t.control, &l.Control}, {t.index, &l.Index}} {
		if *p.to = l.Root; p.path == nil {
			continue
		}
		b, err := p.path.expand(v)
		if err != nil {
			return Location{}, err
		}
		*p.to = b.whole()
	}
	if t.indexInMemory {
		l.Index = ""
	}
	return l, nil
}

// Box is a path outside the home, cut where the administrator's part ends and
// the user's begins.
type Box struct {
	Above string // absolute: what stands before the first variable, up to its last slash
	Below string // relative to Above: the rest; "" when the path has no variable
	Index bool   // nothing but Dovecot's caches: mail can do without
}

func (b Box) whole() string {
	switch {
	case b.Below == "":
		return b.Above
	case b.Above == "/":
		return "/" + b.Below
	}
	return b.Above + "/" + b.Below
}

// Boxes gives, for those paths of a user that are not below the home, where the
// trusted prefix ends. It is nil for values that Expand refuses.
func (t Template) Boxes(v Vars) []Box {
	var boxes []Box
	for i, p := range []path{t.root, t.inbox, t.control, t.index} {
		if p == nil {
			continue
		}
		b, err := p.expand(v)
		if err != nil {
			return nil
		}
		if !below(b.whole(), v.Home) && !contains(boxes, b) {
			b.Index = i == 3
			boxes = append(boxes, b)
		}
	}
	return boxes
}

func below(path, home string) bool {
	return home != "" && (path == home || strings.HasPrefix(path, strings.TrimSuffix(home, "/")+"/"))
}

func contains(boxes []Box, b Box) bool {
	for _, have := range boxes {
		if have.whole() == b.whole() {
			return true
		}
	}
	return false
}
