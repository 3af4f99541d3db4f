package passdb

import (
	"context"
	"errors"
	"strings"
	"testing"

	"culver/services/auth/field"
	"culver/services/auth/rule"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// one is a source with one answer.
type one struct {
	entry Entry
	err   error
}

func (o one) Lookup(context.Context, *vars.Values) (Entry, error) { return o.entry, o.err }

// link reads a link from words: its answer, then settings of its block before a
// colon and fields of the entry after one. The password of every entry is
// "right" unless another is given.
func link(t *testing.T, text string) Link {
	t.Helper()
	settings, fields, _ := strings.Cut(text, " : ")
	words := strings.Fields(settings)
	l := Link{Name: words[0], Scheme: "PLAIN"}
	o := one{entry: Entry{Password: "{PLAIN}right"}}
	switch words[0] {
	case "has":
	case "empty":
		o.entry.Password = ""
	case "any":
		o.entry = Entry{NoPassword: true}
	case "other":
		o.entry.Password = "{PLAIN}wrong"
	case "unknown":
		o.err = userdb.ErrUnknown
	case "broken":
		o.err = errBroken
	case "disabled":
		o.err = ErrDisabled
	case "locked": // as with "!" in shadow, without anything after it
		o = one{err: ErrDisabled}
	case "expired":
		o.err = ErrExpired
	case "verifier":
		l.Verifier = verifier{}
	default:
		t.Fatalf("no answer %q", words[0])
	}
	if l.Verifier == nil {
		l.Source = o
	}
	for f := range strings.FieldsSeq(fields) {
		o.entry.Fields = append(o.entry.Fields, field.Cut(f))
	}
	if l.Source != nil {
		l.Source = o
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "success":
			l.Rules.Success, err = rule.Parse(value)
		case "failure":
			l.Rules.Failure, err = rule.Parse(value)
		case "internal":
			l.Rules.Internal, err = rule.Parse(value)
		case "skip":
			l.Skip = map[string]Skip{"authenticated": Authenticated, "unauthenticated": Unauthenticated}[value]
		case "mech":
			l.Mechanisms = strings.Split(value, ",")
		case "filter":
			l.Filter = rule.ParseFilter([]string{value})
		case "deny":
			l.Deny = true
		case "default":
			l.Defaults, err = field.ParseTemplates([]string{value})
		case "override":
			l.Overrides, err = field.ParseTemplates([]string{value})
		default:
			t.Fatalf("no setting %q", w)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return l
}

type verifier struct{}

func (verifier) Verify(_ context.Context, _ *vars.Values, password string) (Entry, error) {
	if password != "right" {
		return Entry{}, ErrMismatch
	}
	return Entry{Fields: field.List{{Key: "verified", Bare: true}}}, nil
}

var errBroken = errors.New("broken")

// outcome puts a verdict in one line.
func outcome(v Verdict, err error) string {
	word := "temporary"
	for is, w := range map[error]string{nil: "yes", userdb.ErrUnknown: "unknown", ErrMismatch: "mismatch",
		ErrDisabled: "disabled", ErrExpired: "expired", ErrNoLookup: "nolookup"} {
		if err == is || is != nil && errors.Is(err, is) {
			word = w
		}
	}
	words := []string{word}
	if v.User != "bob@x" {
		words = append(words, "as "+v.User)
	}
	if v.Stored != "" {
		words = append(words, "stored "+v.Stored)
	}
	if v.Continue {
		words = append(words, "and go on")
	}
	return strings.Join(append(words, v.Fields.Wire()...), " ")
}

// TestChain: the links of a row are separated by semicolons.
func TestChain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, links string
		right       string // what the right password gets
		wrong       string // and a wrong one
	}{
		{"one source", "has", "yes", "mismatch"},
		{"nobody there", "unknown", "unknown", "unknown"},
		{"a source that is away", "broken", "temporary", "temporary"},
		{"the second source knows", "unknown; has", "yes", "mismatch"},
		{"two with a password each", "other; has", "yes", "yes"},
		{"the first yes ends it", "has : a=1; has : b=2", "yes a=1", "mismatch"},
		{"away, and the next has the password", "broken; has", "yes", "temporary"},
		{"away, and the next does not know: it might have been there", "broken; unknown", "temporary", "temporary"},
		{"away after a no", "other; broken", "temporary", "yes"},
		{"an empty password is none", "empty", "mismatch", "mismatch"},
		{"nopassword lets in with any", "any", "yes", "yes"},
		{"nopassword as a field", "empty : nopassword", "yes", "yes"},
		{"its value does not matter", "empty : nopassword=no", "yes", "yes"},
		{"nopassword beside a password is a mistake, and no way in", "has : nopassword", "mismatch", "mismatch"},
		{"nopassword is for its entry alone", "any success=continue; other", "yes", "yes"},
		{"the password as a field", "empty : password=right", "yes", "mismatch"},
		{"a field with a scheme", "empty : password={PLAIN}right", "yes", "mismatch"},
		{"braces that are of the password", "empty : password_noscheme={PLAIN}right", "mismatch", "mismatch"},
		{"a scheme that is none", "empty : password={NONE}right", "temporary", "temporary"},
		{"a weak scheme that is not allowed", "empty : password={PLAIN-MD5}098f6bcd4621d373cade4e832627b4f6", "temporary", "temporary"},

		{"continue wants the next to have the user too", "has success=continue; other", "yes", "yes"},
		{"and no password of it", "has success=continue; has", "yes", "mismatch"},
		{"continue, and the next does not have the user", "has success=continue; unknown", "unknown", "mismatch"},
		{"continue, and no next one", "has success=continue", "mismatch", "mismatch"},
		{"continue, and the next is not asked", "has success=continue; has mech=LOGIN", "mismatch", "mismatch"},
		{"continue, and the next is away", "has success=continue; broken", "temporary", "temporary"},
		{"continue-ok stands when the next does not have the user", "has success=continue-ok; unknown", "yes", "mismatch"},
		{"and when it is away", "has success=continue-ok; broken", "yes", "temporary"},
		{"unless the next ends it with a no", "has success=continue-ok; unknown failure=return-fail", "unknown", "mismatch"},
		{"continue-fail is a no unless another says yes by itself", "has success=continue-fail; other", "mismatch", "yes"},
		{"return leaves it at what was", "has success=return", "mismatch", "mismatch"},
		{"return after a yes", "has success=continue-ok; has success=return", "yes", "mismatch"},
		{"return-fail is a no although the password is right", "has success=return-fail", "mismatch", "mismatch"},
		{"a no that ends it", "other failure=return-fail; has", "mismatch", "yes"},
		{"a no that ends it with return", "unknown failure=return; has", "unknown", "unknown"},
		{"a failure that ends it", "broken internal=return-fail; has", "temporary", "temporary"},
		{"a failure that ends it with what was", "has success=continue-ok; broken internal=return", "yes", "temporary"},
		{"no rule makes a yes of a no", "unknown failure=return-ok", "unknown", "unknown"},
		{"nor of a failure", "broken internal=return-ok", "temporary", "temporary"},
		{"but the yes of one before it may stand", "has success=continue; unknown failure=return-ok", "yes", "mismatch"},

		{"skip=authenticated is for those who are not in yet", "has success=continue-ok; other skip=authenticated : b", "yes", "yes b"},
		{"skip=unauthenticated is for those who are", "has success=continue-ok : a; empty skip=unauthenticated : b", "yes a b", "mismatch"},
		{"for other mechanisms", "has mech=LOGIN,CRAM-MD5; other mech=PLAIN", "mismatch", "yes"},
		{"for no mechanism at all", "has mech=LOGIN", "temporary", "temporary"},
		{"for other names", "has filter=*@y; other filter=bob@*", "mismatch", "yes"},
		{"for no such names", "has filter=*,!bob@*", "unknown", "unknown"},

		{"deny is told to whoever has the password", "has deny; has", "disabled", "mismatch"},
		{"whatever password it has itself", "other deny; has", "disabled", "mismatch"},
		{"deny of another", "unknown deny; has", "yes", "mismatch"},
		{"deny that is away is the end", "broken deny; has", "temporary", "temporary"},
		{"deny after a yes that goes on", "has success=continue-ok; empty deny", "disabled", "mismatch"},
		{"deny and nobody else", "has deny", "mismatch", "mismatch"},
		{"deny gives no fields", "has deny : a=1; has", "disabled", "mismatch"},

		{"disabled is the end, for whoever has the password", "disabled; has", "disabled", "mismatch"},
		{"a locked account has no password", "locked; has", "mismatch", "mismatch"},
		{"disabled after a yes", "has success=continue-ok; disabled", "disabled", "mismatch"},
		{"expired says so", "expired; has", "expired reason=Password expired", "mismatch"},
		{"in the entry's own words", "expired : reason=renew; has", "expired reason=renew", "mismatch"},

		{"fields of one that says no are gone", "other : a=1; has : b=2", "yes b=2", "yes a=1"},
		{"so are those of one that is shut out by fail", "has : fail a=1; has : b=2", "yes b=2", "mismatch"},
		{"fields of two that say yes", "has success=continue : a=1 c=1; has : b=2 c=2", "yes a=1 c=2 b=2", "mismatch"},
		{"the second gives what is not there yet", "has success=continue : a=1; has : a:default=2 b:default=2", "yes a=1 b=2", "mismatch"},
		{"and takes away", "has success=continue : a=1 b=1; has : a:remove", "yes b=1", "mismatch"},
		{"defaults give way, overrides do not", "has default=a=1 override=b=1 : a=2 b=2", "yes a=2 b=1", "mismatch"},
		{"defaults of one that says no are gone", "other default=a=1; has", "yes", "yes a=1"},
		{"nodelay stays", "has : nodelay a=1", "yes nodelay a=1", "mismatch nodelay"},
		{"reason is for whoever has the password", "has : reason=moved fail a=1", "unknown reason=moved", "mismatch"},
		{"noauthenticate adds fields", "empty : noauthenticate a=1; has : b=2", "yes a=1 b=2", "mismatch"},
		{"and cannot be the last", "has : noauthenticate", "temporary", "temporary"},
		{"nor followed by one that does not know", "empty : noauthenticate; unknown", "unknown", "unknown"},
		{"its nets bind the others", "empty : noauthenticate allow_nets=192.0.2.1; has", "unknown", "mismatch"},
		{"passdb_import", "has : passdb_import=a=1 b=2", "yes b=2 a=1", "mismatch"},

		{"user is another's name", "has : user=carol@y", "yes as carol@y", "mismatch"},
		{"username keeps the domain", "has : username=carol", "yes as carol@x", "mismatch"},
		{"domain keeps the name", "has : domain=y", "yes as bob@y", "mismatch"},
		{"one after the other", "has : user=c domain=y", "yes as c@y", "mismatch"},
		{"the next link sees it", "has success=continue : user=carol@y; has default=who=%u", "yes as carol@y who=carol@y", "mismatch"},
		{"and does not if it came with a no", "other : user=carol@y; has default=who=%u", "yes who=bob@x", "yes as carol@y"},
		{"a name that is none", "has : user=", "temporary", "temporary"},
		{"what an earlier passdb said", "has success=continue : a=1; has default=b=%{passdb:a}", "yes a=1 b=1", "mismatch"},

		{"a verifier", "verifier", "yes verified", "mismatch"},
		{"a verifier cannot confirm who is in", "has success=continue; verifier", "nolookup", "mismatch"},
		{"a verifier that denies", "verifier deny; has", "disabled", "mismatch"},
		{"what this version cannot check lets nobody in", "has : check_client_fp=x", "temporary", "temporary"},
		{"delay_until that is no time", "has : delay_until=x", "temporary", "mismatch"},
		{"delay_until in the past", "has : delay_until=5+3", "yes delay_until=5+3", "mismatch"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := links(t, tt.links)
			for password, want := range map[string]string{"right": tt.right, "wrong": tt.wrong} {
				v := &vars.Values{User: "bob@x", Mech: "PLAIN", RemoteIP: "192.0.2.9"}
				if got := outcome(c.Run(context.Background(), Query{Values: v, Password: password})); got != want {
					t.Errorf("%s password: got %q, want %q", password, got, want)
				}
			}
		})
	}
}

func links(t *testing.T, text string) (c Chain) {
	for l := range strings.SplitSeq(text, ";") {
		c.Links = append(c.Links, link(t, strings.TrimSpace(l)))
	}
	return c
}

// TestQuestions: what is asked other than with a password.
func TestQuestions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, links                string
		credentials, entry, fields string
	}{
		{"an entry", "has : a=1", "yes stored {PLAIN}right a=1", "yes a=1", "yes a=1"},
		{"without a password", "empty", "mismatch", "yes", "yes"},
		{"with nopassword", "any", "mismatch", "yes", "yes"},
		{"of another scheme", "empty : password={SSHA}x", "mismatch", "yes", "yes"},
		{"the first password that can be used", "empty; has", "yes stored {PLAIN}right", "yes", "yes"},
		{"nobody", "unknown", "unknown", "unknown", "unknown"},
		{"away", "broken; unknown", "temporary", "temporary", "temporary"},
		{"a verifier knows nothing without a password", "verifier", "nolookup", "nolookup", "nolookup"},
		{"a verifier, and nobody", "verifier; unknown", "nolookup", "nolookup", "nolookup"},
		{"disabled, with what proves it", "disabled", "disabled stored {PLAIN}right", "disabled", "disabled"},
		{"denied, with what proves it", "has deny; has", "disabled stored {PLAIN}right", "disabled", "disabled"},
		{"the first password is the one, whoever agrees", "has success=continue; other", "yes stored {PLAIN}right", "yes", "yes"},
		{"agreed by one without", "has success=continue; empty", "yes stored {PLAIN}right", "yes", "yes"},
		{"for lookups only", "has mech=LOOKUP : l; has : b", "yes stored {PLAIN}right b", "yes l", "yes b"},
		{"for those who are in", "has skip=unauthenticated", "temporary", "temporary", "yes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := links(t, tt.links)
			for want, q := range map[string]Query{
				"c " + tt.credentials: {Want: WantCredentials, Schemes: []string{"SCRAM-SHA-256"}, Values: &vars.Values{User: "bob@x", Mech: "SCRAM-SHA-256"}},
				"e " + tt.entry:       {Want: WantEntry, Values: &vars.Values{User: "bob@x"}},
				"f " + tt.fields:      {Want: WantFields, Values: &vars.Values{User: "bob@x", Mech: "PLAIN"}},
			} {
				if got := want[:2] + outcome(c.Run(context.Background(), q)); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

func TestMasters(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, links, right string }{
		{"a yes is the end", "has : a=1; has : b=2", "yes a=1"},
		{"continue is for the chain of the target", "has success=continue : a=1; has : b=2", "yes and go on a=1"},
		{"fields before the target's", "has : login_user=alice@x", "yes for alice@x"},
		{"return-fail", "has success=return-fail", "mismatch"},
	} {
		c := links(t, tt.links)
		c.Masters = true
		v, err := c.Run(context.Background(), Query{Values: &vars.Values{User: "bob@x", LoginUser: "carol@x", Mech: "PLAIN"}, Password: "right"})
		got := outcome(v, err)
		if v.Login != "carol@x" {
			got += " for " + v.Login
		}
		if got != tt.right {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.right)
		}
	}
}

// again is a cache that has the old password.
type again struct{}

func (again) Lookup(context.Context, *vars.Values) (Entry, error) {
	return Entry{Password: "{PLAIN}old", Again: func(context.Context) (Entry, error) { return Entry{Password: "{PLAIN}right"}, nil }}, nil
}

func TestPasswordChangedSince(t *testing.T) {
	t.Parallel()
	c := Chain{Links: []Link{{Source: again{}}}}
	for password, want := range map[string]string{"right": "yes", "wrong": "mismatch"} {
		if got := outcome(c.Run(context.Background(), Query{Values: &vars.Values{User: "bob@x", Mech: "PLAIN"}, Password: password})); got != want {
			t.Errorf("%s: got %q, want %q", password, got, want)
		}
	}
	q := Query{Values: &vars.Values{User: "bob@x", Mech: "SCRAM-SHA-256"}, Want: WantCredentials, Schemes: []string{"SCRAM-SHA-256"}}
	if v, err := c.Run(context.Background(), q); err != nil || v.Stored != "{PLAIN}right" {
		t.Errorf("credentials: got %q, %v, want those of now", v.Stored, err)
	}
}

func TestNets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, nets, ip string
		want           bool
	}{
		{"without an address", "192.0.2.0/24", "", false},
		{"without an address, with local", "192.0.2.0/24,local", "", true},
		{"inside the net", "10.0.0.0/8 192.0.2.0/24", "192.0.2.9", true},
		{"mapped into IPv6", "192.0.2.0/24", "::ffff:192.0.2.9", true},
		{"outside", "192.0.2.0/24,local", "192.0.3.9", false},
		{"one address", "2001:db8::1", "2001:DB8::1", true},
		{"an item that is none lets nobody in", "192.0.2", "192.0.2.1", false},
		{"an address that is none", "0.0.0.0/0", "x", false},
	} {
		if got := from(tt.nets, tt.ip); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		for _, key := range []string{"allow_nets", "allow_real_nets"} {
			c := Chain{Links: []Link{{Source: one{entry: Entry{NoPassword: true, Fields: field.List{{Key: key, Value: tt.nets}}}}}}}
			v := &vars.Values{User: "bob", RemoteIP: tt.ip, RealRemoteIP: tt.ip}
			if _, err := c.Run(context.Background(), Query{Values: v}); errors.Is(err, userdb.ErrUnknown) == tt.want {
				t.Errorf("%s: %s: got %v", tt.name, key, err)
			}
			if err := c.Exists(context.Background(), v); err != nil {
				t.Errorf("%s: mail for whom cannot log in: got %v", tt.name, err)
			}
		}
	}
}

func TestNoLinks(t *testing.T) {
	t.Parallel()
	if _, err := (Chain{}).Run(context.Background(), Query{Values: &vars.Values{User: "bob"}}); !errors.Is(err, ErrNoLookup) {
		t.Errorf("got %v, want %v", err, ErrNoLookup)
	}
}
