package sasl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"culver/internal/mechanism"
	"culver/internal/password"
)

var (
	errWrong = errors.New("refused")
	errLater = errors.New("source is down")
)

// house is a Backend with a few users. It writes down what it was asked.
type house struct {
	stored map[string]string // by lower-case name
	asked  []string
}

func (h *house) note(format string, args ...any) {
	h.asked = append(h.asked, fmt.Sprintf(format, args...))
}

func (h *house) Subject(authcid, authzid string) string { return strings.ToLower(authcid) }

func (h *house) Verify(_ context.Context, authcid, authzid, plain string) error {
	h.note("verify %q %q %q", authcid, authzid, plain)
	if ok, _ := (password.Checker{}).Match(h.stored[authcid], authcid, plain); !ok {
		return errWrong
	}
	return nil
}

func (h *house) Credentials(_ context.Context, authcid, authzid string, schemes ...string) (string, error) {
	h.note("credentials %q %q %v", authcid, authzid, schemes)
	stored := h.stored[strings.ToLower(authcid)]
	switch {
	case stored == "down":
		return "", errLater
	case strings.HasPrefix(stored, "broken"):
		return "{" + schemes[0] + "}" + stored, nil
	case !password.Serves(stored, schemes):
		return "", fmt.Errorf("%w: %s", ErrNoCredentials, authcid)
	}
	return stored, nil
}

func (h *house) Proved(context.Context) error    { h.note("proved"); return nil }
func (h *house) Disproved(context.Context) error { h.note("disproved"); return errWrong }

func (h *house) External(_ context.Context, authzid string) error {
	h.note("external %q", authzid)
	return nil
}

func (h *house) Anonymous(_ context.Context, trace string) error {
	h.note("anonymous %q", trace)
	return nil
}

func facts() Facts {
	return Facts{
		Hostname: "mail.example.com", Decoys: NewDecoys([]byte("secret of this installation")),
		Now: func() time.Time { return time.Unix(896697170, 0) },
	}
}

func said(text string) Input { return Input{Data: []byte(text)} }

// play runs an exchange through the client's steps, of which "-" is the lack of
// an initial response, and gives the challenges and the end.
func play(t *testing.T, x Exchange, steps ...string) (challenges []string, last Output) {
	t.Helper()
	for _, s := range steps {
		in := said(s)
		if s == "-" {
			in = Input{None: true}
		}
		if last = x.Step(t.Context(), in); last.Done {
			return challenges, last
		}
		challenges = append(challenges, string(last.Challenge))
	}
	return challenges, last
}

func TestSimpleMechanisms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, mech string
		steps      []string
		challenges []string
		asked      string
		err        error
	}{
		{name: "PLAIN at once", mech: "PLAIN", steps: []string{"\x00alice\x00test"}, asked: `verify "alice" "" "test"`},
		{name: "PLAIN without initial response", mech: "plain", steps: []string{"-", "\x00alice\x00test"}, challenges: []string{""}, asked: `verify "alice" "" "test"`},
		{name: "PLAIN for another", mech: "PLAIN", steps: []string{"bob\x00alice\x00test"}, asked: `verify "alice" "bob" "test"`},
		{name: "PLAIN, wrong", mech: "PLAIN", steps: []string{"\x00alice\x00tesu"}, asked: `verify "alice" "" "tesu"`, err: errWrong},
		{name: "PLAIN with all bytes in the password", mech: "PLAIN", steps: []string{"\x00odd\x00\x01\t\r\n\xff"}, asked: `verify "odd" "" "\x01\t\r\n\xff"`},
		{name: "PLAIN with an empty password", mech: "PLAIN", steps: []string{"\x00alice\x00"}, asked: `verify "alice" "" ""`, err: errWrong},
		{name: "PLAIN with three NULs", mech: "PLAIN", steps: []string{"\x00alice\x00te\x00st"}, err: ErrMalformed},
		{name: "PLAIN with one NUL", mech: "PLAIN", steps: []string{"alice\x00test"}, err: ErrMalformed},
		{name: "PLAIN without a name", mech: "PLAIN", steps: []string{"alice\x00\x00test"}, err: ErrMalformed},
		{name: "PLAIN of nothing", mech: "PLAIN", steps: []string{""}, err: ErrMalformed},
		{name: "PLAIN without end", mech: "PLAIN", steps: []string{"\x00alice\x00" + strings.Repeat("x", MaxResponse)}, err: ErrMalformed},
		{name: "LOGIN", mech: "LOGIN", steps: []string{"-", "alice", "test"}, challenges: []string{"Username:", "Password:"}, asked: `verify "alice" "" "test"`},
		{name: "LOGIN with the name at once", mech: "LOGIN", steps: []string{"alice", "test"}, challenges: []string{"Password:"}, asked: `verify "alice" "" "test"`},
		{name: "LOGIN with an initial response of nothing", mech: "LOGIN", steps: []string{"", "alice", "test"}, challenges: []string{"Username:", "Password:"}, asked: `verify "alice" "" "test"`},
		{name: "LOGIN with both at once", mech: "LOGIN", steps: []string{"alice\x00test"}, err: ErrMalformed},
		{name: "LOGIN without a name", mech: "LOGIN", steps: []string{"-", ""}, challenges: []string{"Username:"}, err: ErrMalformed},
		{name: "LOGIN with NUL in the password", mech: "LOGIN", steps: []string{"alice", "te\x00st"}, challenges: []string{"Password:"}, err: ErrMalformed},
		{name: "EXTERNAL as oneself", mech: "EXTERNAL", steps: []string{""}, asked: `external ""`},
		{name: "EXTERNAL without initial response", mech: "EXTERNAL", steps: []string{"-", "bob"}, challenges: []string{""}, asked: `external "bob"`},
		{name: "EXTERNAL with NUL", mech: "EXTERNAL", steps: []string{"b\x00b"}, err: ErrMalformed},
		{name: "ANONYMOUS", mech: "ANONYMOUS", steps: []string{"sirhc"}, asked: `anonymous "sirhc"`},
		{name: "ANONYMOUS without trace", mech: "ANONYMOUS", steps: []string{"-", ""}, challenges: []string{""}, asked: `anonymous ""`},
		{name: "ANONYMOUS with a long trace", mech: "ANONYMOUS", steps: []string{strings.Repeat("x", 256)}, err: ErrMalformed},
		{name: "CRAM-MD5 that the client begins", mech: "CRAM-MD5", steps: []string{"alice"}, err: ErrMalformed},
		{name: "DIGEST-MD5 that the client begins", mech: "DIGEST-MD5", steps: []string{"alice"}, err: ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := &house{stored: map[string]string{"alice": "{PLAIN}test", "odd": "{PLAIN}\x01\t\r\n\xff"}}
			m, ok := Find(tt.mech)
			if !ok {
				t.Fatal("no such mechanism")
			}
			x := m.New(h, facts())
			challenges, last := play(t, x, tt.steps...)
			if strings.Join(challenges, "|") != strings.Join(tt.challenges, "|") || !last.Done || !errors.Is(last.Err, tt.err) {
				t.Errorf("got %q, %+v, want %q, %v", challenges, last, tt.challenges, tt.err)
			}
			if got := strings.Join(h.asked, ";"); got != tt.asked {
				t.Errorf("the judge heard %s, want %s", got, tt.asked)
			}
			if out := x.Step(t.Context(), said(tt.steps[0])); !errors.Is(out.Err, ErrMalformed) || !out.Done {
				t.Errorf("a step after the end: got %+v", out)
			}
		})
	}
}

func TestAnswerOfNothingLaterIsNone(t *testing.T) {
	t.Parallel()
	for _, m := range Mechanisms() {
		x := m.New(&house{}, facts())
		if out := x.Step(t.Context(), Input{None: true}); out.Done {
			t.Errorf("%s: got %+v, want a challenge", m.Name, out)
		}
		if out := x.Step(t.Context(), Input{None: true}); !out.Done || !errors.Is(out.Err, ErrMalformed) {
			t.Errorf("%s: got %+v, want the end", m.Name, out)
		}
	}
}

// The MECH lines of spec/auth.md 1.9.
func TestFlags(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"PLAIN": "plaintext", "LOGIN": "plaintext", "CRAM-MD5": "dictionary active", "DIGEST-MD5": "dictionary active mutual-auth",
		"SCRAM-SHA-1": "mutual-auth", "SCRAM-SHA-256": "mutual-auth", "ANONYMOUS": "anonymous", "EXTERNAL": "",
		"SCRAM-SHA-1-PLUS": "mutual-auth channel-binding", "SCRAM-SHA-256-PLUS": "mutual-auth channel-binding",
	}
	for _, m := range Mechanisms() {
		if got, ok := want[m.Name]; !ok || got != strings.Join(m.Flags, " ") {
			t.Errorf("%s: got %v, want %q", m.Name, m.Flags, got)
		}
		if m.Plaintext() != (m.Name == "PLAIN" || m.Name == "LOGIN") || m.Plus != strings.HasSuffix(m.Name, "-PLUS") {
			t.Errorf("%s: %+v", m.Name, m.Mechanism)
		}
	}
	if len(Mechanisms()) != len(want) || len(starts) != len(mechanism.All()) {
		t.Errorf("got %d mechanisms, want %d", len(Mechanisms()), len(want))
	}
	if _, ok := Find("OTP"); ok {
		t.Error("found OTP")
	}
}

// FuzzSteps plays any bytes as any steps of every mechanism. Right proofs are
// not to be found this way: nobody may come in but by those without a proof.
func FuzzSteps(f *testing.F) {
	for i := range Mechanisms() {
		for _, s := range [][2]string{
			{"\x00alice\x00wrong", ""},
			{"n,,n=alice,r=abc", "c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
			{"p=tls-exporter,a=bob,n=ali=2Cce,r=abc,x=y", "c=biws,r=abcNONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
			{"-", `username="alice",nonce="x",nc=00000001,cnonce="y",digest-uri="imap/x",response=d388dad90d4bbd760a152321f2143af7`},
			{"-", "alice b913a602c7eda7a495b4e6e7334d3890"},
			{"y,,n=\x00,r=,", "=,=,="},
		} {
			f.Add(uint(i), s[0], s[1])
		}
	}
	stored, err := password.Hash("SCRAM-SHA-256", "", "test", 4096)
	if err != nil {
		f.Fatal(err)
	}
	all := Mechanisms()
	f.Fuzz(func(t *testing.T, which uint, first, second string) {
		m := all[which%uint(len(all))]
		h := &house{stored: map[string]string{"alice": stored}}
		x := m.New(h, facts())
		in := said(first)
		if first == "-" {
			in = Input{None: true}
		}
		out := x.Step(t.Context(), in)
		// The nonce is not to be guessed, so that the proof is looked at, too.
		if _, rest, ok := strings.Cut(string(out.Challenge), "r="); ok {
			nonce, _, _ := strings.Cut(rest, ",")
			second = strings.ReplaceAll(second, "abcNONCE", nonce)
		}
		for _, in := range []Input{{Data: []byte(second), Binding: []byte(first)}, said(first), {}} {
			if out.Done {
				break
			}
			out = x.Step(t.Context(), in)
		}
		if out.Done && out.Err == nil && m.Needs == mechanism.Credentials {
			t.Fatalf("%s: came in with %q, %q", m.Name, first, second)
		}
		if out.Err != nil && len(out.Final) > 0 {
			t.Fatalf("%s: %+v", m.Name, out)
		}
	})
}
