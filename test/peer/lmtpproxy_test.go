package peer

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// elsewhere is the users file of a host that hands some users on: place gives
// the address of each one's, with or without a port, "" for those whose mail is here.
func elsewhere(t *testing.T, users system.Users, place func(i int) string) string {
	t.Helper()
	var all strings.Builder
	for line := range strings.Lines(users.Passwd()) {
		i := strings.Count(all.String(), "\n") + 1
		line = strings.TrimSuffix(line, "\n")
		if at := place(i); at != "" {
			line += "proxy=y host=" + at
			if host, port, err := net.SplitHostPort(at); err == nil {
				line = strings.TrimSuffix(line, at) + host + " port=" + port
			}
		}
		all.WriteString(line + "\n")
	}
	return all.String()
}

// startCulverOn runs a Culver with a users file of its own in that folder, by the
// command that is to start it, if there is one. A test may stop it.
func startCulverOn(t *testing.T, dir, passwd, more string, by ...string) *system.Culver {
	t.Helper()
	c, err := system.ConfigureCulver(dir, passwd, more)
	if err == nil {
		err = c.Start(false, by...)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.Running() {
			if err := c.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		if t.Failed() {
			t.Logf("end of the log in %s:\n%s", dir, tail(c.Trouble(), 30))
		}
	})
	return c
}

// TestLMTPIsHandedOn: a third of the users is served by the front itself, a third
// by another Culver and a third by a Dovecot; a real Postfix sends messages to
// users of all three at once. Then the other Culver goes away for a while: the
// others' mail is there before it returns, and nobody has anything twice.
func TestLMTPIsHandedOn(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 60)
	port, err := mailtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	behind := startCulverOn(t, filepath.Join(dir, "behind"), users.Passwd(), "login_trusted_networks = \"127.0.0.0/8\"\n")
	startDovecotWith(t, dir, users, fmt.Sprintf("login_trusted_networks = 127.0.0.0/8\nservice lmtp {\n inet_listener lmtp {\n  port = %d\n }\n}\n", port))
	at := []string{"", fmt.Sprint("127.0.0.1:", behind.Port), fmt.Sprint("127.0.0.1:", port)}
	front := startCulverOn(t, filepath.Join(dir, "front"), elsewhere(t, users, func(i int) string { return at[i%3] }), "lmtp_proxy = yes\n")
	p := startPostfix(t, "lmtp:unix:"+front.Socket)

	all := mails(41, 100, 30, users.N)
	p.submit(t, users, all)
	p.drain(t, 2*time.Minute)
	if n := checkMail(t, users, all); n != 0 {
		t.Errorf("got %d duplicates, want 0", n)
	}
	checkPrivate(t, users)

	if err := behind.Stop(); err != nil {
		t.Fatal(err)
	}
	more := mails(42, 20, 30, users.N)
	p.submit(t, users, more)
	if err := mailtest.Await("the mail of all users whose host is there", time.Minute, func() bool {
		return missing(t, users, more, func(i int) bool { return i%3 != 1 }) == 0
	}); err != nil {
		t.Error(err)
	}
	if n := missing(t, users, more, func(i int) bool { return i%3 == 1 }); n == 0 {
		t.Error("the host that is away has mail")
	}
	if err := behind.Start(false); err != nil {
		t.Fatal(err)
	}
	p.drain(t, 2*time.Minute)
	if n := checkMail(t, users, append(all, more...)); n != 0 {
		t.Errorf("got %d duplicates, want 0", n)
	}
}

// missing counts copies that some users do not have yet.
func missing(t *testing.T, users system.Users, all []mail, of func(i int) bool) (n int) {
	t.Helper()
	has := map[int]map[string]int{}
	for _, m := range all {
		for _, u := range m.to {
			if !of(u) {
				continue
			}
			if has[u] == nil {
				ids, err := users.MessageIDs(u)
				if err != nil {
					return len(all) // a file moved on meanwhile
				}
				has[u] = ids
			}
			if has[u][m.id] == 0 {
				n++
			}
		}
	}
	return n
}

// TestDovecotHandsLMTPOnToUs: Dovecot 2.3 as the proxy, Culver behind it, with
// XCLIENT. Its replies are those of our workers.
func TestDovecotHandsLMTPOnToUs(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 20)
	behind := startCulverOn(t, filepath.Join(dir, "behind"), users.Passwd(), "login_trusted_networks = \"127.0.0.0/8\"\n")
	d := startDovecotWith(t, dir, users, fmt.Sprintf(`lmtp_proxy = yes
passdb {
  driver = static
  args = nopassword=y proxy=y host=127.0.0.1 port=%d
}
`, behind.Port))
	p := startPostfix(t, "lmtp:unix:"+d.Socket)
	all := mails(43, 50, 20, users.N)
	p.submit(t, users, all)
	p.drain(t, 2*time.Minute)
	if n := checkMail(t, users, all); n != 0 {
		t.Errorf("got %d duplicates, want 0", n)
	}
	checkPrivate(t, users)
}
