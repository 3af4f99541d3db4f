// Package vars expands the %-variables of auth's templates (spec/auth.md 7).
//
// Runs as:   the auth service user; pure.
// Trusts:    the administrator for the template's text.
// Distrusts: the values: a user name put into a path must stay one name in it.
// Speaks:    Dovecot 2.3's short and long forms with the modifiers L U T R X E
// and offset.width; 2.4's pipes to lower, upper, username and domain.
package vars

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
}

// names of variables; each long name has Dovecot's aliases beside it.
var long = map[string]func(*Values) string{
	"user":        func(v *Values) string { return v.User },
	"username":    func(v *Values) string { return localPart(v.User) },
	"domain":      func(v *Values) string { return domain(v.User) },
	"service":     func(v *Values) string { return v.Service },
	"protocol":    func(v *Values) string { return v.Service },
	"lip":         func(v *Values) string { return v.LocalIP },
	"local_ip":    func(v *Values) string { return v.LocalIP },
	"rip":         func(v *Values) string { return v.RemoteIP },
	"remote_ip":   func(v *Values) string { return v.RemoteIP },
	"lport":       func(v *Values) string { return v.LPort },
	"local_port":  func(v *Values) string { return v.LPort },
	"rport":       func(v *Values) string { return v.RPort },
	"remote_port": func(v *Values) string { return v.RPort },
	"session":     func(v *Values) string { return v.Session },
}

var short = map[byte]string{
	'u': "user", 'n': "username", 'd': "domain", 's': "service",
	'l': "lip", 'r': "rip", 'a': "lport", 'b': "rport",
}

// modifiers of the short form, applied in the order they are written.
var modifiers = map[byte]func(string) string{
	'L': lower,
	'U': upper,
	'T': func(s string) string { return strings.TrimRight(s, " \t\r\n") },
	'R': reverse,
	'X': func(s string) string { return hex.EncodeToString([]byte(s)) },
	'E': strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace,
}

var filters = map[string]func(string) string{
	"lower": lower, "upper": upper, "username": localPart, "domain": domain,
}

// Parse reads a template, refusing what Expand would not know.
func Parse(text string) (Template, error) {
	t := Template{raw: text}
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		if i > 0 {
			t.parts = append(t.parts, part{text: text[:i]})
			text = text[i:]
			continue
		}
		p, rest, err := parseVariable(text[1:])
		if err != nil {
			return Template{}, fmt.Errorf("%q: %w", t.raw, err)
		}
		t.parts = append(t.parts, p)
		text = rest
	}
	return t, nil
}

// parseVariable reads what follows a percent sign.
func parseVariable(s string) (part, string, error) {
	if rest, ok := strings.CutPrefix(s, "%"); ok {
		return part{text: "%"}, rest, nil
	}
	var p part
	cut, s, err := parseWidth(s)
	if err != nil {
		return p, s, err
	}
	for s != "" && modifiers[s[0]] != nil {
		p.change = append(p.change, modifiers[s[0]])
		s = s[1:]
	}
	if cut != nil {
		p.change = append(p.change, cut)
	}
	if s == "" {
		return p, s, errors.New("a lone % at the end (write %% for a percent sign)")
	}
	if s[0] != '{' {
		p.value = long[short[s[0]]]
		if p.value == nil {
			return p, s, fmt.Errorf("unknown variable %%%c", s[0])
		}
		return p, s[1:], nil
	}
	name, rest, closed := strings.Cut(s[1:], "}")
	if !closed {
		return p, s, errors.New("%{ without }")
	}
	names := strings.Split(name, "|")
	if p.value = long[strings.TrimSpace(names[0])]; p.value == nil {
		return p, s, fmt.Errorf("unknown variable %%{%s}", names[0])
	}
	for _, n := range names[1:] {
		f := filters[strings.TrimSpace(n)]
		if f == nil {
			return p, s, fmt.Errorf("unknown filter %q in %%{%s}", strings.TrimSpace(n), name)
		}
		p.change = append(p.change, f)
	}
	return p, rest, nil
}

// parseWidth reads "[offset.]width"; a negative offset counts from the end.
func parseWidth(s string) (func(string) string, string, error) {
	n := 0
	for n < len(s) && (s[n] == '.' || s[n] == '-' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n == 0 {
		return nil, s, nil
	}
	from, size, both := strings.Cut(s[:n], ".")
	if !both {
		from, size = "0", s[:n]
	}
	offset, err1 := strconv.Atoi(from)
	width, err2 := strconv.Atoi(size)
	if err1 != nil || err2 != nil || width < 0 {
		return nil, s, fmt.Errorf("bad width %q", s[:n])
	}
	return func(v string) string {
		o := offset
		if o < 0 {
			o = max(0, len(v)+o)
		}
		v = v[min(o, len(v)):]
		if width > 0 {
			v = v[:min(width, len(v))]
		}
		return v
	}, s[n:], nil
}

// Expand fills the template in.
func (t Template) Expand(v *Values) string {
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
		s := t.parts[i].expand(v)
		if t.parts[i].value != nil && strings.ContainsAny(s, "/\x00") {
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

func localPart(user string) string {
	name, _, _ := strings.Cut(user, "@")
	return name
}

func domain(user string) string {
	_, d, _ := strings.Cut(user, "@")
	return d
}

// lower and upper change ASCII letters only, as Dovecot does: a UTF-8 name keeps its bytes.
func lower(s string) string { return mapASCII(s, 'A', 'Z', 'a'-'A') }
func upper(s string) string { return mapASCII(s, 'a', 'z', 'A'-'a') }

func mapASCII(s string, from, to byte, by int) string {
	out := []byte(s)
	for i, c := range out {
		if c >= from && c <= to {
			out[i] = byte(int(c) + by)
		}
	}
	return string(out)
}

func reverse(s string) string {
	out := []byte(s)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return string(out)
}
