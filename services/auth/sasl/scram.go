package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"culver/internal/password"
)

// scram is RFC 5802 with the hash of RFC 7677, the server's side. (xdg-go/scram
// wants the channel binding's type and data before it has read the client's first
// message, which names the type; its lookup is not told the authzid.)
type scram struct {
	Backend
	Facts
	scheme string // of the stored keys
	plus   bool
	nonce  string // the server's half

	header   string // gs2-header, as it came
	bound    bool   // the client binds the channel
	messages string // AuthMessage so far
	keys     password.Keys
	real     bool   // the keys are somebody's
	clear    string // the password, where that is what is stored
}

func newSCRAM(scheme string, plus bool) func(Backend, Facts) step {
	return func(b Backend, f Facts) step {
		s := &scram{Backend: b, Facts: f, scheme: scheme, plus: plus, nonce: rand.Text()}
		return clientFirst(s.first)
	}
}

// bindings are the types of channel binding there are: RFC 9266, RFC 5929.
var bindings = []string{"tls-exporter", "tls-unique"}

// first reads client-first-message and answers server-first-message.
func (s *scram) first(ctx context.Context, in Input) (Output, step) {
	flag, rest, _ := strings.Cut(string(in.Data), ",")
	authz, bare, ok := strings.Cut(rest, ",")
	if !ok || hasNUL(in.Data) {
		return malformed("SCRAM's first message has no header")
	}
	s.header = flag + "," + authz + ","
	binding, err := s.bindingOf(flag)
	if err != nil {
		return end(err), nil
	}
	var authzid string
	if authz != "" {
		if authzid, ok = saslName(authz, "a="); !ok {
			return malformed("SCRAM's authorization name")
		}
	}
	// Section 5.1: "m=" before the name is an extension that must be understood, and
	// there are none. Those behind the nonce may be ignored.
	f := strings.Split(bare, ",")
	name, ok := saslName(f[0], "n=")
	if !ok || len(f) < 2 {
		return malformed("SCRAM's user name")
	}
	nonce, ok := strings.CutPrefix(f[1], "r=")
	if !ok || !printable(nonce) || !attributes(f[2:]) {
		return malformed("SCRAM's nonce")
	}
	if err := s.lookUp(ctx, name, authzid); err != nil {
		return end(err), nil
	}
	s.nonce = nonce + s.nonce
	challenge := fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.keys.Salt), s.keys.Iterations)
	s.messages = bare + "," + challenge
	return Output{Challenge: []byte(challenge), BindingType: binding}, s.final
}

// bindingOf gives the type of channel binding that gs2-cbind-flag asks for
// (section 6).
func (s *scram) bindingOf(flag string) (string, error) {
	name, p := strings.CutPrefix(flag, "p=")
	switch {
	case p && !s.plus:
		return "", fmt.Errorf("%w: channel binding without a -PLUS mechanism", ErrMalformed)
	case p:
		for _, known := range bindings {
			if name == known {
				s.bound = true
				return name, nil
			}
		}
		return "", fmt.Errorf("%w: channel binding %.40q is not known here", ErrMalformed, name)
	case s.plus || flag != "n" && flag != "y":
		return "", fmt.Errorf("%w: channel binding flag", ErrMalformed)
	case flag == "y" && s.PlusOffered:
		// The client could bind and has not seen that we can: somebody took the -PLUS
		// mechanisms out of our list.
		return "", fmt.Errorf("%w: the client did not see that -PLUS mechanisms are offered", ErrMalformed)
	}
	return "", nil
}

// lookUp finds the keys. Whoever has none gets a decoy: which of these it was
// shows neither in the challenge nor in the time that either step takes.
func (s *scram) lookUp(ctx context.Context, name, authzid string) error {
	stored, err := s.Credentials(ctx, name, authzid, s.scheme)
	if err != nil && !errors.Is(err, ErrNoCredentials) {
		return err
	}
	s.real = err == nil
	decoy := s.Decoys.keys(s.scheme, s.Subject(name, authzid))
	var clear bool
	if s.clear, clear = password.Cleartext(stored); clear || !s.real {
		stored = "{" + s.scheme + "}" + decoy.String() // and on as with anybody's
	}
	if s.keys, err = password.SCRAMKeys(s.scheme, stored); err != nil {
		return err
	}
	switch {
	case clear:
		s.Decoys.learnClear()
	case s.real:
		s.Decoys.learn(s.scheme, s.keys)
	}
	return nil
}

// final reads client-final-message and answers server-final-message.
func (s *scram) final(ctx context.Context, in Input) (Output, step) {
	text := string(in.Data)
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return malformed("SCRAM's final message has no proof")
	}
	h := password.SCRAMHash(s.scheme)
	proof, err := base64.StdEncoding.DecodeString(text[at+3:])
	if err != nil || len(proof) != h().Size() {
		return malformed("SCRAM's proof")
	}
	f := strings.Split(text[:at], ",")
	channel, ok := strings.CutPrefix(f[0], "c=")
	bound, err := base64.StdEncoding.DecodeString(channel)
	if !ok || err != nil || len(f) < 2 || f[1] != "r="+s.nonce || !attributes(f[2:]) {
		return malformed("SCRAM's final message")
	}
	if s.bound && len(in.Binding) == 0 {
		return malformed("no channel binding data from the other end of TLS")
	}
	want := []byte(s.header)
	if s.bound {
		want = append(want, in.Binding...)
	}
	right := subtle.ConstantTimeCompare(bound, want)

	keys, err := s.Decoys.derive(ctx, s.scheme, s.clear, s.keys)
	if err != nil {
		return end(err), nil
	}
	message := s.messages + "," + text[:at]
	key := mac(h, keys.StoredKey, message)
	subtle.XORBytes(key, key, proof)
	d := h()
	d.Write(key)
	right &= subtle.ConstantTimeCompare(d.Sum(nil), keys.StoredKey)
	verifier := "v=" + base64.StdEncoding.EncodeToString(mac(h, keys.ServerKey, message))
	return verdict(ctx, s.Backend, right == 1 && s.real, verifier), nil
}

// verdict ends an exchange by proof.
func verdict(ctx context.Context, b Backend, right bool, final string) Output {
	if !right {
		if err := b.Disproved(ctx); err != nil {
			return end(err)
		}
		return end(errors.New("wrong proof"))
	}
	if err := b.Proved(ctx); err != nil {
		return end(err)
	}
	out := Output{Done: true}
	if final != "" {
		out.Final = []byte(final)
	}
	return out
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// saslName reads a name in which a comma is "=2C" and "=" is "=3D" (section 5.1).
func saslName(field, prefix string) (string, bool) {
	text, ok := strings.CutPrefix(field, prefix)
	if !ok || text == "" {
		return "", false
	}
	parts := strings.Split(text, "=")
	name := parts[0]
	for _, p := range parts[1:] {
		switch {
		case strings.HasPrefix(p, "2C"):
			name += "," + p[2:]
		case strings.HasPrefix(p, "3D"):
			name += "=" + p[2:]
		default:
			return "", false
		}
	}
	return name, true
}

// printable are the letters of a nonce, of which there has to be one.
func printable(text string) bool {
	for i := range len(text) {
		if text[i] < 0x21 || text[i] > 0x7e {
			return false
		}
	}
	return text != ""
}

// attributes says whether all are "x=value".
func attributes(fields []string) bool {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || f[0]|0x20 < 'a' || f[0]|0x20 > 'z' {
			return false
		}
	}
	return true
}
