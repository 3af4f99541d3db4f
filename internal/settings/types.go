package settings

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"culver/internal/spelling"
)

// Type is what a setting may hold. It turns a written value into its canonical
// form (see finished.Bag), and a canonical form back into text that can be
// written into a configuration file.
type Type struct {
	Name  string // for the manual: "number, 1 to 100"
	List  bool   // the canonical form is elements joined by TAB
	canon func(Value) (string, error)
	write func(string) string
}

// Canon checks v and gives its canonical form. The error is a Fault.
func (t Type) Canon(v Value) (string, error) { return t.canon(v) }

// Write gives canonical text as it can stand in a file.
func (t Type) Write(canonical string) string { return t.write(canonical) }

func asIs(s string) string { return s }

func single(name string, write func(string) string, canon func(string) (string, error)) Type {
	return Type{Name: name, write: write, canon: func(v Value) (string, error) {
		s, err := v.one()
		if err != nil {
			return "", err
		}
		return canon(s)
	}}
}

// Bool is yes or no.
func Bool() Type {
	return single("yes or no", asIs, func(s string) (string, error) {
		switch strings.ToLower(s) {
		case "yes", "no":
			return strings.ToLower(s), nil
		case "true", "on", "1", "y":
			return "", faultf("write yes", "%q is neither yes nor no", s)
		case "false", "off", "0", "n":
			return "", faultf("write no", "%q is neither yes nor no", s)
		}
		return "", faultf("", "%q is neither yes nor no", s)
	})
}

// Count is a number between two others, both allowed.
func Count(lo, hi int64) Type {
	return single(fmt.Sprintf("number, %d to %d", lo, hi), asIs, func(s string) (string, error) {
		n, unit, ok := leadingDigits(s)
		if !ok || unit != "" {
			return "", faultf("", "%q is not a number", s)
		}
		if n < lo || n > hi {
			return "", faultf(fmt.Sprintf("%d to %d", lo, hi), "%d is out of range", n)
		}
		return strconv.FormatInt(n, 10), nil
	})
}

// Size is a number of bytes, at least lo, or 0 where zero says so.
func Size(lo int64, zero bool) Type {
	name := "size"
	if lo > 0 {
		name += ", at least " + FormatSize(lo)
	}
	if zero {
		name += ", or 0"
	}
	write := func(s string) string {
		n, _ := strconv.ParseInt(s, 10, 64)
		if text := FormatSize(n); text != s {
			return Quote(text)
		}
		return s
	}
	return single(name, write, func(s string) (string, error) {
		n, err := ParseSize(s)
		switch {
		case err != nil:
			return "", err
		case n < lo && !(n == 0 && zero):
			return "", faultf("at least "+FormatSize(lo), "%q is out of range", s)
		}
		return strconv.FormatInt(n, 10), nil
	})
}

// Time is a duration between two others, both allowed. The words stand for the
// canonical 0.
func Time(lo, hi time.Duration, words ...string) Type {
	name := fmt.Sprintf("time, %s to %s", FormatTime(lo), FormatTime(hi))
	if len(words) > 0 {
		name += ", or " + Quote(words[0])
	}
	write := func(s string) string {
		n, _ := strconv.ParseInt(s, 10, 64)
		if n == 0 && len(words) > 0 {
			return Quote(words[0])
		}
		return Quote(FormatTime(time.Duration(n)))
	}
	return single(name, write, func(s string) (string, error) {
		if slices.Contains(words, s) {
			return "0", nil
		}
		d, err := ParseTime(s)
		switch {
		case err != nil:
			return "", err
		case d < lo || d > hi:
			return "", faultf(FormatTime(lo)+" to "+FormatTime(hi), "%q is out of range", s)
		}
		return strconv.FormatInt(int64(d), 10), nil
	})
}

// Anytime is a time without bounds worth a name.
func Anytime() Type {
	t := Time(0, math.MaxInt64/time.Hour*time.Hour)
	t.Name = "time"
	return t
}

// Mode is the permission bits of a socket. It is octal and says so by its
// leading zero: the language itself would read 0600 as six hundred.
func Mode() Type {
	write := func(s string) string {
		n, _ := strconv.ParseUint(s, 10, 32)
		if n == 0 {
			return "0"
		}
		return fmt.Sprintf("%04o", n)
	}
	return single("octal mode", write, func(s string) (string, error) {
		n, err := strconv.ParseUint(s, 8, 32)
		switch {
		case !strings.HasPrefix(s, "0") || err != nil:
			return "", faultf("octal, with a leading 0, such as 0600", "%q is not a mode", s)
		case n > 0o777:
			return "", faultf("0 to 0777", "%q is out of range", s)
		}
		return strconv.FormatUint(n, 10), nil
	})
}

// Word is one of a few.
func Word(words ...string) Type {
	all := strings.TrimPrefix(strings.Join(words, ", "), ", ") // "" may be one of them
	return single(all, bareWord, func(s string) (string, error) {
		if slices.Contains(words, s) {
			return s, nil
		}
		if near := spelling.Nearest(s, words); near != "" {
			return "", faultf(fmt.Sprintf("did you mean %q?", near), "%q is not one of %s", s, all)
		}
		return "", faultf("", "%q is not one of %s", s, all)
	})
}

// bareWord leaves out the quotes where the language needs none.
func bareWord(s string) string {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") != "" || s[0] == '-' {
		return Quote(s)
	}
	return s
}

// FileName is a name without a folder, or nothing.
func FileName() Type {
	return single("file name", Quote, func(s string) (string, error) {
		if strings.Contains(s, "/") || s == "." || s == ".." {
			return "", faultf("", "%q is not a file name", s)
		}
		return s, nil
	})
}

// String is any text of one line.
func String() Type {
	return single("text", Quote, func(s string) (string, error) { return s, nil })
}

// AccountName is the name or the number of a user or group.
func AccountName() Type {
	return single("name or number", Quote, func(s string) (string, error) {
		if strings.ContainsAny(s, " :/,") {
			return "", faultf("", "%q is not an account's name", s)
		}
		return s, nil
	})
}

// Path is the absolute path of a file, or nothing.
func Path() Type {
	return single("absolute path", Quote, func(s string) (string, error) {
		if s != "" && !path.IsAbs(s) {
			return "", faultf("begin it with /", "%q is not an absolute path", s)
		}
		return cleanPath(s), nil
	})
}

// PathTemplate is a Path with variables: one file for each of their values.
func PathTemplate() Type {
	file, text := Path(), UserTemplate()
	return Type{Name: "absolute path with variables", write: file.write, canon: func(v Value) (string, error) {
		if _, err := text.canon(v); err != nil {
			return "", err
		}
		return file.canon(v)
	}}
}

// BasePath is a path that may be relative to base_dir.
func BasePath() Type {
	return single("path, from base_dir unless absolute", Quote, func(s string) (string, error) {
		if slices.Contains(strings.Split(s, "/"), "..") {
			return "", faultf("", "%q leaves its folder by ..", s)
		}
		return cleanPath(s), nil
	})
}

// LogPath is where log lines go.
func LogPath(none bool) Type {
	return single("syslog, stderr or absolute path", Quote, func(s string) (string, error) {
		if s == "syslog" || s == "stderr" || path.IsAbs(s) || s == "" && none {
			return cleanPath(s), nil
		}
		return "", faultf("syslog, stderr or an absolute path", "%q is no place for a log", s)
	})
}

func cleanPath(s string) string {
	if s == "" {
		return ""
	}
	return path.Clean(s)
}

// List is any number of texts, each of which valid accepts; nil accepts all.
func List(name string, valid func(string) error) Type {
	return list(name, valid, func(v Value) ([]string, error) { return v.many() })
}

// Words is a list whose elements hold no blanks, so that one string may hold
// all of them, separated by blanks or commas as in Dovecot.
func Words(name string, valid func(string) error) Type {
	return list(name, valid, func(v Value) ([]string, error) {
		all, err := v.many()
		if err != nil || v.Form == Listed {
			return all, err
		}
		return strings.FieldsFunc(v.Text, func(r rune) bool { return r == ' ' || r == ',' }), nil
	})
}

func list(name string, valid func(string) error, split func(Value) ([]string, error)) Type {
	return Type{
		Name: "list of " + name,
		List: true,
		canon: func(v Value) (string, error) {
			all, err := split(v)
			if err != nil {
				return "", err
			}
			for _, s := range all {
				if valid == nil {
					continue
				}
				if err := valid(s); err != nil {
					return "", err
				}
			}
			return strings.Join(all, "\t"), nil
		},
		write: func(s string) string {
			if s == "" {
				return "[]"
			}
			all := strings.Split(s, "\t")
			for i := range all {
				all[i] = Quote(all[i])
			}
			return "[" + strings.Join(all, ", ") + "]"
		},
	}
}

// Networks is a list of addresses and networks.
func Networks() Type {
	return Words("addresses or networks", func(s string) error {
		if _, err := netip.ParseAddr(s); err == nil {
			return nil
		}
		if _, err := netip.ParsePrefix(s); err == nil {
			return nil
		}
		return faultf(`such as "127.0.0.1" or "10.0.0.0/8"`, "%q is neither an address nor a network", s)
	})
}

// Addresses is a list of what can be listened on.
func Addresses() Type {
	return Words("addresses", func(s string) error {
		if _, err := netip.ParseAddr(s); err == nil || s == "*" {
			return nil
		}
		return faultf(`"*" is all of IPv4, "::" all of IPv6`, "%q is not an address", s)
	})
}

// SomeOf is a list of words from a fixed set.
func SomeOf(words ...string) Type {
	one := Word(words...)
	return Words(strings.Join(words, ", "), func(s string) error {
		_, err := one.canon(Value{Form: Quoted, Text: s})
		return err
	})
}
