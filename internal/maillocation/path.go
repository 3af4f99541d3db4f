package maillocation

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxComponent is the longest file name that Linux file systems take.
const maxComponent = 255

// path is a path template: literal text and variables in turn.
type path []piece

type piece struct {
	text     string // literal text, when variable is 0
	variable byte   // u, n, d, h
	fold     func(string) string
	offset   int // bytes to skip; from the end when negative
	width    int // bytes to keep; 0 is all
}

// parsePath reads an absolute path, or one that begins with ~/ or %h.
func parsePath(s string) (path, error) {
	if s == "~" || strings.HasPrefix(s, "~/") {
		s = "%h" + s[1:]
	}
	var p path
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			i = len(s)
		}
		if i > 0 {
			p, s = append(p, piece{text: s[:i]}), s[i:]
			continue
		}
		v, rest, err := parseVariable(s)
		if err != nil {
			return nil, err
		}
		p, s = append(p, v), rest
	}
	return p, p.check()
}

func (p path) check() error {
	if len(p) == 0 {
		return errors.New("the path is empty")
	}
	for i, x := range p {
		if x.variable == 0 {
			for c := range strings.SplitSeq(x.text, "/") {
				if c == ".." {
					return fmt.Errorf("%q: \"..\" may not be in a path", x.text)
				}
			}
			continue
		}
		// "%hfoo" would name a neighbour of the home.
		if x.variable == 'h' && i+1 < len(p) && !strings.HasPrefix(p[i+1].text, "/") {
			return errors.New("%h must be followed by a slash")
		}
	}
	if p[0].variable != 'h' && !strings.HasPrefix(p[0].text, "/") {
		return errors.New("the path must begin with /, ~/ or %h")
	}
	return nil
}

// parseVariable reads one variable at the start of s:
// %[[-]offset.][width][LU]x or the same with {name}.
func parseVariable(s string) (piece, string, error) {
	whole, s := s, s[1:]
	if strings.HasPrefix(s, "%") {
		return piece{text: "%"}, s[1:], nil
	}
	var v piece
	n := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("-.0123456789", r) })
	if n < 0 {
		return v, "", fmt.Errorf("%q ends in the middle of a variable", whole)
	}
	if err := v.span(s[:n]); err != nil {
		return v, "", fmt.Errorf("%q: %w", whole, err)
	}
	for s = s[n:]; s != "" && (s[0] == 'L' || s[0] == 'U'); s = s[1:] {
		if v.fold = strings.ToLower; s[0] == 'U' {
			v.fold = strings.ToUpper
		}
	}
	name := s[:min(1, len(s))]
	rest := s[len(name):]
	if name == "{" {
		var ok bool
		if name, rest, ok = strings.Cut(rest, "}"); !ok {
			return v, "", fmt.Errorf("%q has no closing brace", whole)
		}
	}
	switch name {
	case "u", "user":
		v.variable = 'u'
	case "n", "username":
		v.variable = 'n'
	case "d", "domain":
		v.variable = 'd'
	case "h", "home":
		v.variable = 'h'
		if v.fold != nil || v.width != 0 || v.offset != 0 {
			return v, "", fmt.Errorf("%q: the home cannot be folded or cut", whole)
		}
	case "":
		return v, "", fmt.Errorf("%q ends in the middle of a variable", whole)
	default:
		return v, "", fmt.Errorf("unknown variable %%%s; known are %%u %%n %%d %%h and %%{user} %%{username} %%{domain} %%{home}, with the modifiers L and U", name)
	}
	return v, rest, nil
}

// span reads "width" or "offset.width".
func (v *piece) span(s string) (err error) {
	if s == "" {
		return nil
	}
	width := s
	if off, w, ok := strings.Cut(s, "."); ok {
		width = w
		if v.offset, err = strconv.Atoi(off); err != nil {
			return errors.New("the offset is not a number")
		}
	}
	// A zero before the width means padding in Dovecot, for numbers only.
	if v.width, err = strconv.Atoi(width); err != nil || v.width <= 0 || width[0] == '0' {
		return errors.New("the width is not a number above 0")
	}
	return nil
}

func (v piece) value(vars Vars) (string, error) {
	if v.variable == 0 {
		return v.text, nil
	}
	local, domain, _ := strings.Cut(vars.User, "@")
	s := map[byte]string{'u': vars.User, 'n': local, 'd': domain, 'h': vars.Home}[v.variable]
	if v.variable == 'h' {
		return s, checkHome(s)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r == '/' || r < ' ' || r == 0x7f }); i >= 0 {
		return "", fmt.Errorf("%%%c may not hold %q in a path", v.variable, s[i])
	}
	if v.fold != nil {
		s = v.fold(s)
	}
	return v.cut(s), nil
}

// cut takes the substring as Dovecot does: a positive offset past the end
// leaves nothing, a negative one before the start means the start.
func (v piece) cut(s string) string {
	if v.offset < 0 {
		s = s[max(0, len(s)+v.offset):]
	} else {
		s = s[min(v.offset, len(s)):]
	}
	if v.width > 0 {
		s = s[:min(v.width, len(s))]
	}
	return s
}

func checkHome(home string) error {
	switch {
	case home == "":
		return errors.New("the mail path needs a home directory, and the user has none")
	case home[0] != '/' || strings.IndexByte(home, 0) >= 0:
		return fmt.Errorf("home %q is not an absolute path", home)
	}
	for c := range strings.SplitSeq(home, "/") {
		if c == ".." {
			return fmt.Errorf("home %q has \"..\" in it", home)
		}
	}
	return nil
}

// expand fills the variables in. Each component that has a variable in it must
// come out as a name: with an empty one, user "example.org" without a domain
// would get the directory that /var/mail/%d/%n keeps for that domain's users.
func (p path) expand(v Vars) (Box, error) {
	var b strings.Builder
	first := -1 // where the first variable begins
	for _, x := range p {
		s, err := x.value(v)
		if err != nil {
			return Box{}, err
		}
		switch x.variable {
		case 0:
		case 'h':
			if first < 0 {
				first = b.Len()
			}
			if b.Len() > 0 {
				s = strings.TrimPrefix(s, "/")
			}
		default:
			if first < 0 {
				first = b.Len()
			}
			if s == "" {
				// Between two slashes, or next to text? A mark that no value
				// can hold keeps the component visible to the check below.
				s = "\x00"
			}
		}
		b.WriteString(s)
	}
	text := b.String()
	if first < 0 {
		first = len(text)
	} else {
		first = strings.LastIndexByte(text[:first], '/') + 1
	}
	above, err := clean(text[:first])
	if err != nil {
		return Box{}, err
	}
	below, err := clean(text[first:])
	if err != nil {
		return Box{}, err
	}
	return Box{Above: "/" + above, Below: below}, nil
}

// clean joins the components of s without leading slash, doubled slashes and
// the template's own dots; it refuses what a value made of a component.
func clean(s string) (string, error) {
	var kept []string
	for c := range strings.SplitSeq(s, "/") {
		name := strings.ReplaceAll(c, "\x00", "")
		switch {
		case c == "":
			continue
		case name == "", name == ".", name == "..":
			return "", fmt.Errorf("a variable makes %q a component of the mail path", name)
		case len(name) > maxComponent:
			return "", fmt.Errorf("a component of the mail path has %d bytes, want at most %d", len(name), maxComponent)
		}
		kept = append(kept, name)
	}
	return strings.Join(kept, "/"), nil
}
