package sasl

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"

	"culver/internal/password"
)

func storedKeys(t *testing.T, scheme, plain, salt string, iterations int) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(salt)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := password.DeriveKeys(password.SCRAMHash(scheme), plain, raw, iterations)
	if err != nil {
		t.Fatal(err)
	}
	return "{" + scheme + "}" + keys.String()
}

// RFC 5802 section 5 and RFC 7677 section 3.
func TestSCRAMVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ scheme, client, server, salt, proof, verifier string }{
		{"SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
			"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		{"SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "W22ZaJ0SNY7soEsUEjb6gQ==",
			"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		h := &house{stored: map[string]string{"user": storedKeys(t, tt.scheme, "pencil", tt.salt, 4096)}}
		s := &scram{Backend: h, Facts: facts(), scheme: tt.scheme, nonce: tt.server}
		nonce := tt.client + tt.server
		challenges, last := play(t, &exchange{next: s.first}, "n,,n=user,r="+tt.client, "c=biws,r="+nonce+",p="+tt.proof)
		if want := "r=" + nonce + ",s=" + tt.salt + ",i=4096"; len(challenges) != 1 || challenges[0] != want {
			t.Errorf("%s: got %q, want %q", tt.scheme, challenges, want)
		}
		if last.Err != nil || string(last.Final) != "v="+tt.verifier {
			t.Errorf("%s: got %v, %q, want v=%s", tt.scheme, last.Err, last.Final, tt.verifier)
		}
		if got, want := strings.Join(h.asked, ";"), `credentials "user" "" [`+tt.scheme+`];proved`; got != want {
			t.Errorf("%s: the judge heard %s, want %s", tt.scheme, got, want)
		}
	}
}

// scramClient is the other side, with every part to be bent.
type scramClient struct {
	mech, header, name, plain string
	binding                   string // as the client has it
	seen                      string // as the server hears of it
	extra                     string // behind the nonce of the last message
	nonce                     string // instead of the right one
	proof                     func([]byte) []byte
}

func (c scramClient) run(t *testing.T, h *house, f Facts) (challenge string, first, last Output) {
	t.Helper()
	m, ok := Find(c.mech)
	if !ok {
		t.Fatalf("no mechanism %s", c.mech)
	}
	x := m.New(h, f)
	bare := "n=" + c.name + ",r=client"
	first = x.Step(t.Context(), said(c.header+bare))
	if first.Done {
		return "", first, first
	}
	challenge = string(first.Challenge)
	var nonce, salt string
	var iterations int
	if _, err := fmt.Sscanf(strings.ReplaceAll(challenge, ",", " "), "r=%s s=%s i=%d", &nonce, &salt, &iterations); err != nil {
		t.Fatalf("%q: %v", challenge, err)
	}
	if !strings.HasPrefix(nonce, "client") || len(nonce) < len("client")+16 {
		t.Errorf("got the nonce %q, want the client's and one of the server's", nonce)
	}
	if c.nonce != "" {
		nonce = c.nonce
	}
	raw, err := base64.StdEncoding.DecodeString(salt)
	if err != nil {
		t.Fatal(err)
	}
	var hash func() hash.Hash = password.SCRAMHash(m.Schemes[0])
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(c.header+c.binding)) + ",r=" + nonce + c.extra
	message := bare + "," + challenge + "," + without
	proof, verifier := answerOf(t, hash, c.plain, raw, iterations, message)
	if c.proof != nil {
		proof = c.proof(proof)
	}
	last = x.Step(t.Context(), Input{Data: []byte(without + ",p=" + base64.StdEncoding.EncodeToString(proof)), Binding: []byte(c.seen)})
	if last.Err == nil && string(last.Final) != "v="+base64.StdEncoding.EncodeToString(verifier) {
		t.Errorf("%s: the server does not prove who it is: %q", c.mech, last.Final)
	}
	return challenge, first, last
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	const p = "p=tls-exporter,,"
	for _, tt := range []struct {
		name    string
		client  scramClient
		offered bool // -PLUS
		err     error
	}{
		{name: "right", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test"}},
		{name: "right by SHA-1", client: scramClient{mech: "SCRAM-SHA-1", header: "n,,", name: "bob", plain: "test"}},
		{name: "right, from cleartext", client: scramClient{mech: "SCRAM-SHA-1", header: "n,,", name: "carol", plain: "test"}},
		{name: "in other letters", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "ALICE", plain: "test"}},
		{name: "for another", client: scramClient{mech: "SCRAM-SHA-256", header: "n,a=b=2Cob=3D,", name: "alice", plain: "test"}},
		{name: "wrong", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "tesu"}, err: errWrong},
		{name: "wrong, from cleartext", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "carol", plain: "tesu"}, err: errWrong},
		{name: "an empty password, from cleartext", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "carol"}, err: errWrong},
		{name: "nobody", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "nobody", plain: "test"}, err: errWrong},
		{name: "nobody with an empty password", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "nobody"}, err: errWrong},
		{name: "keys of the other hash only", client: scramClient{mech: "SCRAM-SHA-1", header: "n,,", name: "alice", plain: "test"}, err: errWrong},
		{name: "the source is down", client: scramClient{mech: "SCRAM-SHA-1", header: "n,,", name: "down", plain: "test"}, err: errLater},
		{name: "stored keys that are none", client: scramClient{mech: "SCRAM-SHA-1", header: "n,,", name: "broken", plain: "test"}, err: password.ErrFormat},
		{name: "an extension at the end", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test", extra: ",x=y"}},
		{name: "an extension that is none", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test", extra: ",,"}, err: ErrMalformed},
		{name: "another nonce", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test", nonce: "client"}, err: ErrMalformed},
		{name: "a short proof", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test", proof: func(p []byte) []byte { return p[1:] }}, err: ErrMalformed},
		{name: "a proof of zeros", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test", proof: func(p []byte) []byte { return make([]byte, len(p)) }}, err: errWrong},
		{name: "y where nothing binds", client: scramClient{mech: "SCRAM-SHA-256", header: "y,,", name: "alice", plain: "test"}},
		{name: "y where something does: a downgrade", client: scramClient{mech: "SCRAM-SHA-256", header: "y,,", name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "n where something binds", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "alice", plain: "test"}, offered: true},
		{name: "p without -PLUS", client: scramClient{mech: "SCRAM-SHA-256", header: p, name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "bound", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: p, name: "alice", plain: "test", binding: "tls", seen: "tls"}, offered: true},
		{name: "bound by SHA-1 and TLS 1.2", client: scramClient{mech: "SCRAM-SHA-1-PLUS", header: "p=tls-unique,,", name: "bob", plain: "test", binding: "tls", seen: "tls"}, offered: true},
		{name: "bound elsewhere", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: p, name: "alice", plain: "test", binding: "tls", seen: "relay"}, offered: true, err: errWrong},
		{name: "bound to nothing", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: p, name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "not bound, with -PLUS", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: "n,,", name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "y with -PLUS", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: "y,,", name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "bound by a type nobody has", client: scramClient{mech: "SCRAM-SHA-256-PLUS", header: "p=tls-server-end-point,,", name: "alice", plain: "test"}, offered: true, err: ErrMalformed},
		{name: "an unknown flag", client: scramClient{mech: "SCRAM-SHA-256", header: "x,,", name: "alice", plain: "test"}, err: ErrMalformed},
		{name: "no header", client: scramClient{mech: "SCRAM-SHA-256", header: "", name: "alice", plain: "test"}, err: ErrMalformed},
		{name: "an empty name", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "", plain: "test"}, err: ErrMalformed},
		{name: "a name with a lone =", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "a=b", plain: "test"}, err: ErrMalformed},
		{name: "an extension that must be understood", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,m=x,", name: "alice", plain: "test"}, err: ErrMalformed},
		{name: "NUL", client: scramClient{mech: "SCRAM-SHA-256", header: "n,,", name: "al\x00ice", plain: "test"}, err: ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := &house{stored: map[string]string{
				"alice": storedKeys(t, "SCRAM-SHA-256", "test", "c2FsdHNhbHRzYWx0c2FsdA==", 4096),
				"bob":   storedKeys(t, "SCRAM-SHA-1", "test", "c2FsdHNhbHRzYWx0c2FsdA==", 4096),
				"carol": "{PLAIN}test", "down": "down", "broken": "broken",
			}}
			f := facts()
			f.PlusOffered = tt.offered
			_, first, last := tt.client.run(t, h, f)
			if !last.Done || !errors.Is(last.Err, tt.err) {
				t.Errorf("got %+v, want %v", last, tt.err)
			}
			if want := strings.HasPrefix(tt.client.header, "p=") && !first.Done; (first.BindingType != "") != want {
				t.Errorf("asked for channel binding %q", first.BindingType)
			}
			if tt.name == "for another" && !strings.Contains(h.asked[0], `"b,ob="`) {
				t.Errorf("the judge heard %q", h.asked)
			}
			if got := strings.Join(h.asked, ";"); errors.Is(tt.err, errWrong) != strings.HasSuffix(got, "disproved") || (tt.err == nil) != strings.HasSuffix(got, ";proved") {
				t.Errorf("the judge heard %s", got)
			}
		})
	}
}

// Nobody may learn from the first challenge who exists, nor how a password is
// stored.
func TestChallengesOfDecoys(t *testing.T) {
	t.Parallel()
	f := facts()
	h := &house{stored: map[string]string{
		"alice": storedKeys(t, "SCRAM-SHA-256", "test", "c2FsdHNhbHRzYWx0c2FsdHNhbHQ=", 5000),
		"carol": "{PLAIN}test", "dave": "{SSHA}Jy06k3yZ+lumu7WNmqtzzXVkqNM9XpBA",
	}}
	ask := func(f Facts, mech, name string) string {
		m, _ := Find(mech)
		out := m.New(h, f).Step(t.Context(), said("n,,n="+name+",r=x"))
		_, keys, ok := strings.Cut(string(out.Challenge), ",")
		if !ok {
			t.Fatalf("%s: got %+v", name, out)
		}
		return keys
	}
	if got := ask(f, "SCRAM-SHA-256", "nobody"); !strings.HasSuffix(got, ",i=4096") {
		t.Errorf("before any real one: got %s", got)
	}
	real := ask(f, "SCRAM-SHA-256", "alice")
	for _, name := range []string{"nobody", "carol", "dave"} {
		got := ask(f, "SCRAM-SHA-256", name)
		if got == real || len(got) != len(real) || !strings.HasSuffix(got, ",i=5000") {
			t.Errorf("%s: got %s, want the like of %s", name, got, real)
		}
		if again := ask(f, "SCRAM-SHA-256", strings.ToUpper(name)); again != got {
			t.Errorf("%s: got %s and %s, want one", name, got, again)
		}
		if other := ask(f, "SCRAM-SHA-1", name); other[:20] == got[:20] {
			t.Errorf("%s: both mechanisms have the salt %s", name, got)
		}
		// After a restart, with the same passwords at hand.
		restarted := facts()
		for _, stored := range h.stored {
			restarted.Decoys.Learn(stored)
		}
		if again := ask(restarted, "SCRAM-SHA-256", name); again != got {
			t.Errorf("%s: got %s before and %s after a restart", name, got, again)
		}
		elsewhere := facts()
		elsewhere.Decoys = NewDecoys([]byte("secret of another installation"))
		elsewhere.Decoys.Learn(h.stored["alice"])
		if other := ask(elsewhere, "SCRAM-SHA-256", name); other == got {
			t.Errorf("%s: two installations have the salt %s", name, got)
		}
	}
}

func TestDecoysHaveTheShapesOfAll(t *testing.T) {
	t.Parallel()
	d := NewDecoys([]byte("key"))
	for i := range 2 * maxShapes {
		d.learn("SCRAM-SHA-256", password.Keys{Iterations: 5000 + i, Salt: make([]byte, 16)})
		d.learn("SCRAM-SHA-256", password.Keys{Iterations: 5000 + i, Salt: make([]byte, 16)})
	}
	seen := map[int]int{}
	for i := range 1000 {
		seen[d.keys("SCRAM-SHA-256", fmt.Sprint(i)).Iterations]++
	}
	if len(seen) != maxShapes {
		t.Errorf("got %d shapes, want %d", len(seen), maxShapes)
	}
	for n, times := range seen {
		if times < 1000/maxShapes/2 {
			t.Errorf("%d iterations: %d of 1000 decoys", n, times)
		}
	}
}

// The keys of cleartext are derived at login. Once that happens to anybody, it
// happens to all, or the time of an answer would tell who exists.
func TestWorkIsTheSameForAll(t *testing.T) {
	t.Parallel()
	d := NewDecoys([]byte("key"))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range cap(d.turns) {
		d.turns <- struct{}{} // so that whoever derives has to wait
	}
	d.Learn(storedKeys(t, "SCRAM-SHA-256", "test", "c2FsdA==", 4096))
	if _, err := d.derive(gone, "SCRAM-SHA-256", "", password.Keys{}); err != nil {
		t.Errorf("derives keys where all are stored: %v", err)
	}
	d.Learn("{PLAIN}test")
	for _, clear := range []string{"", "test"} {
		if _, err := d.derive(gone, "SCRAM-SHA-256", clear, password.Keys{}); !errors.Is(err, context.Canceled) {
			t.Errorf("password %q: got %v, want it to wait for its turn", clear, err)
		}
	}
}

// answerOf is the client's half of RFC 5802 section 3.
func answerOf(t *testing.T, h func() hash.Hash, plain string, salt []byte, iterations int, message string) (proof, verifier []byte) {
	t.Helper()
	salted := pbkdf2Of(t, h, plain, salt, iterations)
	key := mac(h, salted, "Client Key")
	d := h()
	d.Write(key)
	signature := mac(h, d.Sum(nil), message)
	for i := range key {
		key[i] ^= signature[i]
	}
	return key, mac(h, mac(h, salted, "Server Key"), message)
}

// pbkdf2Of is Hi() as section 2.2 writes it.
func pbkdf2Of(t *testing.T, h func() hash.Hash, plain string, salt []byte, iterations int) []byte {
	t.Helper()
	u := mac(h, []byte(plain), string(salt)+"\x00\x00\x00\x01")
	out := append([]byte(nil), u...)
	for range iterations - 1 {
		u = mac(h, []byte(plain), string(u))
		for i := range out {
			out[i] ^= u[i]
		}
	}
	return out
}
