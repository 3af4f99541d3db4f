package operate

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/mailtest"
	"culver/internal/settings/finished"
)

// loginServer plays auth's login and master sockets: bob's password is secret,
// boss may be anybody, carol may not log in, and dave's source is away.
func loginServer(t *testing.T) Env {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"auth-client", "auth-login", "auth-master"} {
		mailtest.ListenAt(t, filepath.Join(dir, name), func(conn net.Conn) {
			fmt.Fprint(conn, "VERSION\t1\t2\n")
			if name != "auth-master" {
				fmt.Fprintf(conn, "MECH\tPLAIN\tplaintext\nSPID\t7\nCUID\t1\nCOOKIE\t%s\nDONE\n", strings.Repeat("a1", 16))
			} else {
				fmt.Fprint(conn, "SPID\t7\n")
			}
			for r := bufio.NewScanner(conn); r.Scan(); {
				conn.Write([]byte(loginReply(strings.Split(r.Text(), "\t"))))
			}
		})
	}
	return with(finished.Bag{"base_dir": dir})
}

// The responses are base64 of authzid, NUL, authcid, NUL, password.
var loginReplies = map[string]string{
	"resp=Ym9iAGJvYgBzZWNyZXQ=":             "OK\t%s\tuser=bob\ttag=x\tpass=hidden\n",
	"resp=Ym9iAGJvc3MAc2VjcmV0":             "OK\t%s\tuser=bob\t\toriginal_user=boss\tauth_user=boss\n",
	"resp=Y2Fyb2wAY2Fyb2wAc2VjcmV0":         "OK\t%s\tuser=carol\tnologin\treason=away\n",
	"resp=ZGF2ZQBkYXZlAHNlY3JldA==":         "FAIL\t%s\tuser=dave\tcode=temp_fail\n",
	"resp=ZXZlAGV2ZQBzZWNyZXQ=":             "FAIL\t%s\tuser=eve\treason=not\x1b[2Jhere\n",
	"resp=bWFsbG9yeQBtYWxsb3J5AHNlY3JldA==": "nonsense\t%s\n",
}

func loginReply(f []string) string {
	switch f[0] {
	case "AUTH":
		return fmt.Sprintf(loginReplies[f[len(f)-1]], f[1])
	case "REQUEST":
		if f[3] != "1" || f[4] != strings.Repeat("a1", 16) {
			return "FAIL\t" + f[1] + "\n"
		}
		return "USER\t" + f[1] + "\tbob\tuid=5000\thome=/home/bob\n"
	case "CACHE-FLUSH":
		return fmt.Sprintf("OK\t%s\t%d\n", f[1], len(f)-2)
	case "CACHE-STATUS":
		return "OK\t" + f[1] + "\thits=3\tmisses=4\n"
	}
	return ""
}

func TestLogins(t *testing.T) {
	t.Parallel()
	env := loginServer(t)
	for _, tt := range []struct {
		name, line, in, out, errs string
		code                      int
	}{
		{name: "the right password", line: "auth test bob secret", out: "passdb: bob auth succeeded\nextra fields:\n  user=bob\n  tag=x\n  pass=***\n"},
		{name: "from standard input", line: "auth test bob", in: "secret\n", out: "passdb: bob auth succeeded\nextra fields:\n  user=bob\n  tag=x\n  pass=***\n"},
		{name: "a master user", line: "auth test -M boss bob secret", out: "passdb: bob auth succeeded\nextra fields:\n  user=bob\n  original_user=boss\n  auth_user=boss\n"},
		{name: "a refusal, with what a terminal would obey", line: "auth test eve secret", out: "passdb: eve auth failed\nextra fields:\n  user=eve\n  reason=not?[2Jhere\n", code: 77},
		{name: "a source that is away is no refusal", line: "auth test dave secret", errs: "temporary failure", code: 75},
		{name: "a server that answers nonsense", line: "auth test mallory secret", errs: "unexpected reply", code: 75},
		{name: "no password at all", line: "auth test bob", errs: "no password", code: 64},
		{name: "a fact that is none", line: "auth test -x resp=x bob secret", errs: "no fact", code: 64},
		{name: "what a login gets", line: "auth login bob secret", out: "passdb: bob auth succeeded\nextra fields:\n  user=bob\n  tag=x\n  pass=***\nuserdb extra fields:\n  bob\n  uid=5000\n  home=/home/bob\n"},
		{name: "a login of somebody who may not", line: "auth login carol secret", out: "passdb: carol auth succeeded\nextra fields:\n  user=carol\n  nologin\n  reason=away\n", errs: "nologin", code: 77},
		{name: "the cache", line: "auth cache flush", out: "0 cache entries flushed\n"},
		{name: "two users' entries", line: "auth cache flush a b", out: "2 cache entries flushed\n"},
		{name: "what the cache holds", line: "auth cache status", out: "field\tvalue\nhits\t3\nmisses\t4\n"},
		{name: "a socket that is not there", line: "auth cache flush -a /nonexistent/auth-master", errs: "no such file", code: 75},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := env
			env.In = strings.NewReader(tt.in)
			out, errs, code := ran(t, env, strings.Fields(tt.line)...)
			if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got exit %d, %q, %q\nwant %d, %q, %q", code, out, errs, tt.code, tt.out, tt.errs)
			}
		})
	}
}
