package peer

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

const (
	guestMasters = "admin@example.org:{PLAIN}masterpass::::::\n" +
		"elsewhere@example.org:{PLAIN}masterpass:::::: allow_users=*@example.net\n" +
		"reader@example.org:{PLAIN}masterpass:::::: allow_users=*@example.org allow_commands=search,fetch\n"
	guestBroken = "broken@example.org:{PLAIN}pass:::::: userdb_tempfail=yes\n"
	guestNever  = "never@example.org:{PLAIN}pass:20900:20900::/var/empty::nologin reason=closed\n"
)

// dovecotForGuest is Dovecot's own auth at the places of a Dovecot that has none.
func dovecotForGuest(t *testing.T, dir string, listeners map[string]string, users string) {
	t.Helper()
	masters := filepath.Join(dir, "masters")
	conf := fmt.Sprintf("auth_mechanisms = plain scram-sha-256 cram-md5\nauth_master_user_separator = *\npassdb {\n  driver = passwd-file\n  args = %s\n  master = yes\n}\nservice auth {\n", masters)
	for _, path := range listeners {
		conf += fmt.Sprintf("  unix_listener %s {\n    mode = 0777\n  }\n", path)
	}
	d, err := system.StartDovecotAuth(filepath.Join(dir, "theirs"), "2.3", users, conf+"}\n")
	if err == nil {
		err = os.WriteFile(masters, []byte(guestMasters), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	awaitSockets(t, d.Process, listeners)
}

// culverForGuest is ours.
func culverForGuest(t *testing.T, dir string, listeners map[string]string, users string) {
	t.Helper()
	masters := filepath.Join(dir, "masters")
	if err := os.WriteFile(masters, []byte(guestMasters), 0o644); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("auth_mechanisms = [\"plain\", \"scram-sha-256\", \"cram-md5\"]\nauth_master_user_separator = \"*\"\npassdb \"masters\" {\n  driver = \"passwd-file\"\n  path = %q\n  master = yes\n}\nservice auth {\n", masters)
	for role, path := range listeners {
		mode := "0600"
		if role == "login" { // Dovecot's folder lets only its login processes in
			mode = "0666"
		}
		conf += fmt.Sprintf("  unix_listener %q {\n    type = %q\n    mode = %s\n  }\n", path, role, mode)
	}
	c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), users, conf+"}\n")
	if err == nil {
		err = c.Start(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, c)
	awaitSockets(t, c.Process, listeners)
}

func awaitSockets(t *testing.T, p *mailtest.Process, paths map[string]string) {
	t.Helper()
	for role, path := range paths {
		if err := p.Until("the socket for "+role, 10*time.Second, func() bool { return isSocket(path) }); err != nil {
			t.Fatal(err)
		}
	}
}

// Dovecot serves users that another's auth service has: the places are those of
// docs/compatibility.md.
func TestDovecotServesOurUsers(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"2.3", "2.4"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			checkGuest(t, release, culverForGuest,
				imapLogin{"a master user beyond its reach", "LOGIN user1@example.org*elsewhere@example.org masterpass", "NO"},
				imapLogin{"a master user for other commands", "LOGIN user1@example.org*reader@example.org masterpass", "NO"})
		})
	}
}

// The harness must hold with an auth service that is known to be right.
func TestDovecotServesUsersOfAnotherDovecot(t *testing.T) {
	t.Parallel()
	checkGuest(t, "2.3", dovecotForGuest)
}

func checkGuest(t *testing.T, release string, serve func(t *testing.T, dir string, listeners map[string]string, users string), more ...imapLogin) {
	needs(t)
	mailtest.NeedProgram(t, "mmdebstrap", "mmdebstrap")
	dir, users := someUsers(t, 2)
	guest := filepath.Join(dir, "guest")
	g, err := system.PrepareGuest(guest, release)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, dir, system.GuestListeners(guest), users.Passwd()+guestBroken+guestNever)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Stop()
		if t.Failed() {
			t.Logf("end of Dovecot's log:\n%s", tail(g.Log(), 30))
		}
	})
	checkLMTP(t, g.Socket)
	w := &waits{t: t}
	defer w.Wait()
	for _, tt := range append(more, []imapLogin{
		{"right password", "LOGIN user1@example.org pass", "OK"},
		{"wrong password", "LOGIN user1@example.org wrong", "NO [AUTHENTICATIONFAILED]"},
		{"nobody of that name", "LOGIN nobody@example.org pass", "NO [AUTHENTICATIONFAILED]"},
		{"a user who may not log in", "LOGIN never@example.org pass", "NO"},
		{"a source that does not know", "LOGIN broken@example.org pass", "NO"},
		{"a master user with the separator", "LOGIN user1@example.org*admin@example.org masterpass", "OK"},
		{"a master user with an authzid", "AUTHENTICATE PLAIN " + plainSASL("user1@example.org", "admin@example.org", "masterpass"), "OK"},
		{"a master user with a wrong password", "LOGIN user1@example.org*admin@example.org pass", "NO [AUTHENTICATIONFAILED]"},
		{"a master user for nobody", "LOGIN nobody@example.org*admin@example.org masterpass", "NO"},
		{"a master user as itself", "LOGIN admin@example.org masterpass", "NO [AUTHENTICATIONFAILED]"},
	}...) {
		w.run("IMAP, "+tt.name, func(t *testing.T) {
			s := openIMAP(t, g)
			s.expect(t, tt.want, s.run(t, tt.command))
		})
	}
	for _, mechanism := range []string{"SCRAM-SHA-256", "CRAM-MD5"} {
		for password, want := range map[string]string{"pass": "OK", "wrong": "NO [AUTHENTICATIONFAILED]"} {
			w.run("IMAP, "+mechanism+" and "+password, func(t *testing.T) {
				s := openIMAP(t, g)
				s.expect(t, want, s.authenticate(t, mechanism, "user1@example.org", password))
			})
		}
	}
	checkDoveadm(w, g.Doveadm, system.GuestListeners(guest), users)
}

// checkDoveadm runs the commands of a doveadm that ask auth at its sockets, whose
// roles stand in the command lines.
func checkDoveadm(w *waits, doveadm func(string, ...string) (system.Said, error), sockets map[string]string, users system.Users) {
	for _, tt := range []struct {
		args string
		code int // -1: 75 in some releases, for the user who is broken
		want string
	}{
		{"user user1@example.org", 0, users.HomeOf(1)},
		{"user nobody@example.org", 67, ""},
		{"user broken@example.org", 75, ""},
		{"user user*", 0, "user1@example.org\nuser2@example.org\n"},
		{"mailbox list -A", -1, "user2@example.org INBOX\n"},
		{"auth test -a auth user1@example.org pass", 0, "auth succeeded"},
		{"auth test -a auth user1@example.org wrong", 77, "auth failed"},
		{"auth login -a login -m master user1@example.org pass", 0, "home=" + users.HomeOf(1)},
		{"auth lookup -a userdb user1@example.org", 0, "user1@example.org"},
		{"auth lookup -a userdb nobody@example.org", 67, ""},
		{"auth cache flush -a master", 0, "cache entries flushed"},
	} {
		w.run("doveadm "+tt.args, func(t *testing.T) {
			words := strings.Fields(tt.args)
			for i, w := range words {
				if path, ok := sockets[w]; ok && i > 2 {
					words[i] = path
				}
			}
			said, err := doveadm("", words...)
			if err != nil || tt.code >= 0 && said.Code != tt.code || !strings.Contains(said.Out+said.Err, tt.want) {
				t.Errorf("got %+v (%v), want %d and %q", said, err, tt.code, tt.want)
			}
		})
	}
}

func plainSASL(authzid, user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(authzid + "\x00" + user + "\x00" + password))
}

func checkLMTP(t *testing.T, socket string) {
	t.Helper()
	s, err := mailtest.Dial(socket, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	to := []string{"user1@example.org", "nobody@example.org", "broken@example.org", "user2@example.org"}
	replies, err := s.Deliver("sender@example.net", to, "Subject: one\n\nText.\n")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"250 ", "550 5.1.1 ", "451 ", "250 "} {
		if !strings.HasPrefix(replies[i], want) {
			t.Errorf("mail to %s: got %q, want %q", to[i], replies[i], want)
		}
	}
}

// imapLogin is one login and the beginning of its reply.
type imapLogin struct{ name, command, want string }

type imapSession struct{ *textproto.Conn }

func openIMAP(t *testing.T, g *system.Guest) imapSession {
	t.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client())}}
	conn, err := from.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", g.IMAPPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s := imapSession{textproto.NewConn(conn)}
	if _, err := s.ReadLine(); err != nil {
		t.Fatal(err)
	}
	return s
}

// run gives what comes up to the reply, which is the last line.
func (s imapSession) run(t *testing.T, command string) []string {
	t.Helper()
	if err := s.PrintfLine("a %s", command); err != nil {
		t.Fatal(err)
	}
	return s.until(t, "a ")
}

// until reads lines up to one with one of these beginnings.
func (s imapSession) until(t *testing.T, beginnings ...string) (all []string) {
	t.Helper()
	for {
		line, err := s.ReadLine()
		if err == io.EOF { // 2.3's words about a failed REQUEST may be lost
			return append(all, "a NO word before the end")
		}
		if err != nil {
			t.Fatalf("%v after %q", err, all)
		}
		all = append(all, line)
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(line, b) }) {
			return all
		}
	}
}

func (s imapSession) authenticate(t *testing.T, mechanism, user, password string) []string {
	t.Helper()
	c := startSASL(t, mechanism, user, password)
	defer c.stop()
	line := strings.TrimSpace("a AUTHENTICATE " + mechanism + " " + c.says(t))
	for {
		if err := s.PrintfLine("%s", line); err != nil {
			t.Fatal(err)
		}
		all := s.until(t, "a ", "+ ")
		challenge, more := strings.CutPrefix(all[len(all)-1], "+ ")
		if !more {
			return all
		}
		line = c.answers(t, challenge)
	}
}

// expect compares a login's reply; who is in must see the one message.
func (s imapSession) expect(t *testing.T, want string, login []string) {
	t.Helper()
	if got := login[len(login)-1]; !strings.HasPrefix(got, "a "+want+" ") {
		t.Errorf("got %q, want %s", got, want)
	} else if want == "OK" {
		if all := s.run(t, "SELECT INBOX"); !slices.Contains(all, "* 1 EXISTS") {
			t.Errorf("SELECT: got %q, want one message", all)
		}
	}
}

// Our LMTP and doveadm serve the users of a Dovecot, which lets them in as
// docs/compatibility.md has it.
func TestOursOnDovecotsUsers(t *testing.T) {
	t.Parallel()
	for _, release := range []string{"2.3", "2.4"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			needs(t)
			mailtest.NeedProgram(t, "mmdebstrap", "mmdebstrap")
			dir, users := someUsers(t, 2)
			d, err := system.StartDovecotAuth(filepath.Join(dir, "theirs"), release, users.Passwd()+guestBroken, `service auth {
  unix_listener auth-culver-userdb {
    mode = 0660
    group = mail
  }
}
`)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				d.Stop()
				if t.Failed() {
					t.Logf("end of Dovecot's log:\n%s", tail(d.Log(), 30))
				}
			})
			run := filepath.Dir(d.Auth)
			sockets := map[string]string{
				"userdb": filepath.Join(run, "auth-culver-userdb"), "master": filepath.Join(run, "auth-master"),
				"login": filepath.Join(run, "auth-login"), "auth": filepath.Join(run, "auth-client"),
			}
			awaitSockets(t, d.Process, sockets)
			c, err := system.StartCulverOn(filepath.Join(dir, "culver"), sockets["userdb"])
			if err != nil {
				t.Fatal(err)
			}
			stopAfter(t, c)
			checkLMTP(t, c.Socket)
			w := &waits{t: t}
			checkDoveadm(w, c.Doveadm, sockets, users)
			w.Wait()
		})
	}
}
