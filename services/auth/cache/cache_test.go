package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/field"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// fake is a source of everything: what it says of a user stands in a map.
type fake struct {
	mu    sync.Mutex
	says  map[string]string // by user: a password, a uid
	err   map[string]error
	down  error
	asked int
	wait  chan struct{} // nil: it answers at once
	uses  func(*vars.Values) string
}

func (f *fake) answer(v *vars.Values) (string, error) {
	f.mu.Lock()
	f.asked++
	said, known := f.says[v.User]
	err := f.err[v.User]
	if f.uses != nil {
		said += f.uses(v)
	}
	wait, down := f.wait, f.down
	f.mu.Unlock()
	if wait != nil {
		<-wait
	}
	switch {
	case down != nil:
		return "", down
	case err != nil:
		return said, err
	case !known:
		return "", userdb.ErrUnknown
	}
	return said, nil
}

func (f *fake) set(user, says string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says[user] = says
}

type passwords struct{ *fake }

func (p passwords) Lookup(_ context.Context, v *vars.Values) (passdb.Entry, error) {
	said, err := p.answer(v)
	return passdb.Entry{Password: "{SSHA512}" + said, Fields: field.List{{Key: "quota", Value: "1G"}}}, err
}

func (p passwords) Verify(_ context.Context, v *vars.Values, secret string) (passdb.Entry, error) {
	said, err := p.answer(v)
	if err == nil && said != secret {
		err = passdb.ErrMismatch
	}
	return passdb.Entry{Password: "{PLAIN}" + secret, Fields: field.List{{Key: "host", Value: "a"}}}, err
}

type users struct{ *fake }

func (u users) Lookup(_ context.Context, v *vars.Values) (field.List, error) {
	said, err := u.answer(v)
	return field.List{{Key: "uid", Value: said}}, err
}
func (u users) Names(*vars.Values) bool { return true }
func (u users) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

var errDown = errors.New("connection refused")

// house is a cache before one source, with a clock that stands still.
type house struct {
	*Cache
	*fake
	now      time.Time
	source   passdb.Source
	verifier passdb.Verifier
	users    userdb.DB
	lines    []string
}

const (
	ttl, negative, stale = time.Hour, time.Minute, 24 * time.Hour
)

func newHouse(templates ...string) *house {
	h := &house{fake: &fake{says: map[string]string{"ann": "1", "bob": "2"}, err: map[string]error{}}, now: time.Unix(1e9, 0)}
	h.Cache = New(Options{Size: 1 << 20, TTL: ttl, Negative: negative, Stale: stale, Now: func() time.Time { return h.now },
		Logf: func(_ logline.Level, _, format string, args ...any) {
			h.lines = append(h.lines, fmt.Sprintf(format, args...))
		}})
	var ts []vars.Template
	for _, text := range templates {
		t, err := vars.Parse(text)
		if err != nil {
			panic(err)
		}
		ts = append(ts, t)
	}
	h.source = h.Source("sql", ts, passwords{h.fake})
	h.verifier = h.Verifier("sql", ts, passwords{h.fake})
	h.users = h.DB("sql", ts, users{h.fake})
	return h
}

// Each of these says in one word what an answer was.
func (h *house) password(user string) string {
	e, err := h.source.Lookup(context.Background(), &vars.Values{User: user, Service: "lmtp"})
	return said(strings.TrimPrefix(e.Password, "{SSHA512}"), err)
}

func (h *house) verify(user, secret string) string {
	_, err := h.verifier.Verify(context.Background(), &vars.Values{User: user, Service: "lmtp"}, secret)
	return said("yes", err)
}

func (h *house) user(service, user string) string {
	l, err := h.users.Lookup(context.Background(), &vars.Values{User: user, Service: service})
	uid, _ := l.Get("uid")
	return said(uid, err)
}

func said(value string, err error) string {
	switch {
	case err == nil:
		return value
	case errors.Is(err, userdb.ErrUnknown):
		return "unknown"
	case errors.Is(err, passdb.ErrMismatch):
		return "mismatch"
	case errors.Is(err, passdb.ErrDisabled):
		return "disabled"
	}
	return "later"
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		do    func(h *house) string
		want  string
		asked int
	}{
		{"an answer is kept", func(h *house) string { h.user("imap", "ann"); h.set("ann", "7"); return h.user("imap", "ann") }, "1", 1},
		{"for its time", func(h *house) string {
			h.user("imap", "ann")
			h.set("ann", "7")
			h.now = h.now.Add(ttl)
			return h.user("imap", "ann")
		}, "7", 2},
		{"that there is no such user, for another", func(h *house) string {
			h.user("imap", "cyd")
			h.set("cyd", "3")
			h.now = h.now.Add(negative - 1)
			return h.user("imap", "cyd")
		}, "unknown", 1},
		{"and no longer", func(h *house) string {
			h.user("imap", "cyd")
			h.set("cyd", "3")
			h.now = h.now.Add(negative)
			return h.user("imap", "cyd")
		}, "3", 2},
		{"a failure is not kept", func(h *house) string {
			h.down = errDown
			h.user("imap", "ann")
			h.down = nil
			return h.user("imap", "ann")
		}, "1", 2},
		{"what the source says of one user, but not that he is known or unknown, is not kept either", func(h *house) string {
			h.err["ann"] = &userdb.Refused{Reason: "moving"}
			h.user("imap", "ann")
			delete(h.err, "ann")
			return h.user("imap", "ann")
		}, "1", 2},

		{"a delivery goes on while the source is down", func(h *house) string {
			h.user("doveadm", "ann")
			h.now, h.down = h.now.Add(ttl+stale-1), errDown
			return h.user("lmtp", "ann")
		}, "1", 2},
		{"one by lda too", func(h *house) string {
			h.user("lda", "ann")
			h.now, h.down = h.now.Add(ttl), errDown
			return h.user("lda", "ann")
		}, "1", 2},
		{"not for ever", func(h *house) string {
			h.user("lmtp", "ann")
			h.now, h.down = h.now.Add(ttl+stale), errDown
			return h.user("lmtp", "ann")
		}, "later", 2},
		{"others wait until it is back", func(h *house) string {
			h.user("imap", "ann")
			h.now, h.down = h.now.Add(ttl), errDown
			return h.user("imap", "ann")
		}, "later", 2},
		{"a delivery to who was unknown is temporary, not refused", func(h *house) string {
			h.user("lmtp", "cyd")
			h.now, h.down = h.now.Add(negative), errDown
			return h.user("lmtp", "cyd")
		}, "later", 2},
		{"as is one to who was never asked for", func(h *house) string { h.down = errDown; return h.user("lmtp", "ann") }, "later", 1},
		{"a source that is back is believed", func(h *house) string {
			h.user("lmtp", "ann")
			h.now, h.down = h.now.Add(ttl), errDown
			h.user("lmtp", "ann")
			delete(h.says, "ann")
			h.down = nil
			return h.user("lmtp", "ann")
		}, "unknown", 3},
		{"and what it said before is not remembered beyond that", func(h *house) string {
			h.user("lmtp", "ann")
			h.now = h.now.Add(ttl)
			delete(h.says, "ann")
			h.user("lmtp", "ann")
			h.now, h.down = h.now.Add(negative), errDown
			return h.user("lmtp", "ann")
		}, "later", 3},
		{"nor after the entry has said no", func(h *house) string {
			h.user("lmtp", "ann")
			h.now, h.err["ann"] = h.now.Add(ttl), &userdb.Refused{}
			h.user("lmtp", "ann")
			h.down = errDown
			return h.user("lmtp", "ann")
		}, "later", 3},

		{"a password's entry is kept", func(h *house) string { h.password("ann"); h.set("ann", "7"); return h.password("ann") }, "1", 1},
		{"but never stale, whatever the service is called", func(h *house) string {
			h.password("ann")
			h.now, h.down = h.now.Add(ttl), errDown
			return h.password("ann")
		}, "later", 2},
		{"who is disabled is asked for each time", func(h *house) string {
			h.password("ann")
			h.now, h.err["ann"] = h.now.Add(ttl), passdb.ErrDisabled
			h.password("ann")
			return h.password("ann")
		}, "disabled", 3},

		{"a password that was proved is known", func(h *house) string { h.verify("ann", "1"); h.down = errDown; return h.verify("ann", "1") }, "yes", 1},
		{"another one goes to the source", func(h *house) string { h.verify("ann", "1"); return h.verify("ann", "7") }, "mismatch", 2},
		{"and the right one stays known", func(h *house) string {
			h.verify("ann", "1")
			h.verify("ann", "7")
			h.down = errDown
			return h.verify("ann", "1")
		}, "yes", 2},
		{"a new password works at once", func(h *house) string { h.verify("ann", "1"); h.set("ann", "7"); return h.verify("ann", "7") }, "yes", 2},
		{"after a failed try as well", func(h *house) string {
			h.verify("ann", "7")
			h.set("ann", "7")
			return h.verify("ann", "7")
		}, "yes", 2},
		{"and ends the old one", func(h *house) string {
			h.verify("ann", "1")
			h.set("ann", "7")
			h.verify("ann", "7")
			return h.verify("ann", "1")
		}, "mismatch", 3},
		{"one user's password proves nothing of another's", func(h *house) string { h.verify("ann", "1"); return h.verify("bob", "1") }, "mismatch", 2},
		{"a proof is never stale", func(h *house) string {
			h.verify("ann", "1")
			h.now, h.down = h.now.Add(ttl), errDown
			return h.verify("ann", "1")
		}, "later", 2},
		{"a proof that the source takes back", func(h *house) string {
			h.verify("ann", "1")
			h.now = h.now.Add(ttl)
			h.set("ann", "7")
			h.verify("ann", "1")
			return h.verify("ann", "1")
		}, "mismatch", 3},

		{"flushed", func(h *house) string {
			h.user("imap", "ann")
			h.Flush()
			h.set("ann", "7")
			return h.user("imap", "ann")
		}, "7", 2},
		{"flushed by mask", func(h *house) string {
			h.user("imap", "ann")
			h.Flush("x", "A*")
			h.set("ann", "7")
			return h.user("imap", "ann")
		}, "7", 2},
		{"flushed for others", func(h *house) string {
			h.user("imap", "ann")
			h.Flush("bob")
			h.set("ann", "7")
			return h.user("imap", "ann")
		}, "1", 1},
		{"a clock that was set back", func(h *house) string {
			h.user("imap", "ann")
			h.now = h.now.Add(-time.Hour)
			h.set("ann", "7")
			return h.user("imap", "ann")
		}, "7", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse("%u")
			if got := tt.do(h); got != tt.want || h.asked != tt.asked {
				t.Errorf("got %q after asking the source %d times, want %q and %d", got, h.asked, tt.want, tt.asked)
			}
		})
	}
}

func TestKeyHasAllThatALookupUses(t *testing.T) {
	t.Parallel()
	base := vars.Values{User: "ann@x", Service: "imap", LocalIP: "::1", RemoteIP: "::2", LPort: "143", RPort: "9", Session: "s"}
	for _, tt := range []struct {
		name      string
		templates []string
		change    func(v *vars.Values)
		other     bool // it is another question then
	}{
		{"the user", nil, func(v *vars.Values) { v.User = "bob@x" }, true},
		{"the user's domain, where the template has the name alone", []string{"%n"}, func(v *vars.Values) { v.User = "ann@y" }, true},
		{"the service", []string{"%u", "%s"}, func(v *vars.Values) { v.Service = "pop3" }, true},
		{"the client's address", []string{"select x where ip = '%{rip}'"}, func(v *vars.Values) { v.RemoteIP = "::3" }, true},
		{"where it was called", []string{"%l:%a"}, func(v *vars.Values) { v.LPort = "993" }, true},
		{"what is in no template", []string{"%u"}, func(v *vars.Values) { v.Service, v.RemoteIP, v.Session = "pop3", "::3", "t" }, false},
		{"a border between two values", []string{"%s", "%l"}, func(v *vars.Values) { v.Service, v.LocalIP = "imap:", ":1" }, true},
		{"and one with a TAB", []string{"%s", "%l"}, func(v *vars.Values) { v.Service, v.LocalIP = "imap\t::1", "" }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(tt.templates...)
			v := base
			tt.change(&v)
			h.says = map[string]string{"ann@x": "1", "ann@y": "1", "bob@x": "1"}
			for _, v := range []*vars.Values{&base, &v, &base} {
				if _, err := h.source.Lookup(context.Background(), v); err != nil {
					t.Fatal(err)
				}
			}
			if other := h.asked == 2; other != tt.other {
				t.Errorf("the source was asked %d times", h.asked)
			}
		})
	}
}

func TestBlocksAreKeptApart(t *testing.T) {
	t.Parallel()
	h := newHouse()
	other := &fake{says: map[string]string{"ann": "9"}}
	second := h.Source("ldap", nil, passwords{other})
	h.password("ann")
	e, err := second.Lookup(context.Background(), &vars.Values{User: "ann"})
	if err != nil || e.Password != "{SSHA512}9" {
		t.Errorf("got %q, %v, want the second block's", e.Password, err)
	}
	if got := h.user("imap", "ann"); got != "1" || h.asked != 2 {
		t.Errorf("userdb of the same name: got %q after %d questions", got, h.asked)
	}
	if got := h.verify("ann", "1"); got != "yes" || h.asked != 3 {
		t.Errorf("verifier of the same name: got %q after %d questions", got, h.asked)
	}
}

func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		entry passdb.Entry
		kept  bool
	}{
		{passdb.Entry{Password: "{ARGON2ID}$argon2id$"}, true},
		{passdb.Entry{Password: "{ssha.b64}xx"}, true},
		{passdb.Entry{Password: "{SCRAM-SHA-256}4096,"}, true},
		{passdb.Entry{NoPassword: true}, true},
		{passdb.Entry{}, true},
		{passdb.Entry{Password: "$6$salt$hash"}, true},
		{passdb.Entry{Password: "$ecret"}, false},
		{passdb.Entry{Password: "{PLAIN}secret"}, false},
		{passdb.Entry{Password: "{PLAIN.b64}c2VjcmV0"}, false},
		{passdb.Entry{Fields: field.List{{Key: "tempfail", Bare: true}}}, false},
		{passdb.Entry{Password: "{SHA1}xx"}, false},
		{passdb.Entry{Password: "{CRAM-MD5}xx"}, false},
		{passdb.Entry{Password: "{MADE-UP}xx"}, false},
		{passdb.Entry{Password: "secret"}, false},
		{passdb.Entry{Fields: field.List{{Key: "pass", Value: "secret"}}}, false},
		{passdb.Entry{Fields: field.List{{Key: "userdb_imapc_Password", Value: "secret"}}}, false},
	} {
		if got := sizeOfEntry(tt.entry) >= 0; got != tt.kept {
			t.Errorf("%+v: kept %t, want %t", tt.entry, got, tt.kept)
		}
	}
	h := newHouse("%u")
	h.set("ann", "hunter2")
	if got := h.verify("ann", "hunter2"); got != "yes" {
		t.Fatal(got)
	}
	for key, place := range h.entries {
		if all := fmt.Sprintf("%q %+v", key, place.Value.(*entry).value); strings.Contains(all, "hunter2") {
			t.Errorf("the password is in %s", all)
		}
	}
	if len(h.entries) != 1 {
		t.Errorf("%d entries, want one", len(h.entries))
	}
}

func TestAgainGoesToTheSource(t *testing.T) {
	t.Parallel()
	h := newHouse()
	ask := func() passdb.Entry {
		e, err := h.source.Lookup(context.Background(), &vars.Values{User: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if ask().Again != nil {
		t.Error("an entry of just now can be had again")
	}
	h.now = h.now.Add(recheck - 1)
	if ask().Again != nil {
		t.Error("one of less than a second ago too")
	}
	h.now = h.now.Add(1)
	e := ask()
	h.set("ann", "7")
	if e.Again == nil {
		t.Fatal("an old entry cannot be had again")
	}
	e, err := e.Again(context.Background())
	if err != nil || e.Password != "{SSHA512}7" || e.Again != nil {
		t.Errorf("got %+v, %v, want the new password", e, err)
	}
	if got := ask(); got.Password != "{SSHA512}7" || h.asked != 2 {
		t.Errorf("then got %q after %d questions, want it kept", got.Password, h.asked)
	}
}

func TestCallersDoNotShareFields(t *testing.T) {
	t.Parallel()
	h := newHouse()
	v := &vars.Values{User: "ann"}
	for range 3 {
		e, _ := h.source.Lookup(context.Background(), v)
		l, _ := h.users.Lookup(context.Background(), v)
		if e.Fields[0].Key != "quota" || l[0].Key != "uid" {
			t.Fatalf("got %v and %v", e.Fields, l)
		}
		e.Fields[0].Key, l[0].Key = "mine", "mine"
	}
}

func TestConcurrentQuestionsAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		h.wait = make(chan struct{})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if got := h.user("lmtp", "ann"); got != "1" {
					t.Errorf("got %q", got)
				}
			})
		}
		ctx, cancel := context.WithCancel(context.Background())
		all.Go(func() {
			if _, err := h.users.Lookup(ctx, &vars.Values{User: "ann"}); !errors.Is(err, context.Canceled) {
				t.Errorf("who has left got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(h.wait)
		all.Wait()
		if h.asked != 1 || len(h.flights) != 0 {
			t.Errorf("the source was asked %d times, and %d are under way, want 1 and 0", h.asked, len(h.flights))
		}
	})
}

func TestFlushWhileTheSourceIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse()
		wait := make(chan struct{})
		h.wait = wait
		go h.user("imap", "ann")
		synctest.Wait()
		h.fake.mu.Lock()
		h.wait = nil
		h.fake.mu.Unlock()
		h.set("ann", "7")
		h.Flush("ann")
		close(wait)
		synctest.Wait()
		if got := h.user("imap", "ann"); got != "7" {
			t.Errorf("got %q, which was asked for before the flush", got)
		}
	})
}

func TestDeliveriesFromMemoryAreToldOnce(t *testing.T) {
	t.Parallel()
	h := newHouse()
	for range 2 {
		h.down = nil
		h.user("lmtp", "ann")
		h.now, h.down = h.now.Add(ttl), errDown
		for range 3 {
			h.user("lmtp", "ann")
			h.user("lmtp", "cyd")
		}
	}
	if len(h.lines) != 2 || !strings.Contains(h.lines[0], `userdb "sql" fails: deliveries go on`) {
		t.Errorf("logged %q, want one line for each outage", h.lines)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	h := newHouse()
	h.user("imap", "ann")
	h.user("imap", "ann")
	h.user("imap", "cyd")
	h.password("bob")
	s := h.Status()
	if s.Hits != 1 || s.Misses != 3 || s.Positive != 2 || s.Negative != 1 || s.MaxSize != 1<<20 ||
		s.UsedSize != s.PositiveSize+s.NegativeSize || s.NegativeSize < overhead || s.PositiveSize < 2*overhead {
		t.Errorf("got %+v", s)
	}
	h.ResetStatus()
	if n := h.Flush(); n != 3 {
		t.Errorf("flushed %d, want 3", n)
	}
	if s := h.Status(); s != (Status{MaxSize: 1 << 20}) {
		t.Errorf("after a flush got %+v", s)
	}
}

func TestNoCache(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	p, u := passwords{&fake{}}, users{&fake{}}
	if c.Source("a", nil, p) != passdb.Source(p) || c.DB("a", nil, u) != userdb.DB(u) || c.Verifier("a", nil, p) != passdb.Verifier(p) || c.Flush() != 0 {
		t.Error("a cache of size 0 stands in the way")
	}
}

func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	h := newHouse()
	h.Options.Size = 20 * (overhead + 100)
	for i := range 100 {
		user := fmt.Sprint("user", i)
		h.set(user, strings.Repeat("x", i))
		h.user("imap", user)
		h.user("imap", "ann") // who is asked for often stays
		if s := h.Status(); s.UsedSize > h.Options.Size || s.Positive < min(int64(i), 15) {
			t.Fatalf("after %d: %+v", i, s)
		}
	}
	h.set("ann", "7")
	if got := h.user("imap", "ann"); got != "1" {
		t.Errorf("ann, who was asked for each time, is gone")
	}
	h.set("big", strings.Repeat("x", 1<<20))
	if h.user("imap", "big"); h.Status().Positive < 15 {
		t.Error("an answer larger than the cache has emptied it")
	}
}

// The heap may not hold more than what the cache says that it does.
func TestSizeIsHonest(t *testing.T) {
	const size = 10 << 20
	h := newHouse("%u", "%s")
	h.Options.Size = size
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := 0; h.Status().UsedSize < size-1000; i++ {
		user := fmt.Sprintf("user%d@example.org", i)
		h.fake.says = map[string]string{user: fmt.Sprintf("hash of %d and some salt, forty bytes long", i)}
		h.password(user)
	}
	after := heap()
	h.fake.says = nil
	if grown := after - before; grown > size {
		t.Errorf("%d entries that count as %d bytes hold %d", h.Status().Positive, h.Status().UsedSize, grown)
	} else {
		t.Logf("%d entries that count as %d bytes hold %d", h.Status().Positive, h.Status().UsedSize, grown)
	}
	runtime.KeepAlive(h)
}
