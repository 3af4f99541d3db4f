// Package vars expands the %-variables of auth's templates (spec/auth.md 7).
//
// Runs as:   the auth service user; pure.
// Trusts:    the administrator for the template's text.
// Distrusts: the values: a user name put into a path must stay one name in it.
// Speaks:    Dovecot 2.3's short and long forms with modifiers, offset and width;
// 2.4's pipes of filters. A password is nobody's variable: %w is not offered.
package vars

import (
	"errors"
	"fmt"
	"strings"

	"culver/internal/variable"
)

// ErrPath says that a value would climb or branch out of its place in a path.
var ErrPath = errors.New("user name cannot be part of a path")

// Values is what a template can speak of.
type Values struct {
	User                                            string // canonical name whose entry is looked up
	Service                                         string
	LocalIP, RemoteIP, LPort, RPort                 string
	RealLocalIP, RealRemoteIP, RealLPort, RealRPort string
	Session, LocalName, ClientID, ClientPID         string
	Mech                                            string // upper case
	Secured                                         string // "", "secured", "TLS"
	Cert                                            string // "valid" or ""
	OrigUser                                        string // as the client sent it
	LoginUser                                       string // target of a master login, canonical; "" else
	MasterUser                                      string // set once the master is proved
	AuthUser                                        string
	// Field gives what a passdb or userdb has said before; it may be nil.
	Field func(db, name string) (string, bool)
}

// Template is a parsed text.
type Template struct {
	raw   string
	parts []part
}

// part is literal text, or a variable with what is to be done to its value.
type part struct {
	text   string
	value  func(*Values) string
	change []func(string) string
	field  bool // the value is the administrator's, from a source of users
}

// Parse reads a template, refusing what Expand would not know.
func Parse(text string) (Template, error) {
	read, err := variable.Parse(text)
	if err != nil {
		return Template{}, fmt.Errorf("%q: %w", text, err)
	}
	t := Template{raw: text}
	for _, r := range read {
		p := part{text: r.Text, change: r.Change}
		if r.Name != "" {
			p.value = lookup(r.Name)
			p.field = strings.HasPrefix(r.Name, "passdb:") || strings.HasPrefix(r.Name, "userdb:")
		}
		t.parts = append(t.parts, p)
	}
	return t, nil
}

// lookup gives the variable of a long name, "user" or "passdb:field:default".
func lookup(name string) func(*Values) string {
	if value := variables[name]; value != nil {
		return value
	}
	db, field, _ := strings.Cut(name, ":")
	if variable.IsDigest(db) {
		value := variables[field]
		return func(v *Values) string { return variable.Digest(db, value(v)) }
	}
	field, otherwise, _ := strings.Cut(field, ":")
	return func(v *Values) string {
		if v.Field != nil {
			if s, ok := v.Field(db, field); ok {
				return s
			}
		}
		return otherwise
	}
}

// Expand fills the template in.
func (t Template) Expand(v *Values) string {
	if len(t.parts) == 1 {
		return t.parts[0].expand(v)
	}
	var b strings.Builder
	for i := range t.parts {
		b.WriteString(t.parts[i].expand(v))
	}
	return b.String()
}

// ExpandPath fills in a template that becomes a path. A user named "..", or
// with a slash where those are allowed, would otherwise reach another's home.
func (t Template) ExpandPath(v *Values) (string, error) {
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		s := p.expand(v)
		if strings.IndexByte(s, 0) >= 0 || p.value != nil && !p.field && strings.IndexByte(s, '/') >= 0 {
			return "", ErrPath
		}
		b.WriteString(s)
	}
	path := b.String()
	for dir := range strings.SplitSeq(path, "/") {
		// A "/./" that the administrator wrote marks a chroot, as in Dovecot.
		if dir == ".." || dir == "." && !strings.Contains(t.raw, "/./") {
			return "", ErrPath
		}
	}
	return path, nil
}

// Constant says that the template has no variable.
func (t Template) Constant() bool {
	for i := range t.parts {
		if t.parts[i].value != nil {
			return false
		}
	}
	return true
}

func (p *part) expand(v *Values) string {
	if p.value == nil {
		return p.text
	}
	s := p.value(v)
	for _, f := range p.change {
		s = f(s)
	}
	return s
}
