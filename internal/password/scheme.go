package password

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Scheme is one way to store a password.
type Scheme struct {
	Name       string
	Weak       string // why: see the table; "": it is not
	Rounds     int    // the default; 0: has none
	Least      int    // rounds
	Most       int
	NeedsLogin bool // the user's name is part of the hash

	form  form
	size  int    // bytes, where all hashes have the same
	clear bool   // the password itself
	like  string // the scheme that this is another name of
	make  func(login, password string, rounds int) (string, error)
	look  func(data string) (Info, error)
	match func(data, login, password string) (bool, error)
}

// Why schemes are weak. A scheme that is not in this list may be fast (SSHA512)
// or keep the password itself (PLAIN): that is the site's to weigh, and some
// mechanisms need it. These have a hole: a table that is made once finds the
// passwords of all users and sites, or the hash does not bind the password.
const (
	weakDES      = "56 bits of key and 8 letters of the password"
	weakMD5      = "made of MD5, which its author gave up in 2012"
	weakUnsalted = "has no salt, so one table finds the passwords of all users"
	weakTrunc    = "any longer password with the same beginning matches"
	weakFast     = "salted, but made of one round of MD5"
)

// Schemes gives all schemes, the best first.
func Schemes() []Scheme { return schemes }

var schemes = []Scheme{
	{Name: "ARGON2ID", Rounds: 3, Least: 1, Most: maxPasses, make: makeArgon2(true), look: lookArgon2, match: matchArgon2},
	{Name: "ARGON2I", Rounds: 4, Least: 3, Most: maxPasses, make: makeArgon2(false), look: lookArgon2, match: matchArgon2},
	{Name: "ARGON2", Rounds: 3, Least: 1, Most: maxPasses, make: makeArgon2(true), look: lookArgon2, match: matchArgon2},
	{Name: "BLF-CRYPT", Rounds: 12, Least: 10, Most: maxCost, make: makeBcrypt, look: lookCrypt, match: matchCrypt},
	{Name: "SHA512-CRYPT", Rounds: 250_000, Least: 1000, Most: maxIterations, make: makeSHACrypt(shacrypt.WithSHA512()), look: lookCrypt, match: matchCrypt},
	{Name: "SHA256-CRYPT", Rounds: 250_000, Least: 1000, Most: maxIterations, make: makeSHACrypt(shacrypt.WithSHA256()), look: lookCrypt, match: matchCrypt},
	{Name: "CRYPT", Rounds: 12, Least: 10, Most: maxCost, make: makeBcrypt, look: lookCrypt, match: matchCrypt},
	{Name: "SCRAM-SHA-256", Rounds: 50_000, Least: 4096, Most: maxIterations, make: makeSCRAM(sha256.New), look: lookSCRAM(sha256.New), match: matchSCRAM(sha256.New)},
	{Name: "SCRAM-SHA-1", Rounds: 50_000, Least: 4096, Most: maxIterations, make: makeSCRAM(sha1.New), look: lookSCRAM(sha1.New), match: matchSCRAM(sha1.New)},
	{Name: "PBKDF2", Rounds: 200_000, Least: 5000, Most: maxIterations, make: makePBKDF2, look: lookPBKDF2, match: matchPBKDF2},
	{Name: "SSHA512", form: inBase64, make: makeSalted(sha512.New), look: lookSalted(sha512.Size), match: matchSalted(sha512.New)},
	{Name: "SSHA256", form: inBase64, make: makeSalted(sha256.New), look: lookSalted(sha256.Size), match: matchSalted(sha256.New)},
	{Name: "SSHA", form: inBase64, make: makeSalted(sha1.New), look: lookSalted(sha1.Size), match: matchSalted(sha1.New)},
	{Name: "PLAIN", clear: true, make: makePlain, match: matchPlain},
	{Name: "CLEARTEXT", clear: true, make: makePlain, match: matchPlain},
	{Name: "CLEAR", clear: true, make: makePlain, match: matchPlain},
	{Name: "SHA512", Weak: weakUnsalted, form: inBase64, size: sha512.Size, make: makeDigest(sha512.New), match: matchDigest(sha512.New)},
	{Name: "SHA256", Weak: weakUnsalted, form: inBase64, size: sha256.Size, make: makeDigest(sha256.New), match: matchDigest(sha256.New)},
	{Name: "SHA1", Weak: weakUnsalted, form: inBase64, size: sha1.Size, make: makeDigest(sha1.New), match: matchDigest(sha1.New)},
	{Name: "SHA", Weak: weakUnsalted, form: inBase64, size: sha1.Size, make: makeDigest(sha1.New), match: matchDigest(sha1.New)},
	{Name: "CRAM-MD5", Weak: weakUnsalted, form: inHex, size: cramSize, make: makeCRAM, match: matchCRAM},
	{Name: "HMAC-MD5", Weak: weakUnsalted, like: "CRAM-MD5", form: inHex, size: cramSize, make: makeCRAM, match: matchCRAM},
	{Name: "DIGEST-MD5", Weak: weakUnsalted, NeedsLogin: true, form: inHex, size: md5.Size, make: makeDigestMD5, match: matchDigestMD5},
	{Name: "MD5-CRYPT", Weak: weakMD5, look: lookCrypt, match: matchCrypt},
	{Name: "MD5", Weak: weakMD5, look: lookMD5, match: matchMD5},
	{Name: "SMD5", Weak: weakFast, form: inBase64, make: makeSalted(md5.New), look: lookSalted(md5.Size), match: matchSalted(md5.New)},
	{Name: "LDAP-MD5", Weak: weakUnsalted, form: inBase64, size: md5.Size, make: makeDigest(md5.New), match: matchDigest(md5.New)},
	{Name: "PLAIN-MD5", Weak: weakUnsalted, form: inHex, size: md5.Size, make: makeDigest(md5.New), match: matchDigest(md5.New)},
	{Name: "PLAIN-MD4", Weak: weakUnsalted, form: inHex, size: md5.Size, match: matchMD4},
	{Name: "PLAIN-TRUNC", Weak: weakTrunc, look: lookTrunc, match: matchTrunc},
	{Name: "DES-CRYPT", Weak: weakDES, look: lookCrypt, match: matchCrypt},
}

func find(name string) (Scheme, error) {
	for _, s := range schemes {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
	}
	return Scheme{}, fmt.Errorf("%w %.40q", ErrScheme, name)
}
