package variable

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// modifiers are the letters that may stand before a short form.
const modifiers = "LUEXRNHMDT"

// maxWidth bounds what a template can make of a value.
const maxWidth = 4096

// width is "[offset.]width" of Dovecot 2.3. A width that begins with 0 fills up
// with zeros; a negative one leaves off so many bytes at the end.
type width struct {
	offset, size int
	zeros        bool
}

func parseWidth(s string) (w width, rest string, err error) {
	n := 0
	for n < len(s) && (s[n] == '.' || s[n] == '-' || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	if n == 0 {
		return w, s, nil
	}
	from, size, both := strings.Cut(s[:n], ".")
	if !both {
		from, size = "", strings.TrimPrefix(s[:n], "-")
	}
	var err1, err2 error
	if from != "" {
		w.offset, err1 = strconv.Atoi(from)
	}
	if size != "" {
		w.size, err2 = strconv.Atoi(size)
	}
	w.zeros = strings.HasPrefix(size, "0") && w.size > 0
	if err1 != nil || err2 != nil || max(w.offset, -w.offset, w.size, -w.size) > maxWidth {
		return w, s, fmt.Errorf("bad width %q", s[:n])
	}
	return w, s[n:], nil
}

// cut applies the width, in bytes as Dovecot does.
func (w width) cut(v string) string {
	switch o := w.offset; {
	case o < 0:
		v = v[max(0, len(v)+o):]
	default:
		v = v[min(o, len(v)):]
	}
	switch {
	case w.zeros:
		return strings.Repeat("0", max(0, w.size-len(v))) + v
	case w.size > 0:
		return v[:min(w.size, len(v))]
	case w.size < 0:
		return v[:max(0, len(v)+w.size)]
	}
	return v
}

// modifier gives what a letter does. The hashes take offset and width for
// themselves: "%2.256N" is a hash modulo 256 in at least 2 digits.
func (w *width) modifier(letter byte) change {
	switch letter {
	case 'L':
		return lower
	case 'U':
		return upper
	case 'E':
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace
	case 'X':
		return hexNumber
	case 'R':
		return reverse
	case 'M':
		return func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
	case 'D':
		return ldapDN
	case 'T':
		return func(s string) string { return strings.TrimRight(s, " \t\n\v\f\r") }
	}
	digits, modulus := max(0, w.offset), uint64(max(0, w.size))
	w.offset, w.size, w.zeros = 0, 0, false
	return func(s string) string {
		var h uint64
		if letter == 'N' {
			sum := md5.Sum([]byte(s))
			h = binary.BigEndian.Uint64(sum[:])
		} else {
			h = uint64(oldHash(s))
		}
		if modulus > 0 {
			h %= modulus
		}
		return fmt.Sprintf("%0*x", digits, uint32(h))
	}
}

// hexNumber writes a decimal number in hex; what is none is 0.
func hexNumber(s string) string {
	n, _ := strconv.ParseUint(s, 10, 64)
	return strconv.FormatUint(n, 16)
}

// oldHash is the hash of %H, of which folders were made.
func oldHash(s string) (h uint32) {
	for _, c := range []byte(s) {
		h = h<<4 + uint32(c)
		if g := h & 0xf0000000; g != 0 {
			h ^= g>>24 ^ g
		}
	}
	return h
}

// lower and upper change ASCII letters only, as Dovecot does: a UTF-8 name keeps its bytes.
func lower(s string) string { return mapASCII(s, 'A', 'Z', 'a'-'A') }
func upper(s string) string { return mapASCII(s, 'a', 'z', 'A'-'a') }

func mapASCII(s string, from, to byte, by int) string {
	i := 0
	for i < len(s) && (s[i] < from || s[i] > to) {
		i++
	}
	if i == len(s) {
		return s
	}
	out := []byte(s)
	for ; i < len(out); i++ {
		if out[i] >= from && out[i] <= to {
			out[i] = byte(int(out[i]) + by)
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

// ldapDN makes example,dc=org of example.org.
func ldapDN(s string) string { return strings.ReplaceAll(s, ".", ",dc=") }

// Filters of Dovecot 2.4's pipes that take nothing.
var filters = map[string]change{
	"lower": lower, "upper": upper, "reverse": reverse, "ldap_dn": ldapDN,
	"username": BeforeAt, "domain": AfterAt, "domain_first": DomainFirst, "domain_last": DomainLast,
	"hexlify": func(s string) string { return hex.EncodeToString([]byte(s)) },
	"base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"md5":     func(s string) string { h := md5.Sum([]byte(s)); return string(h[:]) },
	"sha1":    func(s string) string { h := sha1.Sum([]byte(s)); return string(h[:]) },
	"sha256":  func(s string) string { h := sha256.Sum256([]byte(s)); return string(h[:]) },
	"sha512":  func(s string) string { h := sha512.Sum512([]byte(s)); return string(h[:]) },
}

// calls are filters with arguments.
var calls = map[string]func(args []string) (change, error){
	"default":  newDefault,
	"substr":   newSubstr,
	"truncate": newTruncate,
	"lfill":    func(args []string) (change, error) { return newFill(args, true) },
	"rfill":    func(args []string) (change, error) { return newFill(args, false) },
}

// parseFilters reads what stands between the pipes.
func parseFilters(words []string) ([]change, error) {
	var all []change
	raw := false
	for _, w := range words {
		name, text, called := strings.Cut(w, "(")
		name = strings.TrimSpace(name)
		args, err := parseArgs(text, called)
		if err != nil {
			return nil, err
		}
		switch {
		case filters[name] != nil && len(args) == 0:
			all = append(all, filters[name])
		case calls[name] != nil:
			c, err := calls[name](args)
			if err != nil {
				return nil, fmt.Errorf("filter %s: %w", name, err)
			}
			all = append(all, c)
		case filters[name] != nil:
			return nil, fmt.Errorf("filter %s takes no arguments", name)
		default:
			return nil, fmt.Errorf("unknown filter %q", name)
		}
		raw = IsDigest(name)
	}
	if raw { // a digest is bytes: it is written in hex unless it is told how
		all = append(all, filters["hexlify"])
	}
	return all, nil
}

// IsDigest says whether a filter gives the bytes of a digest.
func IsDigest(filter string) bool {
	return filter == "md5" || filter == "sha1" || filter == "sha256" || filter == "sha512"
}

// Digest gives a digest in hex.
func Digest(name, s string) string { return hex.EncodeToString([]byte(filters[name](s))) }

// parseArgs reads "'x', 3)" after a bracket.
func parseArgs(text string, called bool) ([]string, error) {
	if !called {
		return nil, nil
	}
	text = strings.TrimSpace(text)
	if !strings.HasSuffix(text, ")") {
		return nil, errors.New("a bracket is not closed")
	}
	text = strings.TrimSpace(strings.TrimSuffix(text, ")"))
	if text == "" {
		return nil, nil
	}
	args, err := split(text, ',')
	if err != nil {
		return nil, err
	}
	for i, a := range args {
		if n := len(a); n >= 2 && (a[0] == '\'' || a[0] == '"') && a[n-1] == a[0] {
			args[i] = a[1 : n-1]
		}
	}
	return args, nil
}

func newDefault(args []string) (change, error) {
	if len(args) > 1 {
		return nil, errors.New("takes one value")
	}
	text := strings.Join(args, "")
	return func(s string) string {
		if s == "" {
			return text
		}
		return s
	}, nil
}

// newSubstr makes substr(offset[, length]); a negative offset counts from the end,
// a negative length leaves off so much.
func newSubstr(args []string) (change, error) {
	if len(args) == 0 || len(args) > 2 {
		return nil, errors.New("wants an offset and perhaps a length")
	}
	offset, err := strconv.Atoi(args[0])
	length := 0
	if err == nil && len(args) == 2 {
		length, err = strconv.Atoi(args[1])
	}
	if err != nil || max(offset, -offset, length, -length) > maxWidth {
		return nil, fmt.Errorf("%q are no numbers", args)
	}
	w := width{offset: offset, size: length}
	if len(args) == 2 && length == 0 {
		return func(string) string { return "" }, nil
	}
	return w.cut, nil
}

func newTruncate(args []string) (change, error) {
	if len(args) == 1 {
		if n, err := strconv.Atoi(args[0]); err == nil && n >= 0 {
			return func(s string) string { return s[:min(n, len(s))] }, nil
		}
	}
	return nil, errors.New("wants a length in bytes")
}

// newFill makes lfill and rfill (width[, character]).
func newFill(args []string, left bool) (change, error) {
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && len(args[1]) != 1 {
		return nil, errors.New("wants a width and perhaps one character")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 0 || n > maxWidth {
		return nil, fmt.Errorf("%q is no width", args[0])
	}
	with := "0"
	if len(args) == 2 {
		with = args[1]
	}
	return func(s string) string {
		more := strings.Repeat(with, max(0, n-len(s)))
		if left {
			return more + s
		}
		return s + more
	}, nil
}

// cutBrace cuts at the closing brace that is in no quotes.
func cutBrace(s string) (inner, rest string, ok bool) {
	if i := unquoted(s, '}'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", s, false
}

// split cuts at a separator that is in no quotes, and trims blanks.
func split(s string, at byte) (all []string, err error) {
	for {
		i := unquoted(s, at)
		if i < 0 {
			all = append(all, strings.TrimSpace(s))
			break
		}
		all = append(all, strings.TrimSpace(s[:i]))
		s = s[i+1:]
	}
	for _, a := range all {
		if a == "" {
			return nil, errors.New("something is missing")
		}
	}
	return all, nil
}

// unquoted finds a byte outside of quotes, -1 if there is none.
func unquoted(s string, c byte) int {
	var quote byte
	for i := range len(s) {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == c:
			return i
		case s[i] == '\'' || s[i] == '"':
			quote = s[i]
		}
	}
	return -1
}
