package password

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// Keys are what RFC 5802 section 3 has a server keep of a password.
type Keys struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte
}

// SCRAMHash gives the hash of SCRAM-SHA-256 or SCRAM-SHA-1.
func SCRAMHash(scheme string) func() hash.Hash {
	if scheme == "SCRAM-SHA-1" {
		return sha1.New
	}
	return sha256.New
}

// SCRAMKeys reads stored keys of that scheme.
func SCRAMKeys(scheme, stored string) (Keys, error) {
	s, data, err := open(stored)
	if err != nil {
		return Keys{}, err
	}
	if s.Name != scheme {
		return Keys{}, fmt.Errorf("%w: %s is nothing for %s", ErrFormat, s.Name, scheme)
	}
	return parseKeys(SCRAMHash(scheme), data)
}

// DeriveKeys makes the keys of a password. It is taken as it is: SASLprep would
// change what few type, and Dovecot does not apply it.
func DeriveKeys(h func() hash.Hash, password string, salt []byte, iterations int) (Keys, error) {
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	if err != nil {
		return Keys{}, err
	}
	stored := sum(h, string(keyed(h, salted, "Client Key")))
	return Keys{iterations, salt, []byte(stored), keyed(h, salted, "Server Key")}, nil
}

// String is "iterations,salt,StoredKey,ServerKey".
func (k Keys) String() string {
	text := base64.StdEncoding.EncodeToString
	return strconv.Itoa(k.Iterations) + "," + text(k.Salt) + "," + text(k.StoredKey) + "," + text(k.ServerKey)
}

func parseKeys(h func() hash.Hash, data string) (k Keys, err error) {
	f := strings.Split(data, ",")
	if len(f) != 4 {
		return k, fmt.Errorf("%w: want iterations, salt and two keys", ErrFormat)
	}
	if k.Iterations, err = strconv.Atoi(f[0]); err != nil || k.Iterations < 1 || k.Iterations > maxIterations {
		return k, fmt.Errorf("%w: iterations are from 1 to %d", ErrFormat, maxIterations)
	}
	for i, to := range []*[]byte{&k.Salt, &k.StoredKey, &k.ServerKey} {
		if *to, err = base64.StdEncoding.DecodeString(f[1+i]); err != nil || len(*to) == 0 || i > 0 && len(*to) != h().Size() {
			return k, fmt.Errorf("%w: salt or key is none", ErrFormat)
		}
	}
	return k, nil
}

func makeSCRAM(h func() hash.Hash) func(string, string, int) (string, error) {
	return func(_, password string, iterations int) (string, error) {
		salt := make([]byte, saltSize)
		rand.Read(salt)
		k, err := DeriveKeys(h, password, salt, iterations)
		return k.String(), err
	}
}

func lookSCRAM(h func() hash.Hash) func(string) (Info, error) {
	return func(data string) (Info, error) {
		_, err := parseKeys(h, data)
		return Info{}, err
	}
}

func matchSCRAM(h func() hash.Hash) func(string, string, string) (bool, error) {
	return func(data, _, password string) (bool, error) {
		k, err := parseKeys(h, data)
		if err != nil {
			return false, err
		}
		made, err := DeriveKeys(h, password, k.Salt, k.Iterations)
		if err != nil {
			return false, err
		}
		return subtle.ConstantTimeCompare(made.StoredKey, k.StoredKey)&subtle.ConstantTimeCompare(made.ServerKey, k.ServerKey) == 1, nil
	}
}
