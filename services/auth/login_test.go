package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/internal/maillog/logline"
)

// desk is a server on two real sockets: one for logins, one for the processes
// that serve the mail.
type desk struct {
	*house
	login, master string
}

func openDesk(t *testing.T) *desk {
	h := start(t, "auth-master", someUsers, nil)
	d := &desk{h, filepath.Join(t.TempDir(), "login"), h.Socket}
	h.Mechanisms, h.Cleartext = mechanisms(), true
	h.try = func(_ Role, a asked) Try { return &judged{asked: a} }
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.login, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(l, roles["login"], Socket{Mode: 0o600}) }()
	t.Cleanup(func() { l.Close(); <-done })
	return d
}

func (d *desk) dial(t *testing.T, path string) *wire {
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	return &wire{t, nc, bufio.NewReader(nc), time.Now()}
}

// signedIn is a login connection whose process is cpid, on which user has logged
// in as request 1.
func (d *desk) signedIn(t *testing.T, cpid int, authzid, user string) (*wire, string) {
	w := d.dial(t, d.login)
	w.want("VERSION\t1\t4")
	w.say("VERSION\t1\t2", fmt.Sprintf("CPID\t%d", cpid))
	var cookie string
	for line := w.says(); line != "DONE"; line = w.says() {
		if c, ok := strings.CutPrefix(line, "COOKIE\t"); ok {
			cookie = c
		}
	}
	w.say("AUTH\t1\tPLAIN\tservice=imap\tsession=s1\tlocal_name=mx.example.com\tresp=" + plain(authzid, user, "pw"))
	if got := w.says(); !strings.HasPrefix(got, "OK\t1\t") {
		t.Fatalf("login: %q", got)
	}
	return w, cookie
}

func (d *desk) worker(t *testing.T) *wire {
	w := d.dial(t, d.master)
	w.want("VERSION\t1\t1", fmt.Sprintf("SPID\t%d", os.Getpid()))
	w.say("VERSION\t1\t1")
	return w
}

func TestRequestOfALogin(t *testing.T) {
	t.Parallel()
	pid := os.Getpid()
	const bob = "USER\t7\tbob@example.com\tuid=5001\tgid=5001\thome=/srv/mail/bob"
	for _, tt := range []struct {
		name, authzid, user string
		ask                 func(cookie string) string
		want                string
	}{
		{"with all that Dovecot's imap says", "", "bob@example.com",
			func(c string) string { return fmt.Sprintf("REQUEST\t7\t4242\t1\t%s\tsession_pid=%d", c, pid) },
			bob + "\tauth_mech=PLAIN\tlocal_name=mx.example.com"},
		{"without a session", "", "bob@example.com",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c }, bob + "\tauth_mech=PLAIN\tlocal_name=mx.example.com"},
		{"a name that was changed", "", "BOB@example.com",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c },
			bob + "\tauth_mech=PLAIN\tauth_user=BOB@example.com\tlocal_name=mx.example.com"},
		{"a master user", "bob@example.com", "boss",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c },
			bob + "\tmaster_user=boss\tauth_mech=PLAIN\tauth_user=boss\tlocal_name=mx.example.com"},
		{"a user without a mailbox", "", "alice",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c }, "NOTFOUND\t7"},
		{"who may not log in", "", "nolog",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c }, "FAIL\t7"},
		{"who is to log in elsewhere", "", "remote",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c }, "FAIL\t7"},
		{"another's cookie", "", "bob@example.com",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + strings.Repeat("0", len(c)) }, "FAIL\t7"},
		{"no cookie", "", "bob@example.com", func(string) string { return "REQUEST\t7\t4242\t1\t" }, "FAIL\t7"},
		{"a part of the cookie", "", "bob@example.com", func(c string) string { return "REQUEST\t7\t4242\t1\t" + c[:16] }, "FAIL\t7"},
		{"another process's number", "", "bob@example.com", func(c string) string { return "REQUEST\t7\t4243\t1\t" + c }, "FAIL\t7"},
		{"another request", "", "bob@example.com", func(c string) string { return "REQUEST\t7\t4242\t2\t" + c }, "FAIL\t7"},
		{"a session that is not who asks", "", "bob@example.com",
			func(c string) string { return fmt.Sprintf("REQUEST\t7\t4242\t1\t%s\tsession_pid=%d", c, pid+1) }, "FAIL\t7"},
		{"a session that is no number", "", "bob@example.com",
			func(c string) string { return "REQUEST\t7\t4242\t1\t" + c + "\tsession_pid=" }, "FAIL\t7"},
		{"too few arguments", "", "bob@example.com", func(string) string { return "REQUEST\t7\t4242\t1" }, "EOF"},
		{"no number", "", "bob@example.com", func(c string) string { return "REQUEST\t7\tx\t1\t" + c }, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			// Who says our number first gains nothing by it, and we lose nothing.
			d.signedIn(t, 4242, "", "squatter")
			_, cookie := d.signedIn(t, 4242, tt.authzid, tt.user)
			m := d.worker(t)
			m.say(tt.ask(cookie))
			m.want(tt.want)
			if strings.HasPrefix(tt.want, "USER") || strings.HasPrefix(tt.want, "NOTFOUND") {
				m.say("REQUEST\t8\t4242\t1\t" + cookie)
				m.want("FAIL\t8") // it works once
			}
		})
	}
}

func TestRequestUsesTheLoginUpWhateverBecomesOfIt(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	_, cookie := d.signedIn(t, 1, "", "bob@example.com")
	m := d.worker(t)
	m.say("REQUEST\t1\t1\t1\t"+cookie+"\tsession_pid=1", "REQUEST\t2\t1\t1\t"+cookie)
	m.want("FAIL\t1", "FAIL\t2")
}

func TestRequestToken(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	var tokens []string
	for i := range 2 {
		_, cookie := d.signedIn(t, 1, "", "bob@example.com")
		m := d.worker(t)
		m.say(fmt.Sprintf("REQUEST\t%d\t1\t1\t%s\tsession_pid=%d\trequest_auth_token", i, cookie, os.Getpid()))
		_, token, _ := strings.Cut(m.says(), "\tauth_token=")
		token, _, _ = strings.Cut(token, "\t")
		if tokens = append(tokens, token); len(token) != 40 || strings.Trim(token, "0123456789abcdef") != "" {
			t.Errorf("token %q, want 40 hex digits", token)
		}
	}
	if tokens[0] != tokens[1] {
		t.Errorf("one session has the tokens %q", tokens)
	}
	if d.token("12", "3") == d.token("1", "23") || d.token("a") == new(Server).token("a") {
		t.Error("tokens of different things are the same")
	}
}

func TestLoginGoesWithItsConnection(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	w, cookie := d.signedIn(t, 1, "", "bob@example.com")
	w.Close()
	m := d.worker(t)
	// The server learns of the end in its own time.
	for deadline := time.Now().Add(time.Minute); d.registry.find(1, cookie) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the connection is still there")
		}
		m.say("USER\t5\tnobody\tservice=x")
		m.want("NOTFOUND\t5")
	}
	m.say("REQUEST\t1\t1\t1\t" + cookie)
	m.want("FAIL\t1")
	if n := d.requests.Load(); n != 0 {
		t.Errorf("%d requests are held, want none", n)
	}
}

// TestOurOwnClientLogsIn has our client's end of both protocols against ours.
func TestOurOwnClientLogsIn(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	login, err := authproto.OpenLogin(ctx, d.dial(t, d.login))
	if err != nil {
		t.Fatal(err)
	}
	defer login.Close()
	if login.SPID != uint32(os.Getpid()) {
		t.Errorf("SPID %d, want ours", login.SPID)
	}
	var no *authproto.Refused
	_, err = login.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN", Initial: authproto.PlainResponse("", "quick", "x")})
	if !errors.As(err, &no) {
		t.Errorf("wrong password: %v, want a refusal", err)
	}
	_, err = login.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN", Initial: authproto.PlainResponse("", "down", "x")})
	if !errors.Is(err, authproto.ErrTempfail) {
		t.Errorf("source away: %v, want a temporary failure", err)
	}
	ok, err := login.Auth(ctx, authproto.Attempt{Mechanism: "SCRAM-SHA-256", Initial: []byte("bob@example.com")})
	if err != nil || ok.User != "bob@example.com" || string(ok.Final) != "v=proof" {
		t.Fatalf("got %+v, %v", ok, err)
	}
	fields, err := login.Finish(ctx, d.dial(t, d.master), ok.ID)
	if err != nil || len(fields) == 0 || fields[0] != "bob@example.com" {
		t.Errorf("got %q, %v", fields, err)
	}
	if _, err := login.Finish(ctx, d.dial(t, d.master), ok.ID); !errors.Is(err, authproto.ErrTempfail) {
		t.Errorf("again: %v, want a failure", err)
	}
}

// FuzzClient says anything on one connection of each role. The server must not panic, must
// hold nothing afterwards, and another connection must not notice.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		"VERSION\t1\t4\nCPID\t1\nAUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "alice", "pw") + "\n",
		"VERSION\t1\t0\nCPID\t1\nAUTH\t1\tLOGIN\tservice=x\nCONT\t1\t\nCONT\t1\tYQ==\nCANCEL\t1\n",
		"VERSION\t1\t3\r\nCPID\t1\r\nAUTH\t1\tSCRAM-SHA-256-PLUS\tprotocol=x\tresp=\r\nCONT\t1\tYQ==\tchannel_binding=YQ==\r\n",
		"VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=\x01t\tforward_fields=a\x01tb\x011\tresp==\nAUTH\t1\tPLAIN\tservice=x\n",
		"VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "boss", "pw") + "\nTICKET\t2\t1\tbob\tsearch\nENDED\t3\t1\tbob\t0\tsearch\n",
		"VERSION\t1\t0\nUSER\t1\tbob\tservice=x\nPASS\t2\tbob\tprotocol=x\nLIST\t3\tuser=*\nCACHE-FLUSH\t4\tbob\nCACHE-STATUS\t5\treset\n",
		"VERSION\t1\t0\nREQUEST\t1\t1\t1\t00\tsession_pid=1\trequest_auth_token\n",
		"VERSION\t1\t2\nCPID\t1\n\x00\xff\t\t\t\n", strings.Repeat("A", authproto.MaxLoginLine+1), "\n\n\n",
	} {
		f.Add([]byte(seed))
	}
	s := frontDesk(func(_ logline.Level, _, format string, args ...any) { _ = fmt.Sprintf(format, args...) })
	s.FailureDelay = time.Microsecond
	f.Fuzz(func(t *testing.T, said []byte) {
		other := call(t, s, "auth")
		other.greeted(2)
		for _, role := range slices.Sorted(maps.Keys(roles)) {
			w := call(t, s, role)
			go func() { w.Write(said); w.Write([]byte("\n")); w.Write([]byte("\n")) }() // an empty line is the end
			io.Copy(io.Discard, w)
		}
		other.say("AUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "alice", "pw"))
		other.want("OK\t1\tuser=alice\ttag=x")
		other.Close()
		s.wg.Wait()
		if n := s.requests.Load(); n != 0 || len(s.conns) != 0 || len(s.registry.all) != 0 {
			t.Errorf("%d requests, %d connections, %d logins are held, want none", n, len(s.conns), len(s.registry.all))
		}
	})
}
