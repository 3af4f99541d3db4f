package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/internal/settings/finished"
	"culver/services/auth/userdb"
)

// answer puts a lookup's outcome in one word or line.
func answer(u authproto.User, err error) string {
	var temp *authproto.Tempfail
	switch {
	case err == authproto.ErrNotFound:
		return "unknown"
	case errors.As(err, &temp) && temp.Err == nil:
		return "later"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%s %d %d %s %v", u.Name, u.UID, u.GID, u.Home, u.Fields)
}

func names(t *testing.T, c *authproto.Client) (all []string, err error) {
	t.Helper()
	err = c.List(context.Background(), "*", authproto.Params{}, func(n string) error { all = append(all, n); return nil })
	return all, err
}

func TestDatabases(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("alice:x:7000:7000::/other::\ncarol:x:7001:7000::/c::\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	domains := t.TempDir()
	if err := os.WriteFile(filepath.Join(domains, "example.com"), []byte("dora:x:8000:8000::/d::\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const users = "alice:x:5000:5001::/a::\nbob:x\nroot:x:0:0::/r::\nu:x:5000:5001::/u::user=z userdb_user=other\n"
	for _, tt := range []struct {
		name string
		set  finished.Bag
		ask  map[string]string
		list string // "" where it fails
	}{
		{"passwd-file as passdb is the userdb too", nil,
			map[string]string{"alice": "alice 5000 5001 /a map[]", "bob": "later", "root": "later", "nobody": "unknown", "u": "other 5000 5001 /u map[]"},
			"alice u"},
		{"defaults give what the line leaves out", finished.Bag{
			"passdb/0/default_fields": "uid=6000\tgid=6001\thome=/vmail/%n\tx=1", "passdb/0/override_fields": "x=2"},
			map[string]string{"alice": "alice 5000 5001 /a map[x:2]", "bob": "bob 6000 6001 /vmail/bob map[x:2]", "root": "later"},
			"alice bob u"},
		{"accounts by name", finished.Bag{"passdb/0/override_fields": "uid=daemon\tgid=daemon"},
			map[string]string{"alice": "alice 1 1 /a map[]"}, "alice bob root u"},
		{"the account root by name", finished.Bag{"passdb/0/override_fields": "uid=root\tgid=root"},
			map[string]string{"alice": "later"}, "-"},
		{"static asks the passdbs who exists", finished.Bag{
			"userdb/count": "1", "userdb/0/driver": "static", "userdb/0/fields": "uid=900\tgid=901\thome=/srv/%d/%n"},
			map[string]string{"alice": "alice 900 901 /srv//alice map[]", "bob": "bob 900 901 /srv//bob map[]", "nobody": "unknown"},
			"alice bob root u"},
		{"static for all users", finished.Bag{
			"userdb/count": "1", "userdb/0/driver": "static", "userdb/0/args": "uid=900 gid=901 home=/srv/%d/%n allow_all_users=yes"},
			map[string]string{"x@d": "x@d 900 901 /srv/d/x map[]", "..@d": "later"}, ""},
		{"two passwd-files, the first counts, each user once", finished.Bag{
			"userdb/count": "2", "userdb/0/driver": "passwd-file", "userdb/0/path": "USERS",
			"userdb/1/driver": "passwd-file", "userdb/1/path": other},
			map[string]string{"alice": "alice 5000 5001 /a map[]", "carol": "carol 7001 7000 /c map[]", "bob": "later", "nobody": "unknown"},
			"alice u carol"},
		{"one source missing makes nobody unknown", finished.Bag{
			"userdb/count": "2", "userdb/0/driver": "passwd-file", "userdb/0/path": "/nonexistent/users",
			"userdb/1/driver": "passwd-file", "userdb/1/path": other},
			map[string]string{"carol": "carol 7001 7000 /c map[]", "nobody": "later"}, ""},
		{"names without their domain in the file", finished.Bag{"passdb/0/username_format": "%n"},
			map[string]string{"alice@anywhere": "alice@anywhere 5000 5001 /a map[]"}, "alice u"},
		{"a realm for names without one", finished.Bag{"passdb/0/args": "username_format=%n", "auth_default_realm": "example.org"},
			map[string]string{"alice": "alice@example.org 5000 5001 /a map[]"}, "alice@example.org u@example.org"},
		{"a file per domain", finished.Bag{"passdb/0/path": domains + "/%d", "passdb/0/username_format": "%n"},
			map[string]string{"dora@example.com": "dora@example.com 8000 8000 /d map[]", "x@example.com": "unknown",
				"dora@example.org": "unknown", "dora@..": "unknown"}, ""},
		{"a folder of files that is not there", finished.Bag{"passdb/0/path": "/nonexistent/%d"},
			map[string]string{"dora@example.com": "later"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, "auth-master", users, nil)
			set := settings(h.Users, tt.set)
			for k, v := range set {
				set[k] = strings.Replace(v, "USERS", h.Users, 1)
			}
			s, err := New(set, h.log)
			if err != nil {
				t.Fatal(err)
			}
			h.Server.Names, h.Server.Users, h.Server.Passwords = s.Names, s.Users, s.Passwords
			c := client(t, h)
			for user, want := range tt.ask {
				if got := answer(c.Lookup(context.Background(), user, authproto.Params{})); got != want {
					t.Errorf("%s: got %q, want %q", user, got, want)
				}
			}
			got, err := names(t, c)
			switch {
			case tt.list == "" && !errors.Is(err, authproto.ErrTempfail):
				t.Errorf("list: got %q, %v, want a failure", got, err)
			case tt.list == "-" && (err != nil || got != nil):
				t.Errorf("list: got %q, %v, want nobody", got, err)
			case tt.list != "" && tt.list != "-" && (err != nil || strings.Join(got, " ") != tt.list):
				t.Errorf("list: got %q, %v, want %q", got, err, tt.list)
			}
		})
	}
}

// TestListIsWhatUserAnswers: both directions, whatever is in the file.
func TestListIsWhatUserAnswers(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", "Upper:x:1:1::/::\nupper2:x:1:1::/::\nwith space:x:1:1::/::\nupper2:x:2:2::/::\nt:x:1:1::/::userdb_tempfail\nb:x:1:1::/::userdb_x=%q\n", nil)
	c := client(t, h)
	got, err := names(t, c)
	if err != nil || !slices.Equal(got, []string{"upper2"}) {
		t.Errorf("got %q, %v, want only upper2", got, err)
	}
	for user, want := range map[string]string{"Upper": "unknown", "with space": "unknown", "t": "later", "b": "later", "upper2": "upper2 1 1 / map[]"} {
		if got := answer(c.Lookup(context.Background(), user, authproto.Params{})); got != want {
			t.Errorf("%s: got %q, want %q", user, got, want)
		}
	}
}

func TestUsersFileGone(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", "alice:x:5000:5001::/a::\n", nil)
	if err := os.Remove(h.Users); err != nil {
		t.Fatal(err)
	}
	c := client(t, h)
	if got := answer(c.Lookup(context.Background(), "alice", authproto.Params{})); got != "later" {
		t.Errorf("missing at start: got %q, want later", got)
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  finished.Bag
		want string
	}{
		{"no source at all", finished.Bag{"passdb/count": "0"}, "no userdb block"},
		{"unknown driver", finished.Bag{"passdb/0/driver": "sql"}, `passdb "users": driver "sql" is not in this version`},
		{"relative path", finished.Bag{"passdb/0/path": "users"}, "want an absolute path"},
		{"bad template", finished.Bag{"auth_username_format": "%q"}, "auth_username_format"},
		{"static without passdb", finished.Bag{"passdb/count": "0", "userdb/count": "1", "userdb/0/driver": "static", "userdb/0/fields": "uid=1"}, "allow_all_users"},
	} {
		if _, err := New(settings("/x", tt.set), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q in it", tt.name, err, tt.want)
		}
	}
}

// TestUsersFileGoesWhileWeRun: nobody becomes unknown by it, and the log says
// it once, however many ask.
func TestUsersFileGoesWhileWeRun(t *testing.T) {
	t.Parallel()
	h := &house{Users: filepath.Join(t.TempDir(), "users")}
	if err := os.WriteFile(h.Users, []byte("alice:x:5000:5001::/a::\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(settings(h.Users, nil), h.log)
	if err != nil {
		t.Fatal(err)
	}
	var ahead atomic.Int64
	s.Users.Links[0].DB.(*userdb.PasswdFile).File.Only().Now = func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}
	socket := filepath.Join(filepath.Dir(h.Users), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &authproto.Client{Dial: authproto.Path(socket)}
	defer c.Close()
	go func() {
		if theirs, err := l.Accept(); err == nil {
			s.ServeConn(theirs)
		}
	}()
	ask := func(when, user, want string) {
		t.Helper()
		if got := answer(c.Lookup(context.Background(), user, authproto.Params{})); got != want {
			t.Errorf("%s: %s: got %q, want %q", when, user, got, want)
		}
	}
	ask("whole", "alice", "alice 5000 5001 /a map[]")
	ask("whole", "bob", "unknown")
	if err := os.Rename(h.Users, h.Users+".away"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		ahead.Add(int64(2 * time.Second))
		ask("gone", "alice", "alice 5000 5001 /a map[]")
		ask("gone", "bob", "later")
	}
	if n := strings.Count(h.logged(), "no such file"); n != 1 || strings.Count(h.logged(), "\n") != 0 {
		t.Errorf("logged %q, want one line", h.logged())
	}
	if err := os.Rename(h.Users+".away", h.Users); err != nil {
		t.Fatal(err)
	}
	ahead.Add(int64(2 * time.Second))
	ask("back", "bob", "unknown")
}
