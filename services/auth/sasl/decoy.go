package sasl

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"culver/internal/mechanism"
	"culver/internal/password"
)

// maxShapes is how many kinds of real keys decoys are made after.
const maxShapes = 8

// shape is what the first challenge of SCRAM shows of a user's keys.
type shape struct{ iterations, salt int }

// usual is the shape of decoys where no real keys were seen yet: Dovecot's.
var usual = shape{4096, 16}

// Decoys makes SCRAM's challenges for users that have no keys: those that do not
// exist, and those whose password is stored in another form or in cleartext.
// They look like the challenges of the users that have some.
type Decoys struct {
	key []byte

	mu     sync.Mutex
	shapes map[string][]shape // by scheme
	clear  bool               // some password is stored in cleartext
}

// NewDecoys makes them from a key that only this installation has. It has to
// survive restarts: a salt that changes while others stay is nobody's.
func NewDecoys(key []byte) *Decoys { return &Decoys{key: key, shapes: map[string][]shape{}} }

// Learn takes note of a stored password. Exchanges do so themselves; where the
// passwords are at hand when the service starts, the first stranger who asks
// then gets the answer that the last one gets.
func (d *Decoys) Learn(stored string) {
	if _, ok := password.Cleartext(stored); ok {
		d.mu.Lock()
		d.clear = true
		d.mu.Unlock()
		return
	}
	for _, m := range mechanism.All() {
		if m.Plus {
			if keys, err := password.SCRAMKeys(m.Schemes[0], stored); err == nil {
				d.learn(m.Schemes[0], shape{keys.Iterations, len(keys.Salt)})
			}
		}
	}
}

func (d *Decoys) learn(scheme string, s shape) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.shapes[scheme]; len(known) < maxShapes && !slices.Contains(known, s) {
		d.shapes[scheme] = append(known, s)
	}
}

// derives says whether the keys of anybody have to be derived from a password.
// Then the proof of everybody costs as much.
func (d *Decoys) derives() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clear
}

// keys are the decoy of one subject: always the same, of one of the known
// shapes, and fitting no password.
func (d *Decoys) keys(scheme, subject string) password.Keys {
	h := password.SCRAMHash(scheme)
	secret := d.mac("subject", scheme, subject)
	s := d.pick(scheme, subject)
	expand := func(what string, size int) []byte {
		// The error is for sizes that no stored password has room for.
		out, err := hkdf.Expand(sha256.New, secret, what, size)
		if err != nil {
			panic(err)
		}
		return out
	}
	return password.Keys{
		Iterations: s.iterations, Salt: expand("salt", s.salt),
		StoredKey: expand("stored key", h().Size()), ServerKey: expand("server key", h().Size()),
	}
}

// pick chooses by the highest number drawn, so that a shape that comes to be known
// later changes the decoys that get it and no others.
func (d *Decoys) pick(scheme, subject string) shape {
	d.mu.Lock()
	known := d.shapes[scheme]
	d.mu.Unlock()
	best, highest := usual, []byte(nil)
	for _, s := range known {
		if drawn := d.mac("shape", scheme, subject, fmt.Sprint(s)); bytes.Compare(drawn, highest) > 0 {
			best, highest = s, drawn
		}
	}
	return best
}

func (d *Decoys) mac(parts ...string) []byte {
	m := hmac.New(sha256.New, d.key)
	for _, p := range parts {
		// With their lengths, so that no two lists have one text.
		fmt.Fprintf(m, "%d,%s", len(p), p)
	}
	return m.Sum(nil)
}
