package cache

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"sync/atomic"

	"culver/internal/maillog/logline"
	"culver/internal/password"
	"culver/services/auth/field"
	"culver/services/auth/guard"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// Source keeps the answers of a source of passwords. name is that of its block;
// templates are all that it expands. A source whose data has variables of its own
// is not to be cached.
func (c *Cache) Source(name string, templates []vars.Template, s passdb.Source) passdb.Source {
	if !c.On() {
		return s
	}
	return &source{c, "passdb " + name, templates, s}
}

type source struct {
	cache     *Cache
	block     string
	templates []vars.Template
	of        passdb.Source
}

// Lookup implements passdb.Source. An entry from memory can be had Again, as the
// password may have been changed since.
func (s *source) Lookup(ctx context.Context, v *vars.Values) (passdb.Entry, error) {
	own := *v
	q := question[passdb.Entry]{
		key: keyOf(s.block, s.templates, v), user: v.User,
		ask:  func(ctx context.Context) (passdb.Entry, error) { return s.of.Lookup(ctx, &own) },
		size: sizeOfEntry,
	}
	e, known, err := answer(ctx, s.cache, q)
	e.Fields = slices.Clone(e.Fields)
	if err == nil && known >= recheck {
		e.Again = func(ctx context.Context) (passdb.Entry, error) {
			e, err := fetch(ctx, s.cache, q)
			e.Fields = slices.Clone(e.Fields)
			return e, err
		}
	}
	return e, err
}

// Verifier keeps what a source proved that shows no password.
func (c *Cache) Verifier(name string, templates []vars.Template, s passdb.Verifier) passdb.Verifier {
	if !c.On() {
		return s
	}
	return &verifier{c, "proof " + name, templates, s}
}

type verifier struct {
	cache     *Cache
	block     string
	templates []vars.Template
	of        passdb.Verifier
}

// proved is what a source said of the password with this HMAC.
type proved struct {
	passdb.Entry
	mac string
}

// Verify implements passdb.Verifier. Another password than the one that was proved
// goes to the source, and takes its place if it is right: then the old one is tested
// anew as well.
func (s *verifier) Verify(ctx context.Context, v *vars.Values, secret string) (passdb.Entry, error) {
	own := *v
	key := keyOf(s.block, s.templates, v)
	mac := s.cache.hmac(key, secret)
	p, _, err := answer(ctx, s.cache, question[proved]{
		key: key, user: v.User, mac: mac,
		fits: func(p proved) bool { return subtle.ConstantTimeCompare([]byte(p.mac), []byte(mac)) == 1 },
		ask: func(ctx context.Context) (proved, error) {
			e, err := s.of.Verify(ctx, &own, secret)
			e.Password = "" // the source has tested it
			return proved{e, mac}, err
		},
		size: func(p proved) int64 { return sizeOfEntry(p.Entry) },
	})
	p.Fields = slices.Clone(p.Fields)
	return p.Entry, err
}

// hmac binds a password to the question it was given for.
func (c *Cache) hmac(key, secret string) string {
	h := hmac.New(sha256.New, c.mac)
	h.Write([]byte(key))
	h.Write([]byte{'\n'}) // there is none in a key
	h.Write([]byte(secret))
	return string(h.Sum(nil))
}

// DB keeps the answers of a source of users.
func (c *Cache) DB(name string, templates []vars.Template, d userdb.DB) userdb.DB {
	if !c.On() {
		return d
	}
	return &db{cache: c, name: name, templates: templates, DB: d}
}

type db struct {
	userdb.DB // for lists
	cache     *Cache
	name      string
	templates []vars.Template
	old       atomic.Bool // its failure, and that old answers are given, was told
}

// Lookup implements userdb.DB.
func (d *db) Lookup(ctx context.Context, v *vars.Values) (field.List, error) {
	own := *v
	l, known, err := answer(ctx, d.cache, question[field.List]{
		key: keyOf("userdb "+d.name, d.templates, v), user: v.User,
		ask:      func(ctx context.Context) (field.List, error) { return d.DB.Lookup(ctx, &own) },
		size:     sizeOfFields,
		delivery: v.Service == "lmtp" || v.Service == "lda",
		old:      d.cache.Stale,
	})
	switch {
	case known >= d.cache.TTL:
		d.tell()
	case known == 0 && guard.Answered(err):
		d.old.Store(false)
	}
	return slices.Clone(l), err
}

// tell logs once that deliveries live on memory, until the source answers again.
func (d *db) tell() {
	if !d.old.Swap(true) {
		d.cache.Logf(logline.Warn, "", "userdb %q fails: deliveries go on with what it said last, for %v at most", d.name, d.cache.Stale)
	}
}

// sizeOfEntry is below 0 for what shows a password to whoever can read our memory.
func sizeOfEntry(e passdb.Entry) int64 {
	for _, f := range e.Fields {
		if strings.Contains(strings.ToLower(f.Key), "pass") {
			return -1 // such as pass, for another server
		}
	}
	if e.Password != "" && !salted(e.Password) {
		return -1
	}
	if n := sizeOfFields(e.Fields); n >= 0 {
		return n + int64(len(e.Password))
	}
	return -1
}

// schemes are those whose hash is of no use to who has not guessed the password.
var schemes = map[string]bool{
	"ARGON2ID": true, "ARGON2I": true, "ARGON2": true, "BLF-CRYPT": true, "SHA512-CRYPT": true, "SHA256-CRYPT": true,
	"CRYPT": true, "MD5-CRYPT": true, "SCRAM-SHA-256": true, "SCRAM-SHA-1": true, "PBKDF2": true,
	"SSHA512": true, "SSHA256": true, "SSHA": true, "SMD5": true,
}

func salted(stored string) bool {
	scheme, hash := password.Split(stored)
	if scheme == "" { // crypt's forms, $id$salt$hash, are known by themselves
		return strings.HasPrefix(hash, "$") && strings.Count(hash, "$") >= 3
	}
	scheme, _, _ = strings.Cut(scheme, ".") // an encoding
	return schemes[strings.ToUpper(scheme)]
}

// sizeOfFields counts each text with its header. It is below 0 for an entry that
// shuts its user out for a while: the end of that is to be seen at once.
func sizeOfFields(l field.List) int64 {
	n := int64(0)
	for _, f := range l {
		if f.Key == "tempfail" {
			return -1
		}
		n += int64(len(f.Key)+len(f.Value)) + 48
	}
	return n
}
