// Package password hashes passwords and tells whether one has a hash, in the
// schemes of Dovecot's {SCHEME} prefixes.
//
// Runs as:   whoever calls doveadm pw; later the auth service. No worker links it.
// Trusts:    nobody.
// Distrusts: hashes: their own parameters decide how much work a test is, so each has a limit.
// Speaks:    crypt(3) strings, PHC strings of Argon2, RFC 5802 and RFC 7677 stored keys,
// base64 of digest and salt as LDAP has them.
package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"
	"github.com/go-crypt/crypt/algorithm/bcrypt"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Limits.
const (
	MaxPassword   = 1024    // bytes
	MaxHash       = 4096    // bytes of a stored password
	maxBcrypt     = 72      // bytes of a password that bcrypt looks at
	maxMemory     = 1 << 20 // KiB of an Argon2 hash
	maxPasses     = 64
	maxLanes      = 64
	maxCost       = 20 // of bcrypt, as a power of two
	maxIterations = 10_000_000
	saltSize      = 16
)

// Default is the scheme of a new password.
const Default = "ARGON2ID"

var (
	// ErrScheme says that there is no such scheme here.
	ErrScheme = errors.New("unknown password scheme")
	// ErrFormat says that a hash is none of its scheme.
	ErrFormat = errors.New("malformed hash")
	// ErrLong says that the password is longer than the scheme can use.
	ErrLong = errors.New("password too long")
)

// Scheme is one way to store a password.
type Scheme struct {
	Name   string
	Weak   bool // for hashes that are there already: none are made
	Rounds int  // the default; 0: has none
	Least  int  // rounds
	Most   int

	make  func(password string, rounds int) (string, error)
	match func(stored, password string) (bool, error)
}

// Schemes gives all schemes, the best first.
func Schemes() []Scheme { return schemes }

var schemes = []Scheme{
	{Name: "ARGON2ID", Rounds: 3, Least: 1, Most: maxPasses, make: makeArgon2, match: matchArgon2},
	{Name: "ARGON2I", Weak: true, match: matchArgon2},
	{Name: "BLF-CRYPT", Rounds: 12, Least: 10, Most: maxCost, make: makeBcrypt, match: matchCrypt},
	{Name: "SHA512-CRYPT", Rounds: 250_000, Least: 1000, Most: maxIterations, make: makeSHACrypt(shacrypt.WithSHA512()), match: matchCrypt},
	{Name: "SHA256-CRYPT", Rounds: 250_000, Least: 1000, Most: maxIterations, make: makeSHACrypt(shacrypt.WithSHA256()), match: matchCrypt},
	{Name: "CRYPT", Rounds: 12, Least: 10, Most: maxCost, make: makeBcrypt, match: matchCrypt},
	{Name: "MD5-CRYPT", Weak: true, match: matchCrypt},
	{Name: "SCRAM-SHA-256", Rounds: 50_000, Least: 4096, Most: maxIterations, make: makeSCRAM(sha256.New), match: matchSCRAM(sha256.New)},
	{Name: "SCRAM-SHA-1", Rounds: 50_000, Least: 4096, Most: maxIterations, make: makeSCRAM(sha1.New), match: matchSCRAM(sha1.New)},
	{Name: "PBKDF2", Weak: true, match: matchPBKDF2},
	{Name: "SSHA512", Weak: true, match: matchDigest(sha512.New, true)},
	{Name: "SSHA256", Weak: true, match: matchDigest(sha256.New, true)},
	{Name: "SSHA", Weak: true, match: matchDigest(sha1.New, true)},
	{Name: "SHA512", Weak: true, match: matchDigest(sha512.New, false)},
	{Name: "SHA256", Weak: true, match: matchDigest(sha256.New, false)},
	{Name: "SHA1", Weak: true, match: matchDigest(sha1.New, false)},
	{Name: "SHA", Weak: true, match: matchDigest(sha1.New, false)},
	{Name: "PLAIN", make: makePlain, match: matchPlain},
	{Name: "CLEARTEXT", make: makePlain, match: matchPlain},
}

func find(name string) (Scheme, error) {
	for _, s := range schemes {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Scheme{}, fmt.Errorf("%w %.40q", ErrScheme, name)
}

// Hash makes {SCHEME}hash of a password. Rounds of 0 are the scheme's own.
func Hash(scheme, password string, rounds int) (string, error) {
	s, err := find(scheme)
	switch {
	case err != nil:
		return "", err
	case s.make == nil:
		return "", fmt.Errorf("scheme %s is too weak for a new password", s.Name)
	case len(password) > MaxPassword:
		return "", ErrLong
	case rounds != 0 && s.Rounds == 0:
		return "", fmt.Errorf("scheme %s has no rounds", s.Name)
	case rounds != 0 && (rounds < s.Least || rounds > s.Most):
		return "", fmt.Errorf("rounds of %s are from %d to %d", s.Name, s.Least, s.Most)
	case rounds == 0:
		rounds = s.Rounds
	}
	h, err := s.make(password, rounds)
	if err != nil {
		return "", err
	}
	return "{" + s.Name + "}" + h, nil
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

// Match says whether the password has the hash {SCHEME}hash.
func Match(stored, password string) (bool, error) {
	scheme, hash := Split(stored)
	s, err := find(scheme)
	if err != nil {
		return false, err
	}
	if len(hash) > MaxHash {
		return false, ErrFormat
	}
	if len(password) > MaxPassword {
		return false, nil
	}
	return s.match(hash, password)
}

func makePlain(password string, _ int) (string, error) { return password, nil }

func matchPlain(stored, password string) (bool, error) { return same(stored, password), nil }

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// makeArgon2 uses 64 MiB and one lane, what Dovecot makes and RFC 9106 asks of
// systems that cannot give 2 GiB.
func makeArgon2(password string, passes int) (string, error) {
	h, err := argon2.New(argon2.WithVariantID(), argon2.WithT(passes), argon2.WithM(64<<10), argon2.WithP(1), argon2.WithS(saltSize), argon2.WithK(32))
	return digest(h, err, password)
}

func makeBcrypt(password string, cost int) (string, error) {
	if len(password) > maxBcrypt {
		return "", fmt.Errorf("%w: bcrypt looks at %d bytes only", ErrLong, maxBcrypt)
	}
	h, err := bcrypt.New(bcrypt.WithIterations(cost))
	out, err := digest(h, err, password)
	// 2y and 2b are the same; crypt(3) of older systems knows 2y only.
	return strings.Replace(out, "$2b$", "$2y$", 1), err
}

func makeSHACrypt(variant shacrypt.Opt) func(string, int) (string, error) {
	return func(password string, rounds int) (string, error) {
		h, err := shacrypt.New(variant, shacrypt.WithIterations(rounds))
		return digest(h, err, password)
	}
}

func digest(h algorithm.Hash, err error, password string) (string, error) {
	if err != nil {
		return "", err
	}
	d, err := h.Hash(password)
	if err != nil {
		return "", err
	}
	return d.Encode(), nil
}

// matchArgon2 looks at the parameters first: a hash may ask for all memory.
func matchArgon2(stored, password string) (bool, error) {
	f := strings.Split(stored, "$")
	if len(f) != 6 || f[0] != "" {
		return false, ErrFormat
	}
	for i, p := range []struct {
		name string
		most int
	}{{"m=", maxMemory}, {"t=", maxPasses}, {"p=", maxLanes}} {
		parts := strings.Split(f[3], ",")
		if len(parts) != 3 {
			return false, ErrFormat
		}
		digits, ok := strings.CutPrefix(parts[i], p.name)
		if n, err := strconv.Atoi(digits); !ok || err != nil || n < 1 || n > p.most {
			return false, ErrFormat
		}
	}
	d, err := argon2.Decode(stored)
	if err != nil {
		return false, ErrFormat
	}
	return d.MatchAdvanced(password)
}

// matchCrypt takes what crypt(3) takes, by the hash's own prefix.
func matchCrypt(stored, password string) (bool, error) {
	var decode algorithm.DecodeFunc
	f := strings.Split(stored, "$")
	if len(f) < 4 || f[0] != "" {
		return false, ErrFormat
	}
	most := maxIterations
	rounds := f[2]
	switch f[1] {
	case "1":
		decode, rounds = md5crypt.Decode, "0"
	case "2a", "2b", "2y":
		// The bytes behind the 72nd are not looked at, now as when it was made.
		decode, most, password = bcrypt.Decode, maxCost, password[:min(len(password), maxBcrypt)]
	case "5", "6":
		decode = shacrypt.Decode
		var ok bool
		if rounds, ok = strings.CutPrefix(rounds, "rounds="); !ok {
			rounds = "5000"
		}
	default:
		return false, fmt.Errorf("%w: crypt prefix %.8q is not known here", ErrFormat, f[1])
	}
	if n, err := strconv.Atoi(rounds); err != nil || n < 0 || n > most {
		return false, ErrFormat
	}
	d, err := decode(stored)
	if err != nil {
		return false, ErrFormat
	}
	return d.MatchAdvanced(password)
}

// makeSCRAM makes "iterations,salt,StoredKey,ServerKey" (RFC 5802 section 3).
func makeSCRAM(h func() hash.Hash) func(string, int) (string, error) {
	return func(password string, iterations int) (string, error) {
		salt := make([]byte, saltSize)
		rand.Read(salt)
		return scram(h, password, salt, iterations)
	}
}

// scram takes the password as it is: SASLprep would change what few type, and
// Dovecot does not apply it.
func scram(h func() hash.Hash, password string, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return "", err
	}
	keyed := func(key []byte, text string) []byte {
		m := hmac.New(h, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := h()
	stored.Write(keyed(salted, "Client Key"))
	text := base64.StdEncoding.EncodeToString
	return strconv.Itoa(iterations) + "," + text(salt) + "," + text(stored.Sum(nil)) + "," + text(keyed(salted, "Server Key")), nil
}

func matchSCRAM(h func() hash.Hash) func(string, string) (bool, error) {
	return func(stored, password string) (bool, error) {
		f := strings.Split(stored, ",")
		if len(f) != 4 {
			return false, ErrFormat
		}
		n, err := strconv.Atoi(f[0])
		salt, err2 := base64.StdEncoding.DecodeString(f[1])
		if err != nil || err2 != nil || n < 1 || n > maxIterations {
			return false, ErrFormat
		}
		made, err := scram(h, password, salt, n)
		return err == nil && same(made, stored), err
	}
}

// matchPBKDF2 reads "$1$salt$rounds$hex", PBKDF2 of SHA-1.
func matchPBKDF2(stored, password string) (bool, error) {
	f := strings.Split(stored, "$")
	if len(f) != 5 || f[0] != "" || f[1] != "1" {
		return false, ErrFormat
	}
	n, err := strconv.Atoi(f[3])
	key, err2 := hex.DecodeString(f[4])
	if err != nil || err2 != nil || n < 1 || n > maxIterations || len(key) != sha1.Size {
		return false, ErrFormat
	}
	made, err := pbkdf2.Key(sha1.New, password, []byte(f[2]), n, sha1.Size)
	return err == nil && subtle.ConstantTimeCompare(made, key) == 1, err
}

// matchDigest reads base64 or hex of a digest, and with salt of what follows it.
func matchDigest(h func() hash.Hash, salted bool) func(string, string) (bool, error) {
	return func(stored, password string) (bool, error) {
		size := h().Size()
		raw, err := hex.DecodeString(stored)
		if err != nil || len(raw) < size {
			if raw, err = base64.StdEncoding.DecodeString(stored); err != nil {
				return false, ErrFormat
			}
		}
		if len(raw) < size || salted != (len(raw) > size) {
			return false, ErrFormat
		}
		d := h()
		d.Write([]byte(password))
		d.Write(raw[size:])
		return subtle.ConstantTimeCompare(d.Sum(nil), raw[:size]) == 1, nil
	}
}
