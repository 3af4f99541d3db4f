package auth

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/settings/finished"
	"culver/services/auth/passdb"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// TestBlocks: what becomes of the settings of passdb and userdb blocks.
func TestBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"users":   "alice:{PLAIN}pw:5000:5001::/a::userdb_quota=1G\nbob:pw\n",
		"admins":  "boss:{PLAIN}bpw::::::\n",
		"blocked": "alice:x\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := filepath.Join(dir, "users")
	for _, tt := range []struct {
		name      string
		set       finished.Bag
		passwords string // of alice with "pw", of alice by LOOKUP
		masters   string // of boss with "bpw"
		mail      string // userdb fields of alice, after the login
	}{
		{"one passwd-file", nil, "yes,yes", "none", "uid=5000 gid=5001 home=/a quota=1G"},
		{"a scheme for those that have none", finished.Bag{"passdb/0/scheme": "plain", "user": "bob"}, "yes,yes", "none", "failure"},
		{"without a userdb the fields of the passdb are its own", finished.Bag{"passdb/0/override_fields": "userdb_uid=6000\thome=/h"},
			"yes,yes", "none", "uid=6000 gid=5001 home=/h quota=1G"},
		{"master users are no users", finished.Bag{
			"passdb/count": "2", "passdb/1/driver": "passwd-file", "passdb/1/path": dir + "/admins", "passdb/1/master": "yes", "passdb/1/pass": "yes"},
			"yes,yes", "continue", "uid=5000 gid=5001 home=/a quota=1G"},
		{"deny", finished.Bag{
			"passdb/count": "2", "passdb/1/driver": "passwd-file", "passdb/1/path": users,
			"passdb/0/path": dir + "/blocked", "passdb/0/deny": "yes"},
			"disabled,disabled", "none", "uid=5000 gid=5001 home=/a quota=1G"},
		{"not for lookups", finished.Bag{"passdb/0/mechanisms": "plain\tlogin"}, "yes,failure", "none", "uid=5000 gid=5001 home=/a quota=1G"},
		{"for lookups only, in the older word", finished.Bag{"passdb/0/mechanisms": "none"}, "failure,yes", "none", "uid=5000 gid=5001 home=/a quota=1G"},
		{"other names", finished.Bag{"passdb/0/username_filter": "*@x\t!alice"}, "unknown,unknown", "none", "unknown"},
		{"a password for all who exist", finished.Bag{
			"passdb/count": "2", "passdb/0/driver": "static", "passdb/0/password": "pw", "passdb/0/result_success": "continue",
			"passdb/1/driver": "passwd-file", "passdb/1/path": users},
			"yes,yes", "none", "uid=5000 gid=5001 home=/a quota=1G"},
		{"no password for anybody", finished.Bag{
			"passdb/0/driver": "static", "passdb/0/args": "nopassword=y proxy=y host=192.0.2.1",
			"userdb/count": "1", "userdb/0/driver": "static", "userdb/0/fields": "uid=1\tgid=2"},
			"yes,yes", "none", "uid=1 gid=2"},
		{"prefetch, and a file for all others", finished.Bag{
			"passdb/0/default_fields": "userdb_uid=6000\tuserdb_gid=6001\tuserdb_home=/h/%u",
			"userdb/count":            "2", "userdb/0/driver": "prefetch", "userdb/1/driver": "passwd-file", "userdb/1/path": users},
			"yes,yes", "none", "uid=6000 gid=6001 home=/h/alice quota=1G"},
		{"two userdbs that share in the fields", finished.Bag{
			"userdb/count": "2", "userdb/0/driver": "static", "userdb/0/fields": "mail=maildir:/m/%u", "userdb/0/result_success": "continue-ok",
			"userdb/1/driver": "passwd-file", "userdb/1/path": users, "userdb/1/override_fields": "x=%{userdb:mail}"},
			"yes,yes", "none", "uid=5000 gid=5001 home=/a quota=1G mail=maildir:/m/alice x=maildir:/m/alice"},
		{"the system's accounts", finished.Bag{"userdb/count": "1", "userdb/0/driver": "passwd", "user": "daemon"}, "unknown,unknown", "none",
			"uid=1 gid=1 home=/usr/sbin system_groups_user=daemon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			set := settings(users, tt.set)
			user := "alice"
			if set["user"] != "" {
				user = set["user"]
			}
			s, err := New(set, (&house{}).log)
			if err != nil {
				t.Fatal(err)
			}
			ask := func(c passdb.Chain, q passdb.Query) (passdb.Verdict, string) {
				v, err := c.Run(context.Background(), q)
				switch {
				case len(c.Links) == 0:
					return v, "none"
				case err == nil && v.Continue:
					return v, "continue"
				case err == nil:
					return v, "yes"
				case errors.Is(err, userdb.ErrUnknown):
					return v, "unknown"
				case errors.Is(err, passdb.ErrDisabled):
					return v, "disabled"
				}
				return v, "failure"
			}
			in, first := ask(s.Passwords, passdb.Query{Values: &vars.Values{User: user, Mech: "PLAIN"}, Password: "pw"})
			_, second := ask(s.Passwords, passdb.Query{Values: &vars.Values{User: user}, Want: passdb.WantEntry})
			if got := first + "," + second; got != tt.passwords {
				t.Errorf("passwords: got %s, want %s", got, tt.passwords)
			}
			if _, got := ask(s.Masters, passdb.Query{Values: &vars.Values{User: "boss", LoginUser: user, Mech: "PLAIN"}, Password: "bpw"}); got != tt.masters {
				t.Errorf("master: got %s, want %s", got, tt.masters)
			}
			fields, err := s.Users.Login(context.Background(), &vars.Values{User: user}, in.Fields)
			got := strings.Join(fields.Wire(), " ")
			switch {
			case errors.Is(err, userdb.ErrUnknown):
				got = "unknown"
			case err != nil:
				got = "failure"
			}
			if got != tt.mail {
				t.Errorf("mail: got %q, %v, want %q", got, err, tt.mail)
			}
		})
	}
}
