package userdb

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"culver/services/auth/accounts"
	"culver/services/auth/field"
	"culver/services/auth/passwdfile"
	"culver/services/auth/rule"
	"culver/services/auth/vars"
)

// one is a source with one answer.
type one struct {
	fields field.List
	err    error
}

func (o one) Lookup(context.Context, *vars.Values) (field.List, error) { return o.fields, o.err }
func (o one) Names(*vars.Values) bool                                  { return o.err == nil }
func (o one) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return ErrNoList
}

func list(text string) (l field.List) {
	for f := range strings.FieldsSeq(text) {
		l = append(l, field.Cut(f))
	}
	return l
}

var errBroken = errors.New("broken")

// link reads a link from words: its answer and settings, and fields after a colon.
func link(t *testing.T, text string) Link {
	t.Helper()
	settings, fields, _ := strings.Cut(text, " : ")
	words := strings.Fields(settings)
	l := Link{Name: words[0]}
	templates, err := field.ParseTemplates(strings.Fields(fields))
	if err != nil {
		t.Fatal(err)
	}
	switch words[0] {
	case "has":
		l.DB = one{fields: list(fields)}
	case "unknown":
		l.DB = one{err: ErrUnknown}
	case "broken":
		l.DB = one{err: errBroken}
	case "prefetch":
		l.DB = Prefetch{}
	case "template":
		l.DB = &Static{Fields: templates, Users: nobody{}}
	case "anybody":
		l.DB = &Static{Fields: templates}
	default:
		t.Fatalf("no answer %q", words[0])
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
			l.Skip = map[string]Skip{"found": Found, "notfound": NotFound}[value]
		case "filter":
			l.Filter = rule.ParseFilter([]string{value})
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

// nobody says that there is no such user.
type nobody struct{}

func (nobody) Exists(context.Context, *vars.Values) error { return ErrUnknown }
func (nobody) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return ErrNoList
}

func outcome(f field.List, err error) string {
	var refused *Refused
	switch {
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case errors.As(err, &refused):
		return "refused " + refused.Reason
	case err != nil:
		return "temporary"
	}
	return strings.Join(f.Wire(), " ")
}

// TestChain: the links of a row are separated by semicolons. ME is "uid=7 gid=8".
func TestChain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("mail:x:5000:5001::/:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	owner := "uid=" + strconv.Itoa(os.Getuid()) + " gid=" + strconv.Itoa(os.Getgid())
	if os.Getuid() == 0 {
		owner = "temporary" // root's files are nobody's mail
	}
	for _, tt := range []struct{ name, links, passed, want string }{
		{"one source", "has : ME home=/h a=1", "", "ME home=/h a=1"},
		{"ids and home come first", "has : a=1 home=/h gid=8 uid=7", "", "ME home=/h a=1"},
		{"nobody there", "unknown; unknown", "", "unknown"},
		{"away", "broken", "", "temporary"},
		{"away, but known to the next", "broken; has : ME", "", "ME"},
		{"away, and not known to the next", "broken; unknown", "", "temporary"},
		{"the first one ends it", "has : ME a=1; has : ME b=2", "", "ME a=1"},
		{"without ids", "has : a=1", "", "temporary"},
		{"without ids, and the next has them", "has : a=1; has : ME b=2", "", "ME b=2"},
		{"ids by name", "has : uid=mail gid=5001", "", "uid=5000 gid=5001"},
		{"a name that is none", "has : uid=nobody gid=5001", "", "temporary"},
		{"root", "has : uid=0 gid=5001", "", "temporary"},
		{"tempfail", "has : ME tempfail reason=later", "", "refused later"},
		{"fields of two that go on", "has success=continue-ok : a=1 c=1; has : ME b=2 c=2", "", "ME a=1 c=2 b=2"},
		{"the second gives what is not there yet", "has success=continue-ok : ME a=1; has : a:default=2 b:default=2", "", "ME a=1 b=2"},
		{"and takes away", "has success=continue-ok : ME a=1 b=1; has : a:remove", "", "ME b=1"},
		{"continue-ok, and the next does not know", "has success=continue-ok : ME; unknown", "", "ME"},
		{"continue, and the next does not know", "has success=continue : ME; unknown", "", "unknown"},
		{"continue, and no next one: nobody bounces by a mistake", "has success=continue : ME", "", "temporary"},
		{"return-fail", "has success=return-fail : ME", "", "temporary"},
		{"no rule makes a yes of a no", "unknown failure=return-ok", "", "unknown"},
		{"a failure that ends it", "broken internal=return; has : ME", "", "temporary"},
		{"fields of one that says no are gone", "has success=continue-ok : ME a=1; broken default=b=1", "", "ME a=1"},
		{"skip=found", "has success=continue-ok : ME; has skip=found : a=1", "", "ME"},
		{"skip=notfound", "unknown; has skip=notfound : ME", "", "unknown"},
		{"skip=notfound, found", "has success=continue-ok : ME; has skip=notfound : a=1", "", "ME a=1"},
		{"other names", "has filter=*@y : ME", "", "unknown"},
		{"defaults give way, overrides do not", "has default=a=1 override=b=1 : ME a=2 b=2", "", "ME a=2 b=1"},
		{"default ids", "has default=uid=7 override=gid=8", "", "ME"},
		{"what an earlier one said", "has success=continue-ok : ME a=1; has default=b=%{userdb:a} : c=1", "", "ME a=1 b=1 c=1"},
		{"what the passdb said", "has default=b=%{passdb:p} : ME", "p=1", "ME b=1"},
		{"another name", "has : ME user=carol@y", "", "ME user=carol@y"},
		{"another domain, for the next too", "has success=continue-ok : ME domain=y; has default=who=%u : a=1", "", "ME who=bob@y a=1 user=bob@y"},
		{"a name that is none", "has : ME user=", "", "temporary"},
		{"userdb_import", "has : userdb_import=uid=7 gid=8", "", "ME"},
		{"system_user is the older word", "has : ME system_user=mail", "", "ME system_groups_user=mail"},
		{"the owner of a file", "has : uidgid_file=FILE", "", owner},
		{"of a file that is not there", "has : uidgid_file=/nonexistent ME", "", "temporary"},
		{"fields of the login come first", "has : ME b=2", "userdb_a=1 userdb_b=1 c=1", "ME a=1 b=2"},
		{"prefetch at a login", "prefetch; unknown", "userdb_uid=7 userdb_gid=8", "ME"},
		{"prefetch at a login that says nothing", "prefetch; has : ME a=1", "c=1", "ME a=1"},
		{"prefetch for all others", "prefetch; has : ME", "", "ME"},
		{"prefetch alone is no reason to bounce", "prefetch", "", "temporary"},
		{"prefetch, and unknown", "prefetch; unknown", "", "unknown"},
		{"a template, for who exists", "template : ME x=%n", "", "unknown"},
		{"a template, for who has logged in", "template : ME x=%n", "p=1", "ME x=bob"},
		{"a template for all", "anybody : ME home=/srv/%d/%n", "", "ME home=/srv/x/bob"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fill := strings.NewReplacer("ME", "uid=7 gid=8", "FILE", file).Replace
			c := Chain{IDs: IDs{Users: &accounts.Table{Path: file}, Groups: &accounts.Table{Path: file}}}
			for l := range strings.SplitSeq(fill(tt.links), ";") {
				c.Links = append(c.Links, link(t, strings.TrimSpace(l)))
			}
			v := &vars.Values{User: "bob@x"}
			ask := func() (field.List, error) { return c.Lookup(context.Background(), v) }
			if tt.passed != "" {
				ask = func() (field.List, error) { return c.Login(context.Background(), v, list(tt.passed)) }
			}
			if got := outcome(ask()); got != fill(tt.want) {
				t.Errorf("got %q, want %q", got, fill(tt.want))
			}
			if v.User != "bob@x" {
				t.Errorf("the question became %q", v.User)
			}
		})
	}
}

func TestPasswd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "passwd")
	const text = "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\nbob:x:1001:5::/home/bob:\nnobody:x:65534:65534::/:\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := passwdfile.NewSource(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := Chain{
		IDs:   IDs{Users: &accounts.Table{Path: path}, Groups: &accounts.Table{Path: path}},
		Links: []Link{{DB: &Passwd{File: file, Valid: Range{FirstUID: 500, LastUID: 60000, FirstGID: 1}}}},
	}
	for user, want := range map[string]string{
		"alice": "uid=1000 gid=1000 home=/home/alice system_groups_user=alice",
		"bob":   "uid=1001 gid=5 home=/home/bob system_groups_user=bob",
		"root":  "temporary", "carol": "unknown",
	} {
		if got := outcome(c.Lookup(context.Background(), &vars.Values{User: user})); got != want {
			t.Errorf("%s: got %q, want %q", user, got, want)
		}
	}
	var names []string
	err = c.Each(context.Background(), func(n string) (string, bool) { return n, true },
		func(n string) *vars.Values { return &vars.Values{User: n} },
		func(n string) error { names = append(names, n); return nil })
	if got := strings.Join(names, " "); err != nil || got != "alice bob" {
		t.Errorf("listed %q, %v, want only those whose ids a mail user may have", got, err)
	}
}
