package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/settings/finished"
)

const members = `alice@example.org:{PLAIN}pw:5000:5000::/srv/a::userdb_quota_rule=*:storage=1G tag=x
bob@example.org:{PLAIN}pw:5001:5000::/srv/b::
carl@example.org:{PLAIN}pw:5001:5000::/srv/b::nologin reason=suspended
proxied@example.org:{PLAIN}pw:5001:5000::/srv/b::proxy host=127.0.0.9 pass=remotepw
broken@example.org:{NONESUCH}x:5001:5000::/srv/b::
dora@other.org:{PLAIN}pw:5002:5000::/srv/d::
`

const bosses = `boss@example.org:{PLAIN}bosspw:::::: allow_users=*@example.org
post@example.org:{PLAIN}bosspw:::::: allow_users=*@example.org allow_commands=smtp,imap
late@example.org:{PLAIN}bosspw:::::: allow_until=2001-01-01
twice@example.org:{PLAIN}bosspw:::::: allow_users=alice@example.org allow_users=*
`

// The lookup sockets are those of fronts, which need to know where a user's mail is.
func TestOnlyTheMasterSocketTellsPasswordsOfOtherHosts(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{
		"auth-userdb": "PASS\t1\tuser=proxied@example.org\tproxy\thost=127.0.0.9",
		"auth-master": "PASS\t1\tuser=proxied@example.org\tproxy\thost=127.0.0.9\tpass=remotepw",
	} {
		h := start(t, role, members, nil)
		got := talk(t, h, "VERSION\t1\t0\nPASS\t1\tproxied@example.org\tservice=lmtp\nEND\n", want)
		if got[0] != want {
			t.Errorf("%s: got %q, want %q", role, got, want)
		}
	}
}

// TestLogins has real users, sources and mechanisms behind the protocol: what
// each socket says to each of them.
func TestLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, role, service, authzid, authcid, password, want string }{
		{"a user", "auth-client", "smtp", "", "alice@example.org", "pw", "OK\t1\tuser=alice@example.org\ttag=x"},
		{"authzid equal to authcid", "auth-client", "smtp", "alice@example.org", "alice@example.org", "pw", "OK\t1\tuser=alice@example.org\ttag=x"},
		{"capitals", "auth-client", "smtp", "", "ALICE@example.org", "pw", "OK\t1\tuser=alice@example.org\ttag=x\toriginal_user=ALICE@example.org"},
		{"a wrong password", "auth-client", "smtp", "", "alice@example.org", "Pw", "FAIL\t1\tuser=alice@example.org"},
		{"nobody", "auth-client", "smtp", "", "nobody@example.org", "pw", "FAIL\t1\tuser=nobody@example.org"},
		{"a byte that is in no name", "auth-client", "smtp", "", "ali ce", "pw", "FAIL\t1\tuser=ali ce"},
		{"an end of line in a name", "auth-client", "smtp", "", "ali\nce", "pw", "FAIL\t1\tuser=ali?ce"},
		{"no name", "auth-client", "smtp", "", "", "pw", "FAIL\t1"},
		{"no password", "auth-client", "smtp", "", "alice@example.org", "", "FAIL\t1\tuser=alice@example.org"},
		{"nologin", "auth-client", "smtp", "", "carl@example.org", "pw", "FAIL\t1\tuser=carl@example.org\treason=suspended"},
		{"nologin and a wrong password", "auth-client", "smtp", "", "carl@example.org", "x", "FAIL\t1\tuser=carl@example.org"},
		{"proxy", "auth-client", "smtp", "", "proxied@example.org", "pw", "FAIL\t1\tuser=proxied@example.org\treason=Log in at this user's own server"},
		{"proxy, to a login process", "auth-login", "imap", "", "proxied@example.org", "pw", "OK\t1\tuser=proxied@example.org\tproxy\thost=127.0.0.9\tpass=remotepw"},
		{"a stored password that nobody can read", "auth-client", "smtp", "", "broken@example.org", "pw",
			"FAIL\t1\tuser=broken@example.org\tcode=temp_fail\treason=Temporary authentication failure"},
		{"a master user", "auth-login", "imap", "bob@example.org", "boss@example.org", "bosspw",
			"OK\t1\tuser=bob@example.org\toriginal_user=boss@example.org\tauth_user=boss@example.org"},
		{"by the separator", "auth-login", "imap", "", "bob@example.org*boss@example.org", "bosspw",
			"OK\t1\tuser=bob@example.org\toriginal_user=boss@example.org\tauth_user=boss@example.org"},
		{"a target that is not", "auth-login", "imap", "nobody@example.org", "boss@example.org", "bosspw", "FAIL\t1\tuser=boss@example.org"},
		{"a target out of reach", "auth-login", "imap", "dora@other.org", "boss@example.org", "bosspw", "FAIL\t1\tuser=boss@example.org"},
		{"no mail in another's name", "auth-client", "smtp", "bob@example.org", "boss@example.org", "bosspw", "FAIL\t1\tuser=boss@example.org"},
		{"but where the entry says so", "auth-client", "smtp", "bob@example.org", "post@example.org", "bosspw",
			"OK\t1\tuser=bob@example.org\toriginal_user=post@example.org\tauth_user=post@example.org"},
		{"a master user as itself", "auth-login", "imap", "", "boss@example.org", "bosspw", "FAIL\t1\tuser=boss@example.org"},
		{"a master user whose time is over", "auth-login", "imap", "bob@example.org", "late@example.org", "bosspw", "FAIL\t1\tuser=late@example.org"},
		{"a bound that is there twice", "auth-login", "imap", "bob@example.org", "twice@example.org", "bosspw", "FAIL\t1\tuser=twice@example.org\tcode=temp_fail\treason=Temporary authentication failure"},
		{"a bound that is there twice, for tickets", "auth-doveadm", "doveadm", "", "twice@example.org", "bosspw", "FAIL\t1\tuser=twice@example.org\tcode=temp_fail\treason=Temporary authentication failure"},
		{"for tickets, as itself", "auth-doveadm", "doveadm", "", "boss@example.org", "bosspw", "OK\t1\tuser=boss@example.org"},
		{"for tickets, with a target", "auth-doveadm", "doveadm", "bob@example.org", "boss@example.org", "bosspw", "FAIL\t1\tuser=boss@example.org"},
		{"for tickets, an ordinary user", "auth-doveadm", "doveadm", "", "alice@example.org", "pw", "FAIL\t1\tuser=alice@example.org"},
		{"for tickets, the shared password", "auth-doveadm", "doveadm", "", "doveadm", "sharedpw", "OK\t1\tuser=doveadm"},
		{"for tickets, not the shared password", "auth-doveadm", "doveadm", "", "doveadm", "pw", "FAIL\t1\tuser=doveadm"},
		{"the shared password elsewhere", "auth-login", "imap", "", "doveadm", "sharedpw", "FAIL\t1\tuser=doveadm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			masters := filepath.Join(t.TempDir(), "masters")
			if err := os.WriteFile(masters, []byte(bosses), 0o600); err != nil {
				t.Fatal(err)
			}
			d := &desk{house: start(t, tt.role, members, finished.Bag{
				"auth_master_user_separator": "*", "doveadm_password": "sharedpw",
				"passdb/count": "2", "passdb/1/name": "masters", "passdb/1/driver": "passwd-file", "passdb/1/path": masters, "passdb/1/master": "yes",
			})}
			w := d.dial(t, d.Socket)
			w.greeted(2)
			w.say("AUTH\t1\tPLAIN\tservice=" + tt.service + "\trip=192.0.2.1\tresp=" + plain(tt.authzid, tt.authcid, tt.password))
			w.want(tt.want)
			for _, secret := range []string{"bosspw", "sharedpw", "remotepw", b64(tt.authcid)} {
				if tt.authcid != "" && strings.Contains(d.logged(), secret) {
					t.Errorf("the log has %q: %s", secret, d.logged())
				}
			}
		})
	}
}
