package sasl

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"

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
	key   []byte
	turns chan struct{} // a place for each derivation of keys at one time

	mu     sync.Mutex
	shapes map[string][]shape // by scheme
	clear  bool               // some password is stored in cleartext
}

// NewDecoys makes them from a key that only this installation has. It has to
// survive restarts: a salt that changes while others stay is nobody's. Without
// one, the key is drawn.
func NewDecoys(key []byte) *Decoys {
	if len(key) == 0 {
		key = []byte(rand.Text())
	}
	return &Decoys{key: key, turns: make(chan struct{}, runtime.GOMAXPROCS(0)), shapes: map[string][]shape{}}
}

// Learn takes note of a stored password. Exchanges do so themselves; where the
// passwords are at hand when the service starts, the first stranger who asks
// then gets the answer that the last one gets.
func (d *Decoys) Learn(stored string) {
	if _, ok := password.Cleartext(stored); ok {
		d.learnClear()
	}
	for _, scheme := range []string{"SCRAM-SHA-1", "SCRAM-SHA-256"} {
		if keys, err := password.SCRAMKeys(scheme, stored); err == nil {
			d.learn(scheme, keys)
		}
	}
}

func (d *Decoys) learnClear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear = true
}

func (d *Decoys) learn(scheme string, keys password.Keys) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := shape{keys.Iterations, len(keys.Salt)}
	if known := d.shapes[scheme]; len(known) < maxShapes && !slices.Contains(known, s) {
		d.shapes[scheme] = append(known, s)
	}
}

// derive gives the keys to hold a proof against: those that there are, or those
// of the password in cleartext. Once anybody's have to be derived, the proof of
// everybody costs as much. No more derive at one time than there are processors.
func (d *Decoys) derive(ctx context.Context, scheme, clear string, keys password.Keys) (password.Keys, error) {
	d.mu.Lock()
	needed := d.clear
	d.mu.Unlock()
	if !needed {
		return keys, nil
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return keys, ctx.Err()
	}
	derived, err := password.DeriveKeys(password.SCRAMHash(scheme), clear, keys.Salt, keys.Iterations)
	if clear == "" {
		derived = keys
	}
	return derived, err
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
