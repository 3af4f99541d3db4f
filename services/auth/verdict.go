package auth

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
	"culver/services/auth/field"
	"culver/services/auth/sasl"
)

// What Exim has room for: it reads lines of less than 8192 bytes and loses what
// is beyond the sixteenth field, the verb and the id among them.
const (
	shortReply      = 8192
	shortReplyMax   = 14
	defaultNoLogin  = "Login is disabled"
	defaultProxied  = "Log in at this user's own server"
	internalFailure = "Temporary authentication failure"
)

// verdict is the end of a request.
type verdict struct {
	ok       bool
	more     bool // REQUEST or TICKET may follow
	internal bool // it could not be told
	now      bool // neither delayed nor counted
	nodelay  bool // counted only
	user     string
	code     string
	reason   string
	fields   field.List // of the passdb, those to be shown
	after    []string   // original_user and its kind
	final    []byte     // the mechanism's last data
	result   Result
}

// accepted makes the answer to a proof that was right.
func (x *exchange) accepted(r Result, final []byte) verdict {
	_, nologin := r.Fields.Get("nologin")
	_, proxied := r.Fields.Get("proxy")
	if (nologin || proxied) && x.role.Finish != byRequest {
		// SMTP servers act on OK alone: a field that says "but not here" is lost on
		// them (spec/auth.md 9.3), and the password for another host is none of theirs.
		reason, _ := r.Fields.Get("reason")
		switch {
		case reason != "":
		case proxied:
			reason = defaultProxied
		default:
			reason = defaultNoLogin
		}
		return verdict{user: r.User, reason: reason, now: true}
	}
	a := verdict{ok: true, user: r.User, result: r, final: final, more: x.role.Finish != "" && !nologin && !proxied}
	var last []string
	for _, f := range r.Fields {
		switch {
		case hidden(f.Key):
		case (f.Key == "pass" || f.Key == "master") && !proxied:
		case f.Key == "pass" || f.Key == "master":
			last = append(last, f.Key+"="+f.Value)
		case f.Key == "nologin" || f.Key == "proxy":
			a.fields = append(a.fields, field.Field{Key: f.Key, Bare: true})
		default:
			a.fields = append(a.fields, f)
		}
	}
	a.after = append(marks(r.User, r.Original, r.AuthUser), last...)
	if r.Anonymous {
		a.after = append(a.after, "anonymous")
	}
	return a
}

// refused makes the answer to an error of the mechanism or of the judge. What
// nobody foresaw is temporary.
func (x *exchange) refused(err error) verdict {
	var no *Refusal
	switch {
	case errors.Is(err, sasl.ErrMalformed):
		return verdict{}
	case !errors.As(err, &no):
		no = &Refusal{Code: "temp_fail", Err: err}
	}
	a := verdict{code: no.Code, reason: no.Reason, user: no.User, nodelay: no.NoDelay, internal: no.Code == "temp_fail"}
	if a.internal {
		a.now = x.minor < 2 // the connection ends with it
		if a.reason == "" {
			a.reason = internalFailure
		}
		x.Logf(logline.Error, no.User, "login of %q by %s: %v: temporary failure", no.User, x.mechanism, no.Err)
	}
	if x.Verbose && !a.internal {
		x.Logf(logline.Info, no.User, "%v (%s, rip=%s, session=%q)", err, x.mechanism, x.values.RemoteIP, x.values.Session)
	}
	for _, f := range no.Fields {
		if !hidden(f.Key) && f.Key != "pass" && f.Key != "master" && f.Key != "reason" {
			a.fields = append(a.fields, f)
		}
	}
	return a
}

// marks are the fields that tell another name than the one logged in.
func marks(user, original, authUser string) (m []string) {
	if original != "" && original != user {
		m = append(m, "original_user="+original)
	}
	if authUser != "" && authUser != user {
		m = append(m, "auth_user="+authUser)
	}
	return m
}

// hidden says which fields of the passdb are auth's own business.
func hidden(key string) bool {
	switch key {
	case "user", "username", "domain", "login_user", "password", "nopassword", "nodelay", "delay_until",
		"fail", "noauthenticate", "k5principals", "tempfail", "code":
		return true
	}
	return strings.HasPrefix(key, "userdb_") || strings.HasPrefix(key, "allow_") || strings.HasPrefix(key, "check_")
}

// delay gives how long the answer waits: the failure delay and the penalty,
// counted from the step's beginning so that they hide what a lookup took, and
// never longer than the client waits.
func (x *exchange) delay(a *verdict) time.Duration {
	if a.now {
		return 0
	}
	wait := x.penalty
	if !a.ok && !a.nodelay {
		wait += x.FailureDelay
	}
	return min(wait, x.patience()) - time.Since(x.began)
}

// line writes OK or FAIL (spec/auth.md 1.5). Of what is too much for the client
// the passdb's fields are left out, the last of them first, and then the marks;
// never user=, code= or the mechanism's data.
func (x *exchange) line(a *verdict) []byte {
	verb := "FAIL"
	if a.ok {
		verb = "OK"
	}
	head := []string{verb, strconv.FormatUint(uint64(x.id), 10)}
	if a.user != "" {
		// Postfix and Exim do not unescape.
		head = append(head, "user="+authproto.Clean(a.user))
	}
	if a.nodelay {
		head = append(head, "nodelay")
	}
	if a.code != "" {
		head = append(head, "code="+a.code)
	}
	if a.reason != "" {
		head = append(head, "reason="+a.reason)
	}
	var tail []string
	if a.ok && a.final != nil && x.finalOK {
		tail = append(tail, "resp="+base64.StdEncoding.EncodeToString(a.final))
	}
	most, bytesMost := authproto.MaxFields-2, authproto.MaxLoginLine
	if x.minor < 2 {
		most, bytesMost = shortReplyMax, shortReply
	}
	fields, after := a.fields.Wire(), a.after
	for {
		all := append(append(append(append([]string{}, head...), fields...), after...), tail...)
		line := append(tabline.Append(nil, all...), '\n')
		switch {
		case len(line) < bytesMost && len(all)-2 <= most:
			return line
		case len(fields) > 0:
			fields = fields[:len(fields)-1]
		case len(after) > 0:
			after = after[:len(after)-1]
		default:
			x.Logf(logline.Error, a.user, "the answer to a login of %q has %d bytes, want less than %d", a.user, len(line), bytesMost)
			return append(tabline.Append(nil, "FAIL", head[1], "code=temp_fail"), '\n')
		}
	}
}
