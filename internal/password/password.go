// Package password hashes passwords and tells whether one has a hash, in the
// schemes of Dovecot's {SCHEME} prefixes.
//
// Runs as:   the auth service user; whoever calls doveadm pw. No worker links it.
// Trusts:    nobody.
// Distrusts: hashes: their own parameters decide how much work and memory a test
// takes, so each has a limit.
// Speaks:    crypt(3) strings, PHC strings of Argon2, RFC 5802 and RFC 7677 stored
// keys, digests as LDAP has them, the keys of RFC 2195 and RFC 2831; spec/auth.md 5.
package password

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Limits.
const (
	MaxPassword   = 1024    // bytes
	MaxHash       = 4096    // bytes of a stored password
	maxBcrypt     = 72      // bytes of a password that bcrypt looks at
	maxMemory     = 1 << 20 // KiB of one test
	muchMemory    = 8 << 10 // KiB that are given back at once
	maxPasses     = 64
	maxLanes      = 64
	maxCost       = 20 // of bcrypt, as a power of two
	maxIterations = 10_000_000
	saltSize      = 16
)

// Default is the scheme of a new password.
const Default = "ARGON2ID"

// What is wrong with a stored password. All of them are the administrator's to
// mend, and temporary for whoever logs in: none says anything about a password.
var (
	// ErrScheme says that there is no such scheme here.
	ErrScheme = errors.New("unknown password scheme")
	// ErrFormat says that a hash is none of its scheme.
	ErrFormat = errors.New("malformed hash")
	// ErrWeak says that the scheme is weak and that weak ones are not allowed.
	ErrWeak = errors.New("weak password scheme (auth_allow_weak_schemes = yes would allow it)")
	// ErrMemory says that a test would need more memory than there is.
	ErrMemory = errors.New("a test of the hash needs more memory than service auth may take (vsz_limit)")
	// ErrLong says that a new password is longer than the scheme can use.
	ErrLong = errors.New("password too long")
)

// Checker tests passwords. The zero value allows no weak scheme.
type Checker struct {
	AllowWeak bool
	Memory    int // KiB that one test may take; 0: as much as any may
}

// Info is what one has to know of a stored password before it is tested.
type Info struct {
	Scheme string
	Weak   string // why it is weak; "": it is not
	Memory int    // KiB that a test takes, 0 for next to nothing. All tests at one time together: a quarter of vsz_limit
}

// Look says what a stored password is, and whether it could be tested at all.
func (c Checker) Look(stored string) (Info, error) {
	s, data, err := open(stored)
	if err != nil {
		return Info{Scheme: s.Name}, err
	}
	info := Info{Scheme: s.Name, Weak: s.Weak}
	if s.look != nil && data != "" {
		var inner Info
		if inner, err = s.look(data); err != nil {
			return info, fmt.Errorf("%s: %w", s.Name, err)
		}
		info.Memory = inner.Memory
		if inner.Weak != "" {
			info.Weak = inner.Weak
		}
	}
	switch {
	case info.Memory > maxMemory || c.Memory > 0 && info.Memory > c.Memory:
		return info, fmt.Errorf("%w: %s with %d KiB", ErrMemory, s.Name, info.Memory)
	case info.Weak != "" && !c.AllowWeak:
		return info, fmt.Errorf("%w: %s: %s", ErrWeak, s.Name, info.Weak)
	}
	return info, nil
}

// Match says whether the password is that of {SCHEME}hash. The name at login
// counts for DIGEST-MD5 only. An error says nothing about the password: see
// ErrScheme and its kin.
func (c Checker) Match(stored, login, password string) (bool, error) {
	info, err := c.Look(stored)
	if err != nil {
		return false, err
	}
	s, data, _ := open(stored)
	// What is empty is a password that nobody set, whatever the scheme.
	if data == "" || len(password) > MaxPassword {
		return false, nil
	}
	ok, err := s.match(data, login, password)
	if info.Memory >= muchMemory {
		// Else the next test's memory comes on top of this one's: under a hard limit
		// (RLIMIT_DATA) that ends the process. Measured with 64 MiB each, one at a time:
		// 139 MiB mapped instead of 205, in no more time.
		runtime.GC()
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.Name, err)
	}
	return ok, nil
}

// Hash makes {SCHEME}hash of a password. A suffix of the scheme's name is the
// encoding. Rounds of 0 are the scheme's own.
func Hash(scheme, login, password string, rounds int) (string, error) {
	name, suffix := cutSuffix(scheme)
	s, err := find(name)
	form := s.form
	if err == nil && suffix != "" {
		form, err = formOf(suffix)
	}
	switch {
	case err != nil:
		return "", err
	case s.make == nil:
		return "", fmt.Errorf("scheme %s is for stored passwords only: none are made", s.Name)
	case password == "":
		return "", errors.New("an empty password is none: it would never match")
	case len(password) > MaxPassword:
		return "", ErrLong
	case s.NeedsLogin && login == "":
		return "", fmt.Errorf("scheme %s needs the user's name", s.Name)
	case rounds != 0 && s.Rounds == 0:
		return "", fmt.Errorf("scheme %s has no rounds", s.Name)
	case rounds != 0 && (rounds < s.Least || rounds > s.Most):
		return "", fmt.Errorf("rounds of %s are from %d to %d", s.Name, s.Least, s.Most)
	case rounds == 0:
		rounds = s.Rounds
	}
	data, err := s.make(login, password, rounds)
	if err != nil {
		return "", err
	}
	if suffix != "" {
		suffix = "." + suffix
	}
	return "{" + s.Name + strings.ToUpper(suffix) + "}" + form.encode(data), nil
}

// Dummy makes a stored password that nobody has, for tests whose result does not
// count: they take as long as those of a new password of the scheme. Make it once.
func Dummy(scheme string) (string, error) {
	return Hash(scheme, "nobody", rand.Text(), 0)
}

// Split parts {SCHEME}hash. Without a prefix the scheme is "".
func Split(stored string) (scheme, hash string) {
	if rest, ok := strings.CutPrefix(stored, "{"); ok {
		if scheme, hash, ok := strings.Cut(rest, "}"); ok {
			return scheme, hash
		}
	}
	return "", stored
}

// WithScheme puts the default scheme before a stored password that has none. What
// has crypt's form for MD5 is that, as in Dovecot.
func WithScheme(stored, scheme string) string {
	switch prefix, _ := Split(stored); {
	case prefix != "" || stored == "":
		return stored
	case strings.HasPrefix(stored, "$1$"):
		return "{MD5-CRYPT}" + stored
	}
	return "{" + scheme + "}" + stored
}

// Cleartext gives the password itself, if that is what is stored.
func Cleartext(stored string) (string, bool) {
	s, data, err := open(stored)
	return data, err == nil && s.clear && data != ""
}

// Serves says whether a stored password can be used by a mechanism that wants one
// of the schemes: it is of one, or in cleartext.
func Serves(stored string, schemes []string) bool {
	s, data, err := open(stored)
	return err == nil && data != "" && (s.clear || slices.ContainsFunc(schemes, func(want string) bool {
		w, err := find(want)
		return err == nil && (w.Name == s.Name || w.Name == s.like)
	}))
}

// open finds the scheme of a stored password and decodes it. Where the scheme is
// known, it is returned with an error too.
func open(stored string) (Scheme, string, error) {
	prefix, text := Split(stored)
	name, suffix := cutSuffix(prefix)
	s, err := find(name)
	if err != nil {
		return Scheme{}, "", err
	}
	if len(text) > MaxHash {
		return s, "", fmt.Errorf("%s: %w: longer than %d bytes", s.Name, ErrFormat, MaxHash)
	}
	form := s.form
	switch {
	case suffix != "":
		if form, err = formOf(suffix); err != nil {
			return s, "", err
		}
	case s.size > 0 && len(text) == hex.EncodedLen(s.size):
		form = inHex
	case s.size > 0 && len(text) == base64.StdEncoding.EncodedLen(s.size):
		form = inBase64
	}
	data, err := form.decode(text)
	if err == nil && s.size > 0 && len(data) != s.size && data != "" {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrFormat, len(data), s.size)
	}
	if err != nil {
		return s, "", fmt.Errorf("%s: %w", s.Name, err)
	}
	return s, data, nil
}

func cutSuffix(scheme string) (name, suffix string) {
	name, suffix, _ = strings.Cut(scheme, ".")
	return name, suffix
}

// form is how the bytes of a hash are written.
type form int

const (
	asText form = iota
	inBase64
	inHex
)

func formOf(suffix string) (form, error) {
	switch strings.ToLower(suffix) {
	case "hex":
		return inHex, nil
	case "b64", "base64":
		return inBase64, nil
	}
	return 0, fmt.Errorf("%w: .%.20q is no encoding (.hex and .b64 are)", ErrScheme, suffix)
}

func (f form) encode(data string) string {
	switch f {
	case inBase64:
		return base64.StdEncoding.EncodeToString([]byte(data))
	case inHex:
		return hex.EncodeToString([]byte(data))
	}
	return data
}

func (f form) decode(text string) (string, error) {
	data, err := []byte(text), error(nil)
	switch f {
	case inBase64:
		data, err = base64.StdEncoding.DecodeString(text)
	case inHex:
		data, err = hex.DecodeString(text)
	}
	if err != nil {
		return "", fmt.Errorf("%w: not in its encoding", ErrFormat)
	}
	return string(data), nil
}
