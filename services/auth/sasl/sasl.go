// Package sasl has the mechanisms by which a client proves who it is, each as a
// state machine over the bytes of its steps. It knows no protocol, no source of
// users and no clock but the one it is given.
//
// Runs as:   the auth service user.
// Trusts:    its Backend.
// Distrusts: every byte of a step. A mechanism says no sooner, no later and in no
// other words to a user that does not exist than to a wrong proof.
// Speaks:    RFC 4616 (PLAIN), LOGIN, RFC 5802 and 7677 (SCRAM), RFC 4422 A
// (EXTERNAL), RFC 4505 (ANONYMOUS), RFC 2195 (CRAM-MD5), RFC 2831 (DIGEST-MD5);
// spec/auth.md 4.
package sasl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"culver/internal/mechanism"
)

// MaxResponse bounds what a client sends. Names have limits in the Backend.
const MaxResponse = 4096 // bytes of one step, RFC 2831 section 2.1.2

var (
	// ErrMalformed says that a step is none of its mechanism. It is the client's
	// fault and tells nothing about any user.
	ErrMalformed = errors.New("malformed step of the mechanism")
	// ErrNoCredentials is what Backend.Credentials returns, wrapped or not, where
	// the user is unknown, has no password of the schemes, or is shut out: the
	// exchange goes on with a decoy and ends with Disproved. Every other error is
	// temporary and ends the exchange at once.
	ErrNoCredentials = errors.New("no credentials of the mechanism's schemes")
)

// Backend judges. One is good for one exchange. Its errors come out of the
// exchange as they are.
type Backend interface {
	// Verify says whether the password is that of authcid, who may act as authzid
	// ("": as itself). PLAIN, LOGIN.
	Verify(ctx context.Context, authcid, authzid, password string) error
	// Subject names whose password it would be: one text for all spellings of a
	// name, existing or not, and another one for the same name as a master user. It
	// looks nothing up. The salts of those who have none are made of it.
	Subject(authcid, authzid string) string
	// Credentials gives the stored password, {SCHEME}data, of one of the schemes or
	// in cleartext. SCRAM, CRAM-MD5, DIGEST-MD5. After it, exactly one of Proved
	// and Disproved follows, unless the client goes away or sends nonsense.
	Credentials(ctx context.Context, authcid, authzid string, schemes ...string) (stored string, err error)
	// Proved says that the proof for those credentials was right, and gives the verdict.
	Proved(ctx context.Context) error
	// Disproved says that it was wrong, or that there were none, and gives the
	// refusal to answer, never nil.
	Disproved(ctx context.Context) error
	// External asks for the user of the client's certificate.
	External(ctx context.Context, authzid string) error
	// Anonymous asks for the anonymous user; trace is what the client says it is.
	Anonymous(ctx context.Context, trace string) error
}

// Input is one step of the client.
type Input struct {
	Data    []byte
	None    bool   // there is no initial response: not the same as an empty one
	Binding []byte // channel binding data, where the last Output asked for it
}

// Output is what comes of a step: a challenge, or with Done the end.
type Output struct {
	Challenge   []byte // may be empty
	BindingType string // with a challenge: ask the client for this channel binding, too
	Done        bool
	Err         error  // with Done: nil is success
	Final       []byte // the server's last data, with success only; nil: has none
}

// Exchange is one run of a mechanism. Steps are not concurrent.
type Exchange interface {
	Step(ctx context.Context, in Input) Output
}

// Mechanism is a row of the table of mechanisms and the way to run it.
type Mechanism struct {
	mechanism.Mechanism
	New func(Backend, Facts) Exchange
}

// Facts are what an exchange has to know of its surroundings.
type Facts struct {
	Hostname    string           // in the challenges of CRAM-MD5
	Decoys      *Decoys          // one for the whole process
	PlusOffered bool             // this client was offered a -PLUS mechanism
	Now         func() time.Time // nil: time.Now
}

// Find gives the mechanism of that name, in any case.
func Find(name string) (Mechanism, bool) {
	m, ok := mechanism.Find(name)
	if !ok {
		return Mechanism{}, false
	}
	start := starts[m.Name]
	return Mechanism{m, func(b Backend, f Facts) Exchange {
		if f.Now == nil {
			f.Now = time.Now
		}
		return &exchange{next: start(b, f)}
	}}, true
}

// Mechanisms gives all of them.
func Mechanisms() []Mechanism {
	var all []Mechanism
	for _, m := range mechanism.All() {
		found, _ := Find(m.Name)
		all = append(all, found)
	}
	return all
}

var starts = map[string]func(Backend, Facts) step{
	"SCRAM-SHA-256-PLUS": newSCRAM("SCRAM-SHA-256", true),
	"SCRAM-SHA-256":      newSCRAM("SCRAM-SHA-256", false),
	"SCRAM-SHA-1-PLUS":   newSCRAM("SCRAM-SHA-1", true),
	"SCRAM-SHA-1":        newSCRAM("SCRAM-SHA-1", false),
	"PLAIN":              newPlain,
	"LOGIN":              newLogin,
	"EXTERNAL":           newExternal,
	"CRAM-MD5":           newCRAM,
	"DIGEST-MD5":         newDigest,
	"ANONYMOUS":          newAnonymous,
}

// step takes one input and gives the output and the step that takes the next.
type step func(context.Context, Input) (Output, step)

// exchange holds what is the same for all mechanisms: sizes, order, the end.
type exchange struct {
	next  step
	begun bool
}

func (e *exchange) Step(ctx context.Context, in Input) Output {
	var out Output
	switch {
	case e.next == nil:
		return end(fmt.Errorf("%w: a step after the end", ErrMalformed))
	case len(in.Data) > MaxResponse || len(in.Binding) > MaxResponse:
		out = end(fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxResponse))
	case in.None && (e.begun || len(in.Data) > 0):
		out = end(fmt.Errorf("%w: no data", ErrMalformed))
	default:
		out, e.next = e.next(ctx, in)
	}
	e.begun = true
	if out.Done {
		e.next = nil
	}
	return out
}

func end(err error) Output { return Output{Done: true, Err: err} }

func malformed(format string, args ...any) (Output, step) {
	return end(fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)), nil
}

// clientFirst asks for the initial response where the client sent none.
func clientFirst(s step) step {
	return func(ctx context.Context, in Input) (Output, step) {
		if in.None {
			return Output{}, s
		}
		return s(ctx, in)
	}
}
