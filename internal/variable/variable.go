// Package variable reads texts with Dovecot's %-variables, so that who checks a
// configuration and who uses it agree on what may stand in one.
//
// Runs as:   whoever imports it; pure.
// Trusts:    nobody.
// Distrusts: nothing: what a value may become part of is its user's business.
// Speaks:    spec/auth.md 7: 2.3's short and long forms with modifiers, offset and
// width, and 2.4's pipes of filters.
package variable

import (
	"errors"
	"fmt"
	"strings"
)

// Part is literal text, or a variable with what is to be done to its value.
type Part struct {
	Text   string
	Name   string // the long one; "" for literal text
	Change []func(string) string
}

// UnknownError says that there is no such variable.
type UnknownError struct {
	Name  string
	Short bool
}

func (e *UnknownError) Error() string {
	if e.Short {
		return "unknown variable %" + e.Name
	}
	return "unknown variable %{" + e.Name + "}"
}

// change makes another value of one.
type change = func(string) string

// Parse reads a text whose variables are those of users in the auth service.
func Parse(text string) ([]Part, error) {
	var parts []Part
	for text != "" {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		if i > 0 {
			parts = append(parts, Part{Text: text[:i]})
			text = text[i:]
			continue
		}
		p, rest, err := parseVariable(text[1:])
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		text = rest
	}
	return parts, nil
}

// parseVariable reads what follows a percent sign.
func parseVariable(s string) (Part, string, error) {
	if rest, ok := strings.CutPrefix(s, "%"); ok {
		return Part{Text: "%"}, rest, nil
	}
	var p Part
	w, s, err := parseWidth(s)
	if err != nil {
		return p, s, err
	}
	for s != "" && strings.IndexByte(modifiers, s[0]) >= 0 {
		p.Change = append(p.Change, w.modifier(s[0]))
		s = s[1:]
	}
	if w.offset != 0 || w.size != 0 {
		p.Change = append(p.Change, w.cut)
	}
	switch {
	case s == "":
		return p, s, errors.New("a lone % at the end (write %% for a percent sign)")
	case s[0] == 'w':
		return p, s, errors.New("%w: a password is nobody's variable")
	case s[0] == 'h':
		return p, s, errors.New("%h: auth does not know the home (%%h is for those who do)")
	case s[0] != '{':
		if p.Name = short[s[0]]; p.Name == "" {
			return p, s, &UnknownError{s[:1], true}
		}
		return p, s[1:], nil
	}
	inner, rest, closed := cutBrace(s[1:])
	if !closed {
		return p, s, errors.New("%{ without }")
	}
	words, err := split(inner, '|')
	if err != nil {
		return p, s, fmt.Errorf("%%{%s}: %w", inner, err)
	}
	if p.Name = words[0]; !known(p.Name) {
		if p.Name == "password" {
			return p, s, errors.New("%{password}: a password is nobody's variable")
		}
		return p, s, &UnknownError{p.Name, false}
	}
	changes, err := parseFilters(words[1:])
	if err != nil {
		return p, s, fmt.Errorf("%%{%s}: %w", inner, err)
	}
	// The pipe is inside the braces, what is before them comes after it.
	p.Change = append(changes, p.Change...)
	return p, rest, nil
}
