package attempt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/rule"
	"culver/services/auth/sasl"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

var (
	now       = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
	errBroken = errors.New("the database is away")
)

// source is a passdb: a name's entry is its password and its fields, with blanks
// between them. The password - is none.
type source map[string]string

func (s source) Lookup(_ context.Context, v *vars.Values) (passdb.Entry, error) {
	text, ok := s[v.User]
	switch {
	case !ok:
		return passdb.Entry{}, userdb.ErrUnknown
	case text == "broken":
		return passdb.Entry{}, errBroken
	}
	words := strings.Split(text, " ")
	var e passdb.Entry
	if words[0] != "-" {
		e.Password = "{PLAIN}" + words[0]
	}
	for _, w := range words[1:] {
		if w == "locked" {
			return e, passdb.ErrDisabled
		}
		e.Fields = append(e.Fields, field.Cut(w))
	}
	return e, nil
}

func (s source) Names(v *vars.Values) bool { _, ok := s[v.User]; return ok }

func (s source) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

// everybody is a passdb that says yes to any name, as the driver static does.
type everybody struct{}

func (everybody) Lookup(context.Context, *vars.Values) (passdb.Entry, error) {
	return passdb.Entry{Password: "{PLAIN}common"}, nil
}

// verifier is a passdb that cannot be asked without a password, as PAM.
type verifier map[string]string

func (s verifier) Verify(_ context.Context, v *vars.Values, password string) (passdb.Entry, error) {
	switch right, ok := s[v.User]; {
	case !ok:
		return passdb.Entry{}, userdb.ErrUnknown
	case right != password:
		return passdb.Entry{}, passdb.ErrMismatch
	}
	return passdb.Entry{}, nil
}

// mail is a userdb: a name's fields.
type mail map[string]string

func (m mail) Lookup(_ context.Context, v *vars.Values) (field.List, error) {
	text, ok := m[v.User]
	switch {
	case !ok:
		return nil, userdb.ErrUnknown
	case text == "broken":
		return nil, errBroken
	}
	l := field.List{{Key: "uid", Value: "1000"}, {Key: "gid", Value: "1000"}}
	if text != "" {
		l = append(l, field.Cut(text))
	}
	return l, nil
}

func (m mail) Names(v *vars.Values) bool { _, ok := m[v.User]; return ok }

func (m mail) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

// site is a judge with users and master users, and what it has recorded.
type site struct {
	Judge
	records []Record
}

func newSite(t *testing.T) *site {
	t.Helper()
	format, err := vars.Parse("%Lu")
	if err != nil {
		t.Fatal(err)
	}
	users := source{
		"alice@example.org":   "secret",
		"bob@example.org":     "bobs quota=1G",
		"carol@example.net":   "carols",
		"shut@example.org":    "shuts nologin reason=moved",
		"away@example.org":    "aways proxy host=192.0.2.80",
		"inside@example.org":  "insides allow_nets=10.0.0.0/8",
		"gone@example.org":    "gones allow_until=2026-12-31 nodelay",
		"bad@example.org":     "bads allow_until=never",
		"locked@example.org":  "lockeds nodelay locked",
		"fail@example.org":    "fails fail",
		"down@example.org":    "broken",
		"renamed@example.org": "renameds user=carol@example.net",
		"sly@example.org":     "slys allow_users=* allow_commands=*",
		"nomail@example.org":  "nomails",
		"moved@example.org":   "moveds",
		"noisy@example.org":   "noisys nodelay reason=because",
		"admin@example.org":   "adminsown",
		"nobody@example.org":  "- nopassword",
	}
	masters := source{
		"admin@example.org":    "sesame allow_users=*@example.org allow_commands=imap,search,fetch,expunge,mailbox*",
		"boss@example.org":     "bosss quota=2G mark=boss",
		"sender@example.org":   "senders allow_users=*@example.org allow_commands=imap,smtp",
		"continue@example.org": "continues",
		"old@example.org":      "olds allow_until=2026-12-31 nodelay reason=old",
		"typo@example.org":     "typos allow_user=*@example.org",
		"net@example.org":      "nets allow_nets=10.0.0.0/8",
		"always@example.org":   "alwayss login_user=carol@example.net allow_users=*@example.org",
		"alias@example.org":    "aliass user=realadmin@example.org",
		"lockedboss@x.org":     "lockeds locked",
		"doveadm@example.org":  "otherpassword",
		"downboss@example.org": "broken",
	}
	s := &site{}
	s.Judge = Judge{
		Names: Names{
			Realm: "example.org", Format: format,
			Chars: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@",
		},
		Separator: "*",
		Passwords: passdb.Chain{Links: []passdb.Link{
			{Name: "denied", Source: source{"denied@example.org": "-"}, Deny: true},
			{Name: "users", Source: users, Lister: users},
			{Name: "late", Source: source{"denied@example.org": "denieds"}},
		}},
		Masters: passdb.Chain{Masters: true, Links: []passdb.Link{
			{Name: "strict", Source: source{"continue@example.org": "continues"}, Rules: rule.Rules{Success: rule.Continue}},
			{Name: "masters", Source: masters},
		}},
		Users: userdb.Chain{Links: []userdb.Link{{Name: "mail", DB: mail{
			"alice@example.org": "", "bob@example.org": "", "carol@example.net": "", "shut@example.org": "", "away@example.org": "",
			"inside@example.org": "", "gone@example.org": "", "denied@example.org": "", "locked@example.org": "", "fail@example.org": "",
			"renamed@example.org": "", "sly@example.org": "", "onlymail@example.org": "", "brokenmail@example.org": "broken",
			"moved@example.org": "user=carol@example.net", "admin@example.org": "", "noisy@example.org": "",
		}}}},
		Anonymous: "anonymous",
		CertNames: true,
		Shared:    &Shared{User: "doveadm", Password: "shared"},
		Now:       func() time.Time { return now },
		Audit:     func(r Record) { s.records = append(s.records, r) },
	}
	return s
}

func imap() Client {
	return Client{Values: vars.Values{Service: "imap", RemoteIP: "192.0.2.9", Session: "s1", Mech: "PLAIN"}}
}

// answer gives the end of an attempt as one text: "ok user" or what the refusal
// tells the client.
func answer(a *Attempt, err error) string {
	if err == nil {
		r := a.Result()
		text := "ok " + r.User
		if r.Master != "" {
			text += " by " + r.Master
		}
		return text
	}
	var no *Refusal
	if !errors.As(err, &no) {
		return "error " + err.Error()
	}
	text := "no"
	if no.Code != "" {
		text += " " + no.Code
	}
	if no.Reason != "" {
		text += " (" + no.Reason + ")"
	}
	if no.NoDelay {
		text += " at once"
	}
	return text
}

func TestVerify(t *testing.T) {
	t.Parallel()
	smtp := func(c *Client) { c.Service, c.OnlyOK = "smtp", true }
	for _, tt := range []struct {
		name              string
		authcid, authzid  string
		password          string
		client            func(*Client)
		want              string
		record, recordWhy string // the result of the record, "" for none; what its reason has
	}{
		// Who has a password of its own.
		{"the right password", "alice@example.org", "", "secret", nil, "ok alice@example.org", "", ""},
		{"the realm is added", "alice", "", "secret", nil, "ok alice@example.org", "", ""},
		{"capitals", "ALICE@Example.ORG", "", "secret", nil, "ok alice@example.org", "", ""},
		{"the wrong password", "alice@example.org", "", "wrong", nil, "no", "", ""},
		{"an unknown user", "eve@example.org", "", "secret", nil, "no", "", ""},
		{"no password", "alice@example.org", "", "", nil, "no", "", ""},
		{"an entry that needs none", "nobody@example.org", "", "", nil, "ok nobody@example.org", "", ""},
		{"a name with a blank", "ali ce@example.org", "", "secret", nil, "no", "", ""},
		{"a name that is too long", strings.Repeat("a", 256), "", "secret", nil, "no", "", ""},
		{"a source that is down", "down@example.org", "", "x", nil, "no temp_fail", "", ""},
		{"authzid as authcid", "alice@example.org", "alice@example.org", "secret", nil, "ok alice@example.org", "", ""},
		{"authzid as authcid, otherwise spelled", "alice", "Alice@Example.org", "secret", nil, "ok alice@example.org", "", ""},
		{"the separator between two of the same", "alice*alice@example.org", "", "secret", nil, "ok alice@example.org", "", ""},
		{"nologin is for the one who answers", "shut@example.org", "", "shuts", nil, "ok shut@example.org", "", ""},
		{"another net", "inside@example.org", "", "insides", nil, "no", "", ""},
		{"expired, with the right password", "gone@example.org", "", "gones", nil, "no pass_expired (Password expired) at once", "", ""},
		{"expired, with a wrong one", "gone@example.org", "", "wrong", nil, "no", "", ""},
		{"an end that cannot be read", "bad@example.org", "", "bads", nil, "no temp_fail", "", ""},
		{"the same with a wrong password", "bad@example.org", "", "wrong", nil, "no", "", ""},
		{"locked, with the right password", "locked@example.org", "", "lockeds", nil, "no user_disabled at once", "", ""},
		{"locked, with a wrong one", "locked@example.org", "", "wrong", nil, "no", "", ""},
		{"denied, with the right password", "denied@example.org", "", "denieds", nil, "no user_disabled", "", ""},
		{"denied, with a wrong one", "denied@example.org", "", "wrong", nil, "no", "", ""},
		{"nodelay and reason do not tell that there is a user", "noisy@example.org", "", "wrong", nil, "no", "", ""},
		{"a renamed user", "renamed@example.org", "", "renameds", nil, "ok carol@example.net", "", ""},

		// Master users.
		{"a master user as himself", "boss@example.org", "", "bosss", nil, "no", "", ""},
		{"a master user as himself, by authzid", "boss@example.org", "boss@example.org", "bosss", nil, "no", "", ""},
		{"one who is a user too has two passwords", "admin@example.org", "", "sesame", nil, "no", "", ""},
		{"and this is the user's", "admin@example.org", "", "adminsown", nil, "ok admin@example.org", "", ""},
		{"the user's password is not the master's", "admin@example.org", "bob@example.org", "adminsown", nil, "no", ResultRefused, "mismatch"},
		{"by authzid", "admin@example.org", "bob@example.org", "sesame", nil, "ok bob@example.org by admin@example.org", ResultOK, ""},
		{"by the separator", "bob@example.org*admin@example.org", "", "sesame", nil, "ok bob@example.org by admin@example.org", ResultOK, ""},
		{"as doveadm sends it", "bob*admin", "bob*admin", "sesame", nil, "ok bob@example.org by admin@example.org", ResultOK, ""},
		{"both, and the same", "bob*admin", "bob@example.org", "sesame", nil, "ok bob@example.org by admin@example.org", ResultOK, ""},
		{"both, and not the same", "bob*admin", "alice@example.org", "sesame", nil, "no", ResultRefused, "want one"},
		{"capitals and the realm", "Admin", "BOB", "sesame", nil, "ok bob@example.org by admin@example.org", ResultOK, ""},
		{"two separators", "bob*admin*boss", "", "bosss", nil, "no", ResultRefused, "0x2a"},
		{"no target", "*boss", "", "bosss", nil, "no", ResultRefused, "empty"},
		{"no master", "bob*", "", "bosss", nil, "no", ResultRefused, "empty"},
		{"a target with a blank", "boss", "b ob", "bosss", nil, "no", ResultRefused, "0x20"},
		{"a wrong password", "admin@example.org", "bob@example.org", "wrong", nil, "no", ResultRefused, "mismatch"},
		{"an unknown master", "eve@example.org", "bob@example.org", "sesame", nil, "no", ResultRefused, "unknown"},
		{"a user is no master", "alice@example.org", "bob@example.org", "secret", nil, "no", ResultRefused, "unknown"},
		{"a locked master, with the right password", "lockedboss@x.org", "bob@example.org", "lockeds", nil, "no", ResultRefused, "disabled"},
		{"a master whose source is down", "downboss@example.org", "bob@example.org", "x", nil, "no temp_fail", ResultFailed, "away"},

		// How far a leave goes.
		{"another domain", "admin@example.org", "carol@example.net", "sesame", nil, "no", ResultRefused, "allow_users"},
		{"another domain, where nobody is", "admin@example.org", "eve@example.net", "sesame", nil, "no", ResultRefused, "allow_users"},
		{"another protocol", "admin@example.org", "bob@example.org", "sesame", func(c *Client) { c.Service = "pop3" }, "no", ResultRefused, "allow_commands"},
		{"a protocol in capitals", "boss@example.org", "bob@example.org", "bosss", func(c *Client) { c.Service = "IMAP" }, "no", ResultRefused, "allow_commands"},
		{"a protocol without a name", "boss@example.org", "bob@example.org", "bosss", func(c *Client) { c.Service = "" }, "no", ResultRefused, "allow_commands"},
		{"no bounds", "boss@example.org", "carol@example.net", "bosss", nil, "ok carol@example.net by boss@example.org", ResultOK, ""},
		{"no bounds are no leave to send", "boss@example.org", "bob@example.org", "bosss", smtp, "no", ResultRefused, "allow_commands"},
		{"leave to send", "sender@example.org", "bob@example.org", "senders", smtp, "ok bob@example.org by sender@example.org", ResultOK, ""},
		{"leave that is over", "old@example.org", "bob@example.org", "olds", nil, "no", ResultRefused, "allow_until"},
		{"over, with a wrong password", "old@example.org", "bob@example.org", "wrong", nil, "no", ResultRefused, "mismatch"},
		{"a bound that is misspelt", "typo@example.org", "bob@example.org", "typos", nil, "no", ResultRefused, "allow_user"},
		{"from elsewhere", "net@example.org", "bob@example.org", "nets", nil, "no", ResultRefused, "unknown"},
		{"from there", "net@example.org", "bob@example.org", "nets", func(c *Client) { c.RemoteIP = "10.1.2.3" }, "ok bob@example.org by net@example.org", ResultOK, ""},
		{"login_user is bounded too", "always@example.org", "bob@example.org", "alwayss", nil, "no", ResultRefused, "allow_users"},
		{"a master with another name", "alias@example.org", "bob@example.org", "aliass", nil, "ok bob@example.org by realadmin@example.org", ResultOK, ""},

		// The target.
		{"one who does not exist", "boss@example.org", "eve@example.org", "bosss", nil, "no", ResultRefused, "unknown"},
		{"nor for him who may send", "sender@example.org", "eve@example.org", "senders", smtp, "no", ResultRefused, "unknown"},
		{"one who is in the userdb alone", "boss@example.org", "onlymail@example.org", "bosss", nil, "ok onlymail@example.org by boss@example.org", ResultOK, ""},
		{"the same, where the passdbs are to agree", "continue@example.org", "onlymail@example.org", "continues", nil, "no", ResultRefused, "unknown"},
		{"in the passdbs, where they are to agree", "continue@example.org", "bob@example.org", "continues", nil, "ok bob@example.org by continue@example.org", ResultOK, ""},
		{"one who has no mail", "boss@example.org", "nomail@example.org", "bosss", nil, "ok nomail@example.org by boss@example.org", ResultOK, ""},
		{"one whose nets are others", "boss@example.org", "inside@example.org", "bosss", nil, "no", ResultRefused, "allow_nets"},
		{"one whose nets these are", "boss@example.org", "inside@example.org", "bosss", func(c *Client) { c.RemoteIP = "10.1.2.3" }, "ok inside@example.org by boss@example.org", ResultOK, ""},
		{"a master's nets are not the target's", "net@example.org", "inside@example.org", "nets", func(c *Client) { c.RemoteIP = "10.1.2.3" }, "ok inside@example.org by net@example.org", ResultOK, ""},
		{"one who is denied", "boss@example.org", "denied@example.org", "bosss", nil, "no", ResultRefused, "denies"},
		{"one who is locked", "boss@example.org", "locked@example.org", "bosss", nil, "no", ResultRefused, "disabled"},
		{"one whose time is over", "boss@example.org", "gone@example.org", "bosss", nil, "no", ResultRefused, "allow_until"},
		{"one whose entry says fail", "boss@example.org", "fail@example.org", "bosss", nil, "no", ResultRefused, "unknown"},
		{"one whose source is down", "boss@example.org", "down@example.org", "bosss", nil, "no temp_fail", ResultFailed, "away"},
		{"one whose mail's source is down", "boss@example.org", "brokenmail@example.org", "bosss", nil, "no temp_fail", ResultFailed, "away"},
		{"nologin, to an IMAP server that heeds it", "boss@example.org", "shut@example.org", "bosss", nil, "ok shut@example.org by boss@example.org", ResultOK, ""},
		{"nologin, to a server that would not", "sender@example.org", "shut@example.org", "senders", smtp, "no", ResultRefused, "nologin"},
		{"mail on another host", "sender@example.org", "away@example.org", "senders", smtp, "no", ResultRefused, "proxy"},
		{"one who is somebody else, out of reach", "admin@example.org", "renamed@example.org", "sesame", nil, "no", ResultRefused, "carol"},
		{"one who is somebody else, in reach", "boss@example.org", "renamed@example.org", "bosss", nil, "ok carol@example.net by boss@example.org", ResultOK, ""},
		{"one whose mail is somebody else's, out of reach", "admin@example.org", "moved@example.org", "sesame", nil, "no", ResultRefused, "carol"},
		{"a target's fields widen no leave", "admin@example.org", "sly@example.org", "sesame", func(c *Client) { c.Service = "pop3" }, "no", ResultRefused, "allow_commands"},

		// Certificates.
		{"one without a name", "alice@example.org", "", "secret", func(c *Client) { c.Cert = "valid" }, "ok alice@example.org", "", ""},
		{"one's own", "alice", "", "secret", func(c *Client) { c.Cert, c.CertUser = "valid", "Alice@example.org" }, "ok alice@example.org", "", ""},
		{"another's", "alice", "", "secret", func(c *Client) { c.Cert, c.CertUser = "valid", "bob@example.org" }, "no", "", ""},
		{"another's that nobody has verified", "alice", "", "secret", func(c *Client) { c.CertUser = "bob@example.org" }, "ok alice@example.org", "", ""},
		{"the master's", "boss", "bob", "bosss", func(c *Client) { c.Cert, c.CertUser = "valid", "boss" }, "ok bob@example.org by boss@example.org", ResultOK, ""},
		{"the target's", "boss", "bob", "bosss", func(c *Client) { c.Cert, c.CertUser = "valid", "bob" }, "no", ResultRefused, "certificate"},

		// Where master users log in as themselves.
		{"a principal", "boss", "", "bosss", principal, "ok boss@example.org", ResultOK, ""},
		{"a principal by two names", "boss", "boss@example.org", "bosss", principal, "ok boss@example.org", ResultOK, ""},
		{"a principal with a target", "boss", "bob", "bosss", principal, "no", ResultRefused, "itself"},
		{"a principal with a separator", "bob*boss", "", "bosss", principal, "no", ResultRefused, "itself"},
		{"a principal's wrong password", "boss", "", "wrong", principal, "no", ResultRefused, "mismatch"},
		{"a user is no principal", "alice", "", "secret", principal, "no", ResultRefused, "unknown"},
		{"a principal whose leave is over", "old", "", "olds", principal, "no (old)", ResultRefused, "allow_until"},
		{"a principal whose bound is misspelt", "typo", "", "typos", principal, "no temp_fail", ResultFailed, "allow_user"},
		{"a locked principal", "lockedboss@x.org", "", "lockeds", principal, "no user_disabled", ResultRefused, "disabled"},
		{"the shared password", "doveadm", "", "shared", principal, "ok doveadm", ResultOK, ""},
		{"the shared password, with authzid", "doveadm", "doveadm", "shared", principal, "ok doveadm", ResultOK, ""},
		{"the shared password, wrong", "doveadm", "", "wrong", principal, "no", ResultRefused, "mismatch"},
		{"the shared password, shorter", "doveadm", "", "share", principal, "no", ResultRefused, "mismatch"},
		{"the shared password, longer", "doveadm", "", "shared\x00", principal, "no", ResultRefused, "mismatch"},
		{"the shared name with a realm is another", "doveadm@example.org", "", "shared", principal, "no", ResultRefused, "mismatch"},
		{"and has a password of its own", "doveadm@example.org", "", "otherpassword", principal, "ok doveadm@example.org", ResultOK, ""},
		{"the shared name with a target", "doveadm", "bob", "shared", principal, "no", ResultRefused, "itself"},
		{"the shared password elsewhere", "doveadm", "", "shared", nil, "no", "", ""},
		{"the shared password elsewhere, with a target", "doveadm", "bob", "shared", nil, "no", ResultRefused, "mismatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			c := imap()
			if tt.client != nil {
				tt.client(&c)
			}
			a := s.Begin(c)
			got := answer(a, a.Verify(context.Background(), tt.authcid, tt.authzid, tt.password))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			s.check(t, tt.record, tt.recordWhy)
			// Challenge and response have to come to the same end.
			stored := stored(&s.Judge, c, tt.authcid, tt.authzid, tt.password)
			if got != stored && tt.name != "an entry that needs none" && tt.name != "no password" {
				t.Errorf("by challenge: got %q, want %q", stored, got)
			}
		})
	}
}

func principal(c *Client) { c.Service, c.Principal, c.OnlyOK = "doveadm", true, true }

// stored is the same attempt by a mechanism with a challenge.
func stored(j *Judge, c Client, authcid, authzid, password string) string {
	ctx := context.Background()
	a := j.Begin(c)
	have, err := a.Credentials(ctx, authcid, authzid, "SCRAM-SHA-256")
	switch {
	case errors.Is(err, sasl.ErrNoCredentials):
		return answer(a, a.Disproved(ctx))
	case err != nil:
		return answer(a, err)
	case have == "{PLAIN}"+password:
		return answer(a, a.Proved(ctx))
	}
	return answer(a, a.Disproved(ctx))
}

// check compares the last record.
func (s *site) check(t *testing.T, result, reason string) {
	t.Helper()
	switch {
	case result == "" && len(s.records) > 0:
		t.Errorf("got the record %v, want none", s.records)
	case result == "":
	case len(s.records) != 1:
		t.Errorf("got the records %v, want one", s.records)
	default:
		r := s.records[0]
		if r.Result != result || !strings.Contains(r.Reason, reason) || (r.Reason == "") != (result == ResultOK) || r.Principal == "" || !r.Time.Equal(now) {
			t.Errorf("got the record %v, want %s with %q", r, result, reason)
		}
		if text := fmt.Sprint(s.records); strings.Contains(text, "sesame") || strings.Contains(text, "bosss") {
			t.Errorf("got the password in %s", text)
		}
	}
}

// What a master login gives the protocol.
func TestMasterResult(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.Begin(imap())
	if err := a.Verify(context.Background(), "BOB*boss", "", "bosss"); err != nil {
		t.Fatal(err)
	}
	got := a.Result()
	if got.User != "bob@example.org" || got.Original != "boss" || got.AuthUser != "boss@example.org" || got.Master != "boss@example.org" {
		t.Errorf("got %+v", got)
	}
	// The master's fields are in front, and the target's count.
	if text := fmt.Sprint(got.Fields.Wire()); text != "[quota=1G mark=boss]" {
		t.Errorf("fields: got %s, want [quota=1G mark=boss]", text)
	}
	if got.Reach.AllowsUser("bob@example.org") {
		t.Error("a login for one user is leave for tickets")
	}
}

func TestMasterOfVerifiers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		links  []passdb.Link
		target string
		want   string
	}{
		{"PAM cannot say who exists: the userdb does", []passdb.Link{{Verifier: verifier{"bob@example.org": "x"}}}, "bob", "ok bob@example.org by boss@example.org"},
		{"and who does not", []passdb.Link{{Verifier: verifier{}}}, "eve", "no"},
		{"a passdb of everybody says nothing", []passdb.Link{{Source: everybody{}}}, "eve", "no"},
		{"and is no hindrance", []passdb.Link{{Source: everybody{}}}, "bob", "ok bob@example.org by boss@example.org"},
		{"no passdb", nil, "bob", "ok bob@example.org by boss@example.org"},
		{"no passdb, no user", nil, "eve", "no"},
		{"denied, and PAM", []passdb.Link{{Source: source{"bob@example.org": "-"}, Deny: true}, {Verifier: verifier{}}}, "bob", "no"},
	} {
		s := newSite(t)
		s.Passwords.Links = tt.links
		a := s.Begin(imap())
		if got := answer(a, a.Verify(context.Background(), "boss", tt.target, "bosss")); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	s := newSite(t)
	s.Masters.Links = nil
	a := s.Begin(imap())
	if got := answer(a, a.Verify(context.Background(), "boss", "bob", "bosss")); got != "no" {
		t.Errorf("no passdb of masters: got %q, want no", got)
	}
	s.check(t, ResultRefused, "")
}

func TestExternal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		cert, certUser string
		authzid        string
		change         func(*site, *Client)
		want           string
	}{
		{"the certificate's user", "valid", "alice@example.org", "", nil, "ok alice@example.org"},
		{"without the realm", "valid", "Alice", "", nil, "ok alice@example.org"},
		{"and the same as authzid", "valid", "alice", "alice@example.org", nil, "ok alice@example.org"},
		{"nobody has verified it", "", "alice@example.org", "", nil, "no"},
		{"it has no name", "valid", "", "", nil, "no"},
		{"it has no name, the client has", "valid", "", "alice@example.org", nil, "no"},
		{"names do not count", "valid", "alice@example.org", "", func(s *site, _ *Client) { s.CertNames = false }, "no"},
		{"one who does not exist", "valid", "eve@example.org", "", nil, "no"},
		{"one who is locked", "valid", "locked@example.org", "", nil, "no user_disabled at once"},
		{"one whose time is over", "valid", "gone@example.org", "", nil, "no pass_expired (Password expired) at once"},
		{"one from another net", "valid", "inside@example.org", "", nil, "no"},
		{"another user by authzid", "valid", "alice@example.org", "bob@example.org", nil, "no"},
		{"a master user for another", "valid", "admin@example.org", "bob@example.org", nil, "ok bob@example.org by admin@example.org"},
		{"a master user out of reach", "valid", "admin@example.org", "carol@example.net", nil, "no"},
		{"a master user as himself", "valid", "boss@example.org", "", nil, "no"},
		{"a separator in the certificate", "valid", "bob*boss", "", nil, "no"},
		{"a principal, of whom the front has no more than its word", "valid", "boss@example.org", "", func(_ *site, c *Client) { principal(c) }, "no"},
		{"the shared name needs its password", "valid", "doveadm", "", func(s *site, c *Client) { principal(c); s.Names.Realm = "" }, "no"},
	} {
		s := newSite(t)
		c := imap()
		c.Cert, c.CertUser, c.Mech = tt.cert, tt.certUser, "EXTERNAL"
		if tt.change != nil {
			tt.change(s, &c)
		}
		a := s.Begin(c)
		if got := answer(a, a.External(context.Background(), tt.authzid)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.Begin(imap())
	if err := a.Anonymous(context.Background(), "boss@example.org"); err != nil || a.Result().User != "anonymous" || !a.Result().Anonymous {
		t.Errorf("got %+v %v", a.Result(), err)
	}
	c := imap()
	principal(&c)
	if got := answer(nil, s.Begin(c).Anonymous(context.Background(), "")); got != "no" {
		t.Errorf("as a principal: got %q, want no", got)
	}
	s.RequireCert = true
	if got := answer(nil, s.Begin(imap()).Anonymous(context.Background(), "")); got != "no" {
		t.Errorf("without a certificate: got %q, want no", got)
	}
}

func TestRequireCert(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.RequireCert = true
	if got := stored(&s.Judge, imap(), "alice", "", "secret"); got != "no" {
		t.Errorf("none: got %q, want no", got)
	}
	c := imap()
	c.Cert = "valid"
	if got := stored(&s.Judge, c, "alice", "", "secret"); got != "ok alice@example.org" {
		t.Errorf("one: got %q, want ok", got)
	}
}

// Spellings of one name have one subject, that of a master user is another.
func TestSubject(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.Begin(imap())
	for _, tt := range []struct{ name, authcid, authzid, want string }{
		{"a user", "alice@example.org", "", "alice@example.org"},
		{"in capitals", "ALICE", "", "alice@example.org"},
		{"with himself as authzid", "alice", "Alice", "alice@example.org"},
		{"one who does not exist", "eve", "", "eve@example.org"},
		{"as a master user", "alice", "bob", "master alice@example.org"},
		{"by separator", "bob*alice", "", "master alice@example.org"},
		{"no name", "a b", "", "?"},
		{"another that is none", "\x00", "", "?"},
	} {
		if got := a.Subject(tt.authcid, tt.authzid); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A refusal of a master login is the same whatever was wrong, but for what is
// temporary.
func TestMasterRefusalsAreOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	refusal := func(authzid, password string) Refusal {
		var no *Refusal
		a := s.Begin(imap())
		if err := a.Verify(context.Background(), "old@example.org", authzid, password); !errors.As(err, &no) {
			t.Fatalf("%q: got %v", authzid, err)
		}
		return Refusal{Code: no.Code, Reason: no.Reason, NoDelay: no.NoDelay, User: no.User}
	}
	want := refusal("bob@example.org", "wrong")
	for _, target := range []string{"bob@example.org", "eve@example.org", "locked@example.org", "b ob"} {
		if got := refusal(target, "olds"); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("the right password and %q: got %+v, want %+v", target, got, want)
		}
	}
}
