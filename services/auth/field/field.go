// Package field is the ordered fields that a lookup collects.
//
// Runs as:   the auth service user; pure.
// Trusts:    nobody.
// Distrusts: nothing: escaping is the business of package authproto.
// Speaks:    key=value, bare keys, and the suffixes of spec/auth.md 6.2.
package field

import (
	"strings"

	"culver/services/auth/vars"
)

// Field is one of them; a bare key has no value.
type Field struct {
	Key, Value string
	Bare       bool
}

// List is in the order in which the fields were first set.
type List []Field

// Get gives the value of a field; a bare one has "yes".
func (l List) Get(key string) (string, bool) {
	for i := range l {
		if l[i].Key == key {
			if l[i].Bare {
				return "yes", true
			}
			return l[i].Value, true
		}
	}
	return "", false
}

// Set adds or replaces a field. A key with the suffix :default or :protected
// is set only if it is not there yet, one with :remove is taken away.
func (l *List) Set(f Field) {
	name, suffix, _ := strings.Cut(f.Key, ":")
	at := -1
	switch suffix {
	case "remove":
		l.Remove(name)
		return
	case "default", "protected":
		f.Key = name
	}
	for i := range *l {
		if (*l)[i].Key == f.Key {
			at = i
		}
	}
	switch {
	case at < 0:
		*l = append(*l, f)
	case suffix != "default" && suffix != "protected":
		(*l)[at] = f
	}
}

// Remove takes a field away.
func (l *List) Remove(key string) {
	kept := (*l)[:0]
	for _, f := range *l {
		if f.Key != key {
			kept = append(kept, f)
		}
	}
	*l = kept
}

// Import sets the fields of a text that has them with TABs between, as in the
// fields passdb_import and userdb_import.
func (l *List) Import(text string) {
	for one := range strings.SplitSeq(text, "\t") {
		if one != "" {
			l.Set(Cut(one))
		}
	}
}

// Wire gives the fields as arguments of a reply.
func (l List) Wire() []string {
	out := make([]string, len(l))
	for i, f := range l {
		out[i] = f.Wire()
	}
	return out
}

// Wire gives the field as an argument of a reply.
func (f Field) Wire() string {
	if f.Bare {
		return f.Key
	}
	return f.Key + "=" + f.Value
}

// Cut parts "key=value" or "key".
func Cut(text string) Field {
	k, v, valued := strings.Cut(text, "=")
	return Field{Key: k, Value: v, Bare: !valued}
}

// Templates is a list of fields whose values have variables.
type Templates []template

type template struct {
	field Field
	value vars.Template
}

// ParseTemplates reads texts of the form key=value or key.
func ParseTemplates(texts []string) (Templates, error) {
	var ts Templates
	for _, text := range texts {
		f := Cut(text)
		v, err := vars.Parse(f.Value)
		if err != nil {
			return nil, err
		}
		ts = append(ts, template{f, v})
	}
	return ts, nil
}

// Expand gives the fields as they are written, their values filled in.
func (ts Templates) Expand(v *vars.Values) (List, error) {
	out := make(List, len(ts))
	for i, t := range ts {
		out[i] = t.field
		if !isPath(t.field.Key) {
			out[i].Value = t.value.Expand(v)
			continue
		}
		path, err := t.value.ExpandPath(v)
		if err != nil {
			return nil, err
		}
		out[i].Value = path
	}
	return out, nil
}

// AddTo sets the fields, expanded, in l.
func (ts Templates) AddTo(l *List, v *vars.Values) error {
	more, err := ts.Expand(v)
	for _, f := range more {
		l.Set(f)
	}
	return err
}

// isPath says whether a field's value is used as a path, or begins with one.
func isPath(key string) bool {
	key, _, _ = strings.Cut(strings.TrimPrefix(key, "userdb_"), ":")
	return key == "home" || key == "chdir" || key == "mail" || strings.HasPrefix(key, "mail_")
}
