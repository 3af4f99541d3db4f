package attempt

import (
	"context"
	"fmt"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/reach"
	"culver/services/auth/sasl"
)

// Attempt is the judge of one exchange.
type Attempt struct {
	judge  *Judge
	client Client
	claim  claim
	shared bool // it is about the shared password

	verdict passdb.Verdict // of Credentials, until they are proved
	err     error          // the same: what is told after the proof

	result Result
}

var _ sasl.Backend = (*Attempt)(nil)

// Result is what has come of an attempt that succeeded.
func (a *Attempt) Result() Result { return a.result }

// Verify implements sasl.Backend.
func (a *Attempt) Verify(ctx context.Context, authcid, authzid, password string) error {
	if err := a.begin(authcid, authzid); err != nil {
		return a.refuse(nil, err)
	}
	if a.shared {
		return a.isShared(a.judge.Shared.matches(password))
	}
	v, err := a.run(ctx, passdb.Query{Want: passdb.WantPassword, Password: password})
	return a.conclude(ctx, v, err)
}

// Subject implements sasl.Backend.
func (a *Attempt) Subject(authcid, authzid string) string {
	c, _ := a.judge.Names.claim(authcid, authzid, a.judge.Separator)
	switch {
	case c.who == "":
		return "?" // whatever is no name is one
	case c.target != "" || a.client.Principal:
		return "master " + c.who
	}
	return c.who
}

// Credentials implements sasl.Backend.
func (a *Attempt) Credentials(ctx context.Context, authcid, authzid string, schemes ...string) (string, error) {
	a.err = a.begin(authcid, authzid)
	switch {
	case a.err == nil && a.shared:
		return "{PLAIN}" + string(a.judge.Shared.Password), nil
	case a.err == nil:
		a.verdict, a.err = a.run(ctx, passdb.Query{Want: passdb.WantCredentials, Schemes: schemes})
	}
	switch {
	case a.err != nil && code(a.err) == CodeTemporary:
		return "", a.refuse(nil, a.err)
	case plain(a.err), a.verdict.Stored == "":
		return "", sasl.ErrNoCredentials
	}
	return a.verdict.Stored, nil
}

// Proved implements sasl.Backend.
func (a *Attempt) Proved(ctx context.Context) error {
	if a.shared {
		return a.isShared(true)
	}
	return a.conclude(ctx, a.verdict, a.err)
}

// Disproved implements sasl.Backend. What would be told after the right proof is
// not told now.
func (a *Attempt) Disproved(context.Context) error {
	err := a.err
	if !plain(err) {
		err = passdb.ErrMismatch
	}
	return a.refuse(nil, err)
}

// External implements sasl.Backend: the certificate's name is the client's.
func (a *Attempt) External(ctx context.Context, authzid string) error {
	c := a.client
	if c.Principal {
		// Its front reads the network and holds no leave of its own. Were its word
		// on a certificate enough, who takes it over would be any master user.
		return a.refuse(nil, notAllowed("a master user of administration proves itself by a password"))
	}
	if !a.judge.CertNames || c.Cert == "" || c.CertUser == "" {
		return a.refuse(nil, notAllowed("there is no verified certificate whose name counts (auth_ssl_username_from_cert)"))
	}
	// The certificate's name was made by no client: what is a separator elsewhere
	// is a letter of it.
	var err error
	if a.claim, err = a.judge.Names.claim(c.CertUser, authzid, ""); err == nil {
		err = a.admit()
	}
	if err != nil {
		return a.refuse(nil, err)
	}
	v, err := a.run(ctx, passdb.Query{Want: passdb.WantFields})
	if err := a.conclude(ctx, v, err); err != nil {
		return err
	}
	if a.result.Master == "" {
		a.result.Original = "" // the client sent none
	}
	return nil
}

// Anonymous implements sasl.Backend. The trace is not believed, nor kept.
func (a *Attempt) Anonymous(context.Context, string) error {
	switch {
	case a.client.Principal:
		return a.refuse(nil, notAllowed("nobody is no master user"))
	case a.judge.RequireCert && a.client.Cert == "":
		return a.refuse(nil, errNoCert)
	}
	a.result = Result{User: a.judge.Anonymous, Anonymous: true}
	return nil
}

var errNoCert = notAllowed("there is no verified certificate (auth_ssl_require_client_cert)")

// begin reads the names and says whether they may be tried at all. Nothing is
// looked up: what it finds is the same for users who exist and who do not.
func (a *Attempt) begin(authcid, authzid string) (err error) {
	j := a.judge
	if a.client.Principal && j.Shared.is(authcid) && (authzid == "" || authzid == authcid) {
		a.shared, a.claim = true, claim{given: authcid, who: authcid}
		return a.admit()
	}
	if a.claim, err = j.Names.claim(authcid, authzid, j.Separator); err != nil {
		return err
	}
	if c := a.client; j.CertNames && c.Cert != "" && c.CertUser != "" {
		if name, err := j.Names.Canonical(c.CertUser); err != nil || name != a.claim.who {
			return notAllowed("the certificate is that of %q", c.CertUser)
		}
	}
	return a.admit()
}

// admit refuses those whom this listener is not for.
func (a *Attempt) admit() error {
	switch {
	case a.judge.RequireCert && a.client.Cert == "":
		return errNoCert
	case a.client.Principal && a.claim.target != "":
		return notAllowed("a login for %q: here a master user logs in as itself, and each command says for whom it is", a.claim.target)
	}
	return nil
}

// master says whether it is a master user's password.
func (a *Attempt) master() bool { return a.client.Principal || a.claim.target != "" }

// run asks the passdbs of the one whose password it is.
func (a *Attempt) run(ctx context.Context, q passdb.Query) (passdb.Verdict, error) {
	v := a.client.Values
	v.User, v.OrigUser, v.AuthUser = a.claim.who, a.claim.given, a.claim.who
	v.LoginUser, v.MasterUser = a.claim.target, ""
	q.Values, q.Fields = &v, a.client.Forward
	if a.master() {
		return a.judge.Masters.Run(ctx, q)
	}
	return a.judge.Passwords.Run(ctx, q)
}

// conclude gives the end: v is what the passdbs say of whom the password is.
func (a *Attempt) conclude(ctx context.Context, v passdb.Verdict, err error) error {
	if err != nil {
		return a.refuse(v.Fields, err)
	}
	r := Result{User: v.User, Original: a.claim.given, Fields: v.Fields}
	switch {
	case a.claim.target != "":
		r, err = a.actAs(ctx, v)
	case a.client.Principal:
		if r.Reach, err = reach.Parse(v.Fields); err == nil {
			if err = r.Reach.AllowsNow(a.client.RemoteIP, a.judge.now()); err != nil {
				err = fmt.Errorf("%w: %v", errNo, err)
			}
		}
	default:
		err = a.judge.expired(v.Fields)
	}
	if err != nil {
		return a.refuse(v.Fields, err)
	}
	a.result = r
	a.record(nil)
	return nil
}

// expired holds an entry's own end against the clock.
func (j *Judge) expired(fields field.List) error {
	text, ok := fields.Get("allow_until")
	if !ok {
		return nil
	}
	until, err := reach.Until(text)
	if err == nil && !j.now().Before(until) {
		err = fmt.Errorf("%w: allow_until=%s", passdb.ErrExpired, text)
	}
	return err
}

// refuse makes the refusal. For who names somebody to act as, all are one,
// whatever was wrong: else it would say that a master user's password was right.
// A field nodelay counts only for who had the right password: else it would say
// that there is such a user.
func (a *Attempt) refuse(said field.List, err error) error {
	a.record(err)
	no := &Refusal{User: a.claim.who, Code: code(err), Err: err}
	if no.User == "" {
		no.User = a.claim.given
	}
	switch {
	case no.Code == CodeTemporary:
		return no
	case a.claim.acts:
		no.Code = ""
		return no
	}
	no.Reason, _ = said.Get("reason")
	if no.Code == CodeExpired && no.Reason == "" {
		no.Reason = reasonExpired
	}
	if no.Code != "" {
		_, no.NoDelay = said.Get("nodelay")
	}
	return no
}

// record keeps what a principal did, or tried.
func (a *Attempt) record(err error) {
	if !a.claim.acts && !a.client.Principal {
		return
	}
	r := Record{
		Event: "login", Principal: a.claim.who, Target: a.claim.target,
		Service: a.client.Service, RemoteIP: a.client.RemoteIP, Session: a.client.Session,
	}
	if r.Principal == "" {
		r.Principal = a.claim.given
	}
	switch {
	case err != nil:
	case a.result.Master != "":
		r.Principal, r.Target = a.result.Master, a.result.User
	default:
		r.Principal = a.result.User
	}
	r.Result, r.Reason = outcome(err)
	a.judge.record(r)
}

// isShared gives the end of a try with the shared password.
func (a *Attempt) isShared(right bool) error {
	if !right {
		return a.refuse(nil, passdb.ErrMismatch)
	}
	a.result = Result{User: a.judge.Shared.User, Reach: reach.All()}
	a.record(nil)
	return nil
}
