package settings

import (
	"fmt"
	"strings"
)

// Form is how a value was written.
type Form int

const (
	Bare   Form = iota // a word without quotes
	Number             // digits
	Quoted             // "text", escapes resolved
	Listed             // [a, "b", 3]
)

// Value is one value as the administrator wrote it, before it has a type.
type Value struct {
	Form  Form
	Text  string
	Items []Value
}

// Fault says what is wrong with a value, and what to do about it.
type Fault struct {
	What string
	Hint string // may be ""
}

func (f Fault) Error() string { return f.What }

func faultf(hint, format string, args ...any) Fault {
	return Fault{What: fmt.Sprintf(format, args...), Hint: hint}
}

// one gives the text of a value that is not a list.
func (v Value) one() (string, error) {
	if v.Form == Listed {
		return "", Fault{"a list stands where one value belongs", "write it without [ ]"}
	}
	if i := strings.IndexFunc(v.Text, isControl); i >= 0 {
		return "", faultf("", "control byte 0x%02x in a value", v.Text[i])
	}
	return v.Text, nil
}

// many gives the elements of a list; a lone value is a list of one, and the
// empty string is the empty list, which is how Dovecot writes it.
func (v Value) many() ([]string, error) {
	if v.Form != Listed {
		s, err := v.one()
		if err != nil || s == "" {
			return nil, err
		}
		return []string{s}, nil
	}
	out := make([]string, 0, len(v.Items))
	for _, item := range v.Items {
		if item.Form == Listed {
			return nil, Fault{"a list inside a list", "write all elements in one list"}
		}
		s, err := item.one()
		if err != nil {
			return nil, err
		}
		if s == "" {
			return nil, Fault{"an empty element in a list", ""}
		}
		out = append(out, s)
	}
	return out, nil
}

// isControl holds for what would break a log line or a finished list: no
// setting has a use for it.
func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// Quote writes s as a quoted string of the configuration language.
func Quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
