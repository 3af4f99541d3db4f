package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/attempt"
	"culver/services/auth/cache"
	"culver/services/auth/field"
	"culver/services/auth/guard"
	"culver/services/auth/rule"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// remote is a source that may be slow, down, or hang for good.
type remote struct {
	mu   sync.Mutex
	err  error
	hang bool
	name string // whom it knows
}

func (r *remote) Lookup(_ context.Context, v *vars.Values) (field.List, error) {
	r.mu.Lock()
	hang, err := r.hang, r.err
	r.mu.Unlock()
	switch {
	case hang:
		time.Sleep(time.Hour) // whatever its context says
	case err != nil:
		return nil, err
	case v.User != r.name:
		return nil, userdb.ErrUnknown
	}
	return field.List{{Key: "uid", Value: "5000"}, {Key: "gid", Value: "5000"}, {Key: "home", Value: "/srv/" + v.User}}, nil
}

func (r *remote) Names(*vars.Values) bool { return false }

func (r *remote) Each(context.Context, func(string) (string, bool), func(string) error) error {
	return userdb.ErrNoList
}

func (r *remote) become(hang bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hang, r.err = hang, err
}

// slowHouse is a server with two remote sources, each guarded and cached, and one
// connection to it.
type slowHouse struct {
	*Server
	ldap, sql *remote
	conn      net.Conn
	r         *bufio.Reader
	ids       int
}

func newSlowHouse(t *testing.T) *slowHouse {
	h := &slowHouse{ldap: &remote{name: "ann@ldap"}, sql: &remote{name: "bob@sql"}}
	logf := func(logline.Level, string, string, ...any) {}
	h.Server = &Server{Judge: &attempt.Judge{}, Logf: logf, Slow: true, Clients: 10, Cache: cache.New(cache.Options{
		Size: 1 << 20, TTL: time.Hour, Negative: time.Minute, Stale: 24 * time.Hour, Now: time.Now, Logf: logf,
	})}
	h.Names.Format, _ = vars.Parse("%u")
	key, _ := vars.Parse("%u")
	for name, r := range map[string]*remote{"ldap": h.ldap, "sql": h.sql} {
		db := guard.DB(r, guard.Options{Name: "userdb " + name, Timeout: 5 * time.Second, Logf: logf})
		link := userdb.Link{Name: name, DB: h.Cache.DB(name, []vars.Template{key}, db)}
		link.Filter = rule.ParseFilter([]string{"*@" + name})
		h.Users.Links = append(h.Users.Links, link)
	}
	ours, theirs := net.Pipe()
	h.ServeConn(theirs)
	h.conn, h.r = ours, bufio.NewReader(ours)
	h.line()
	h.line()
	fmt.Fprint(h.conn, "VERSION\t1\t0\n")
	t.Cleanup(func() { ours.Close() })
	return h
}

func (h *slowHouse) line() string {
	line, err := h.r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return strings.TrimSuffix(line, "\n")
}

func (h *slowHouse) send(user, service string) {
	h.ids++
	fmt.Fprintf(h.conn, "USER\t%d\t%s\tservice=%s\n", h.ids, user, service)
}

// ask gives the verb of the answer, and how long it took.
func (h *slowHouse) ask(user, service string) string {
	began := time.Now()
	h.send(user, service)
	verb, _, _ := strings.Cut(h.line(), "\t")
	return fmt.Sprintf("%s after %v", verb, time.Since(began))
}

func TestASlowSourceHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newSlowHouse(t)
		h.ldap.become(true, nil)
		began := time.Now()
		h.send("ann@ldap", "imap")
		h.send("bob@sql", "imap")
		h.send("bob@sql", "lmtp")
		var got []string
		for range 3 {
			id := strings.Join(strings.SplitN(h.line(), "\t", 3)[:2], " ")
			got = append(got, fmt.Sprintf("%s after %v", id, time.Since(began)))
		}
		// The two of bob in either order, and ann's when its time is over.
		if got[0] > got[1] {
			got[0], got[1] = got[1], got[0]
		}
		if fmt.Sprint(got) != "[USER 2 after 0s USER 3 after 0s FAIL 1 after 5s]" {
			t.Errorf("got %q", got)
		}
		h.conn.Close()
		time.Sleep(2 * time.Hour) // the lookup that hung comes back
		h.ldap.become(false, nil)
	})
}

func TestDeliveriesOutliveTheirSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newSlowHouse(t)
		for _, step := range []struct {
			what          string
			do            func()
			user, service string
			want          string
		}{
			{"all is well", func() {}, "ann@ldap", "lmtp", "USER after 0s"},
			{"nobody", func() {}, "eve@ldap", "lmtp", "NOTFOUND after 0s"},
			{"the server is down, and what is known is young", func() { h.ldap.become(false, errors.New("connection refused")) }, "ann@ldap", "imap", "USER after 0s"},
			{"it is old, and a delivery goes on", func() { time.Sleep(2 * time.Hour) }, "ann@ldap", "lmtp", "USER after 0s"},
			{"but nobody reads mail by it", func() {}, "ann@ldap", "imap", "FAIL after 0s"},
			{"who was unknown may exist by now", func() {}, "eve@ldap", "lmtp", "FAIL after 0s"},
			{"another source is there", func() {}, "bob@sql", "lmtp", "USER after 0s"},
			{"the breaker is open: a delivery goes on", func() {
				for i := range 10 {
					h.ask(fmt.Sprintf("u%d@ldap", i), "imap")
				}
			}, "ann@ldap", "lmtp", "USER after 0s"},
			{"others hear of it at once", func() {}, "fay@ldap", "lmtp", "FAIL after 0s"},
			{"days later even a delivery waits", func() { time.Sleep(24 * time.Hour) }, "ann@ldap", "lmtp", "FAIL after 0s"},
			{"it is back, and was tried", func() {
				h.ldap.become(false, nil)
				time.Sleep(time.Minute)
			}, "ann@ldap", "lmtp", "USER after 0s"},
			{"and nobody is nobody again", func() {}, "eve@ldap", "lmtp", "NOTFOUND after 0s"},
		} {
			step.do()
			if got := h.ask(step.user, step.service); got != step.want {
				t.Errorf("%s: got %q, want %q", step.what, got, step.want)
			}
		}
		fmt.Fprint(h.conn, "CACHE-FLUSH\t99\tANN@*\teve@ldap\n")
		if got := h.line(); got != "OK\t99\t2" {
			t.Errorf("flushed: got %q, want ann and eve", got)
		}
		h.conn.Close()
	})
}
