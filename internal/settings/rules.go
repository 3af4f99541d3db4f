package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"culver/internal/mailstore/maildir"
	"culver/internal/spelling"
	"culver/internal/variable"
)

// Variables in templates: letters of the short form, names of the long one.
type variables struct {
	letters string
	names   []string
}

// spec/lmtp.md 19
var deliverVariables = variables{"$msfpwetu", []string{"msgid", "subject", "from", "from_envelope", "to_envelope",
	"size", "vsize", "delivery_time", "session_time", "storage_id", "session", "user", "msg"}}

// Template is a text with variables: %u, %Lu, %1n, %2.2Ln, %{user}; %% is a
// percent sign.
func Template(known variables) Type {
	return single("text with variables", Quote, func(s string) (string, error) {
		for rest := s; ; {
			_, after, found := strings.Cut(rest, "%")
			if !found {
				return s, nil
			}
			var err error
			if rest, err = known.skip(after); err != nil {
				return "", err
			}
		}
	})
}

// UserTemplate is a text with the variables of users in the auth service.
func UserTemplate() Type {
	return single("text with variables", Quote, func(s string) (string, error) { return s, userTemplate(s) })
}

// userTemplate asks the code that will read the text.
func userTemplate(s string) error {
	_, err := variable.Parse(s)
	var unknown *variable.UnknownError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &unknown):
		return Fault{err.Error(), ""}
	case unknown.Short:
		return faultf("known are "+variables{letters: variable.Letters()}.list(), "unknown variable %q", "%"+unknown.Name)
	}
	hint := ""
	if near := spelling.Nearest(unknown.Name, variable.Names()); near != "" {
		hint = fmt.Sprintf("did you mean %%{%s}?", near)
	}
	return faultf(hint, "unknown variable %q", "%{"+unknown.Name+"}")
}

// skip reads one variable, without its percent sign, and gives what follows.
func (known variables) skip(s string) (rest string, err error) {
	if strings.HasPrefix(s, "%") {
		return s[1:], nil
	}
	bare := strings.TrimLeft(s, "-0123456789.")
	bare = strings.TrimLeft(bare, "LUEXRNHMDT")
	if bare == "" {
		return "", Fault{"a percent sign without a variable", "write %% for a percent sign"}
	}
	if bare[0] != '{' {
		if strings.IndexByte(known.letters, bare[0]) < 0 {
			return "", faultf("known are "+known.list(), "unknown variable %q", "%"+bare[:1])
		}
		return bare[1:], nil
	}
	name, rest, closed := strings.Cut(bare[1:], "}")
	if !closed {
		return "", Fault{"a %{ without its }", ""}
	}
	if !slices.Contains(known.names, name) {
		if near := spelling.Nearest(name, known.names); near != "" {
			return "", faultf(fmt.Sprintf("did you mean %%{%s}?", near), "unknown variable %q", "%{"+name+"}")
		}
		return "", faultf("", "unknown variable %q", "%{"+name+"}")
	}
	return rest, nil
}

func (known variables) list() string {
	var all []string
	for _, c := range known.letters {
		all = append(all, "%"+string(c))
	}
	return strings.Join(all, " ")
}

// quotaRule asks the code that will enforce the rule, so that check cannot pass
// what a delivery then refuses.
func quotaRule(s string) error {
	if _, err := maildir.ParseQuota([]string{s}, ""); err != nil {
		return faultf(`such as "*:storage=1G" or "Trash:ignore"`, "%s", strings.TrimPrefix(err.Error(), "quota_rule "))
	}
	return nil
}

// grace is a share of a limit, or a size.
func grace() Type {
	return single(`size, or a share such as "10%"`, Quote, func(s string) (string, error) {
		if n, unit, ok := leadingDigits(s); ok && unit == "%" && n <= 1000 {
			return s, nil
		}
		n, err := ParseSize(s)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(n), nil
	})
}

// doveadmCommand is a command as it is typed: words with one blank between them.
func doveadmCommand(s string) error {
	if strings.Join(strings.Fields(s), " ") != s {
		return faultf(`such as "search" or "mailbox list"`, "%q is not a command", s)
	}
	return nil
}

func fieldPair(s string) error {
	if name, _, ok := strings.Cut(s, "="); !ok || name == "" || strings.ContainsAny(name, " \t") {
		return faultf(`such as "uid=1000"`, "%q is not NAME=VALUE", s)
	}
	return userTemplate(s)
}

// translation is pairs of characters, from and to.
func translation() Type {
	return single("pairs of characters", Quote, func(s string) (string, error) {
		if len(s)%2 != 0 {
			return "", faultf("the first of each pair is replaced by the second", "%q has an odd number of characters", s)
		}
		return s, nil
	})
}

// separator is one character that is in no name.
func separator() Type {
	return single("one character", Quote, func(s string) (string, error) {
		if len(s) > 1 {
			return "", faultf("such as *", "%q is more than one character", s)
		}
		return s, nil
	})
}
