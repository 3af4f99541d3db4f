package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
)

// house is a server on a socket in a temporary folder.
type house struct {
	*Server
	Socket string
	Users  string // path of the passwd-file

	mu    sync.Mutex
	lines []string // what was logged
}

func (h *house) log(_ logline.Level, _, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

func (h *house) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.lines, "\n")
}

const testChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567890.-_@"

// settings of one passwd-file that is passdb and userdb; extra adds to them.
func settings(users string, extra finished.Bag) finished.Bag {
	b := finished.Bag{
		"client_limit": "100", "auth_username_format": "%Lu",
		"auth_username_chars": testChars, "auth_default_realm": "",
		"passdb/count": "1", "passdb/0/name": "users", "passdb/0/driver": "passwd-file", "passdb/0/path": users,
		"userdb/count": "0", "auth_mechanisms": "plain\tlogin", "auth_allow_cleartext": "yes", "auth_failure_delay": "0",
		"auth_lookup_timeout": "30000000000", "auth_penalty": "no", "auth_verbose": "no",
		"auth_username_translation": "", "auth_master_user_separator": "", "auth_anonymous_username": "anonymous",
		"auth_ssl_username_from_cert": "no", "auth_ssl_require_client_cert": "no", "doveadm_username": "doveadm", "doveadm_allowed_commands": "",
		"auth_cache_size": "0", "auth_cache_ttl": "0", "auth_cache_negative_ttl": "0", "auth_cache_stale_ttl": "0",
	}
	for k, v := range extra {
		b[k] = v
	}
	return b
}

// start serves users with the role of a listener name; the mode is 0600.
func start(t *testing.T, role, users string, extra finished.Bag) *house {
	return startAs(t, role, users, extra, Socket{Mode: 0o600})
}

func startAs(t *testing.T, role, users string, extra finished.Bag, sock Socket) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{Socket: filepath.Join(dir, "s"), Users: filepath.Join(dir, "users")}
	if err := os.WriteFile(h.Users, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if h.Server, err = New(settings(h.Users, extra), h.log); err != nil {
		t.Fatal(err)
	}
	r, err := roleOf(role, "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(l, r, sock) }()
	t.Cleanup(func() {
		l.Close()
		h.Drain(time.Minute)
		<-done
	})
	return h
}

func client(t *testing.T, h *house) *authproto.Client {
	c := &authproto.Client{Dial: authproto.Path(h.Socket)}
	t.Cleanup(func() { c.Close() })
	return c
}

// talk sends text after VERSION and gives all that the server says after its
// handshake, until it closes or last has come.
func talk(t *testing.T, h *house, text, last string) []string {
	t.Helper()
	nc, err := net.Dial("unix", h.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
	var got []string
	r := bufio.NewReader(nc)
	for i := 0; ; i++ {
		line, err := r.ReadString('\n')
		if err != nil {
			return append(got, "EOF")
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case i == 0 && line != "VERSION\t1\t1":
			t.Fatalf("first line %q, want VERSION 1.1", line)
		case i == 1 && line != fmt.Sprintf("SPID\t%d", os.Getpid()):
			t.Fatalf("second line %q, want our SPID", line)
		case i > 1:
			got = append(got, line)
		}
		if line == last {
			return got
		}
	}
}

const someUsers = `# people
alice@example.com:{PLAIN}x:5000:5001::/srv/mail/alice::userdb_quota_rule=*:storage=1G userdb_mail=maildir:~/M
bob@example.com:{PLAIN}x:5001:5001::/srv/mail/bob::
tf@example.com:{PLAIN}x:5002:5001::/srv::userdb_tempfail userdb_reason=maintenance
p@example.com:{PLAIN}x:5003:5001::/srv::proxy=y host=127.0.0.9 port=1430 pass=remotepw
zero@example.com:{PLAIN}x:0:5001::/srv::
noname@example.com:{PLAIN}x:no-such-account:5001::/srv::
short@example.com:{PLAIN}x
`

func TestTranscripts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, role, in string
		want           []string
	}{
		{"USER of the example in the specification", "auth-userdb", "USER\t1\talice@example.com\tservice=lmtp\n",
			[]string{"USER\t1\talice@example.com\tuid=5000\tgid=5001\thome=/srv/mail/alice\tquota_rule=*:storage=1G\tmail=maildir:~/M"}},
		{"the name comes back canonical", "auth-userdb", "USER\t1\tBob@Example.COM\tprotocol=lmtp\n",
			[]string{"USER\t1\tbob@example.com\tuid=5001\tgid=5001\thome=/srv/mail/bob"}},
		{"CRLF is taken", "auth-userdb", "USER\t1\tbob@example.com\tservice=lmtp\r\n",
			[]string{"USER\t1\tbob@example.com\tuid=5001\tgid=5001\thome=/srv/mail/bob"}},
		{"unknown parameters are ignored", "auth-userdb", "USER\t9\tbob@example.com\tservice=lmtp\tfoo\tlport=x\n",
			[]string{"USER\t9\tbob@example.com\tuid=5001\tgid=5001\thome=/srv/mail/bob"}},
		{"nobody", "auth-userdb", "USER\t2\tnosuch@example.com\tservice=lmtp\n", []string{"NOTFOUND\t2"}},
		{"an empty name", "auth-userdb", "USER\t2\t\tservice=lmtp\n", []string{"NOTFOUND\t2"}},
		{"a byte that is not allowed", "auth-userdb", "USER\t2\talice*boss\tservice=lmtp\n", []string{"NOTFOUND\t2"}},
		{"an escaped line end in a name", "auth-userdb", "USER\t2\talice\x01nbob\tservice=lmtp\n", []string{"NOTFOUND\t2"}},
		{"tempfail with its reason", "auth-userdb", "USER\t3\ttf@example.com\tservice=lmtp\n", []string{"FAIL\t3\treason=maintenance"}},
		{"uid 0 is a failure", "auth-userdb", "USER\t3\tzero@example.com\tservice=lmtp\n", []string{"FAIL\t3"}},
		{"an unknown account is a failure", "auth-userdb", "USER\t3\tnoname@example.com\tservice=lmtp\n", []string{"FAIL\t3"}},
		{"a line without ids is a failure", "auth-userdb", "USER\t3\tshort@example.com\tservice=lmtp\n", []string{"FAIL\t3"}},
		{"PASS without the password", "auth-userdb", "PASS\t4\tp@example.com\tservice=lmtp\n",
			[]string{"PASS\t4\tuser=p@example.com\tproxy=y\thost=127.0.0.9\tport=1430"}},
		{"PASS takes a line whose ids are bad", "auth-userdb", "PASS\t4\tzero@example.com\tservice=lmtp\n", []string{"PASS\t4\tuser=zero@example.com"}},
		{"PASS of nobody", "auth-userdb", "PASS\t4\tno@example.com\tservice=lmtp\n", []string{"NOTFOUND\t4"}},
		{"LIST with a mask, and only those that USER answers", "auth-userdb", "LIST\t5\tuser=*\tservice=doveadm\n",
			[]string{"LIST\t5\talice@example.com", "LIST\t5\tbob@example.com", "LIST\t5\tp@example.com", "DONE\t5\t"}},
		{"LIST filters by mask", "auth-userdb", "LIST\t5\tuser=A*\tservice=doveadm\n", []string{"LIST\t5\talice@example.com", "DONE\t5\t"}},
		{"LIST without a mask is everybody", "auth-userdb", "LIST\t5\n",
			[]string{"LIST\t5\talice@example.com", "LIST\t5\tbob@example.com", "LIST\t5\tp@example.com", "DONE\t5\t"}},
		{"pipelined", "auth-userdb", "USER\t1\tno@x\tservice=a\nUSER\t1\tno@x\tservice=a\nUSER\t2\tno@x\tservice=a\n",
			[]string{"NOTFOUND\t1", "NOTFOUND\t1", "NOTFOUND\t2"}},
		{"CACHE-FLUSH without a cache", "auth-master", "CACHE-FLUSH\t6\talice@example.com\n", []string{"OK\t6\t0"}},
		{"REQUEST when no login waits", "auth-master", "REQUEST\t7\t4242\t1\t47eb\tsession_pid=1\n", []string{"FAIL\t7"}},

		{"CACHE-FLUSH on a userdb socket", "auth-userdb", "CACHE-FLUSH\t6\n", []string{"EOF"}},
		{"REQUEST on a userdb socket", "auth-userdb", "REQUEST\t7\t1\t1\taa\n", []string{"EOF"}},
		{"unknown command", "auth-userdb", "user\t1\ta\tservice=x\n", []string{"EOF"}},
		{"empty line", "auth-userdb", "\n", []string{"EOF"}},
		{"id that is no number", "auth-userdb", "USER\tx\ta\tservice=x\n", []string{"EOF"}},
		{"id too large", "auth-userdb", "USER\t4294967296\ta\tservice=x\n", []string{"EOF"}},
		{"no service", "auth-userdb", "USER\t1\ta\n", []string{"EOF"}},
		{"no user", "auth-userdb", "USER\t1\n", []string{"EOF"}},
		{"CPID", "auth-userdb", "CPID\t1\n", []string{"EOF"}},
		{"a line too long", "auth-userdb", "USER\t1\t" + strings.Repeat("a", authproto.MaxServerRequest) + "\n", []string{"EOF"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := start(t, tt.role, someUsers, nil)
			got := talk(t, h, "VERSION\t1\t0\n"+tt.in, tt.want[len(tt.want)-1])
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", someUsers, nil)
	const ask = "USER\t1\tnobody\tservice=x\n"
	for _, tt := range []struct{ name, hello, want string }{
		{"any minor", "VERSION\t1\t99\n", "NOTFOUND\t1"},
		{"another major", "VERSION\t2\t0\n", "EOF"},
		{"no minor", "VERSION\t1\n", "EOF"},
		{"a minor that is no number", "VERSION\t1\tx\n", "EOF"},
		{"none at all", "", "EOF"},
	} {
		if got := talk(t, h, tt.hello+ask, "NOTFOUND\t1"); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestClientLooksUpWhatTheServerHas(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", someUsers, nil)
	c := client(t, h)
	ctx := context.Background()
	u, err := c.Lookup(ctx, "Alice@example.com", authproto.Params{Service: "lmtp", RemoteIP: "::1"})
	if err != nil || u.Name != "alice@example.com" || u.UID != 5000 || u.GID != 5001 || u.Home != "/srv/mail/alice" ||
		len(u.Fields) != 2 || u.Fields["quota_rule"] != "*:storage=1G" {
		t.Errorf("got %+v, %v", u, err)
	}
	if _, err := c.Lookup(ctx, "nosuch@example.com", authproto.Params{}); err != authproto.ErrNotFound {
		t.Errorf("unknown user: got %v, want ErrNotFound", err)
	}
	_, err = c.Lookup(ctx, "tf@example.com", authproto.Params{})
	var temp *authproto.Tempfail
	if !errors.As(err, &temp) || !errors.Is(err, authproto.ErrTempfail) || temp.Reason != "maintenance" {
		t.Errorf("tempfail: got %v, want the reason", err)
	}
	if f, err := c.Pass(ctx, "p@example.com", authproto.Params{}); err != nil || f["host"] != "127.0.0.9" || f["user"] != "p@example.com" {
		t.Errorf("pass: got %v, %v", f, err)
	}
	var names []string
	err = c.List(ctx, "*", authproto.Params{}, func(n string) error { names = append(names, n); return nil })
	if want := []string{"alice@example.com", "bob@example.com", "p@example.com"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("list: got %q, %v, want %q", names, err, want)
	}
	if want := h.Users + ":6: uid 0 is not allowed"; !strings.Contains(h.logged()+mustFail(c, "zero@example.com")+h.logged(), want) {
		t.Errorf("log has %q, want %q in it", h.logged(), want)
	}
}

func mustFail(c *authproto.Client, user string) string {
	_, err := c.Lookup(context.Background(), user, authproto.Params{})
	if !errors.Is(err, authproto.ErrTempfail) {
		return "(no failure)"
	}
	return ""
}
