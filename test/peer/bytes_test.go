package peer

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

const (
	hello0 = "VERSION\tdoveadm-server\t1\t0\n"
	hello1 = "VERSION\tdoveadm-server\t1\t1\n"
	hello2 = "VERSION\tdoveadm-server\t1\t2\n"
	hello3 = "VERSION\tdoveadm-server\t1\t3\n"
	hello4 = "VERSION\tdoveadm-server\t1\t4\n"
)

// plain is the line that logs in.
func plain(authzid, user, password string) string {
	return "PLAIN\t" + base64.StdEncoding.EncodeToString([]byte(authzid+"\x00"+user+"\x00"+password)) + "\n"
}

// exchange sends all at once, ends our direction, and gives what came until the
// server ended its own.
func exchange(t *testing.T, network, addr, send string) string {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		io.WriteString(c, send) // fails where the server has heard enough
		c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%.80q: %v after %q", send, err, got)
	}
	return string(got)
}

// unpack gives the greeting, the reply and the log lines of a connection.
func unpack(t *testing.T, got string) (greeting, reply, logs string) {
	t.Helper()
	at := strings.Index(got, "+\n") + 2
	greeting, got = got[:at], got[at:]
	for len(got) > 0 {
		if len(got) < 5 || len(got) < 5+int(binary.BigEndian.Uint32([]byte(got[1:5]))) {
			t.Fatalf("no packet: %q", got)
		}
		end := 5 + int(binary.BigEndian.Uint32([]byte(got[1:5])))
		switch got[0] {
		case 0:
			reply += got[5:end]
		case 'L':
			logs += got[5:end]
		}
		got = got[end:]
	}
	return greeting, reply, logs
}

// aServer has one user with one flagged message.
func aServer(t *testing.T) (c *system.Culver, user string) {
	t.Helper()
	mailtest.NeedRoot(t)
	dir, users := someUsers(t, 1)
	c = startCulver(t, dir, users, "")
	if said, err := c.Doveadm("Subject: one\n\none\n", "save", "-u", users.Name(1)); err != nil || said.Code != 0 {
		t.Fatalf("save: %+v (%v)", said, err)
	}
	return c, users.Name(1)
}

// What a server must make of bytes that no good client sends, and of all that a
// good one may send (spec/doveadm.md 1 and 8).
func TestBytesOnTheWire(t *testing.T) {
	t.Parallel()
	c, user := aServer(t)
	network := fmt.Sprintf("127.0.0.1:%d", c.AdminPort)
	count := "\t" + user + "\tmailbox status\t--\tmessages unseen\tINBOX\n"
	const one = "INBOX\t1\t1\t"
	expunge := "\t" + user + "\texpunge\t--\tmailbox\tINBOX\tall\n"
	login := plain("", "doveadm", system.AdminPassword)

	t.Run("by the client's minor", func(t *testing.T) {
		if got, want := exchange(t, "unix", c.Admin, hello0+count), "+\n"+one+"\n+\n"; got != want {
			t.Errorf("0: got %q, want %q", got, want)
		}
		for _, hello := range []string{hello1, hello2, hello3, hello4} {
			greeting, reply, logs := unpack(t, exchange(t, "unix", c.Admin, hello+count))
			if !strings.HasPrefix(greeting, "VERSION\tdoveadm-client\t1\t") || !strings.HasSuffix(greeting, "\n+\n") || reply != one+"\n+\n" || logs != "" {
				t.Errorf("%q: got %q, %q, %q", hello, greeting, reply, logs)
			}
			masked := strings.Replace(count, "\t--", "\t-u\tuser*\t--", 1)
			want := one + "\n+\n"
			if hello < hello3 {
				want = user + "\t" + want
			}
			if _, reply, _ = unpack(t, exchange(t, "unix", c.Admin, hello+masked)); reply != want {
				t.Errorf("%q: with a mask got %q, want %q", hello, reply, want)
			}
			missing := "\t" + user + "\texpunge\t--\tmailbox\tNope\tall\tseen\n"
			_, reply, logs = unpack(t, exchange(t, "unix", c.Admin, hello+missing))
			if reply != "\n-NOTFOUND\n" || (logs == "") != (hello >= hello3) {
				t.Errorf("%q: for a missing mailbox got %q and %q", hello, reply, logs)
			}
		}
	})

	for _, tt := range []struct{ name, send, greeting, reply, log string }{
		{"lines with CRLF", strings.ReplaceAll(hello2+count, "\n", "\r\n"), "+\n", one + "\n+\n", ""},
		{"two commands in one packet", hello2 + count + count, "+\n", one + "\n+\n" + one + "\n+\n", ""},
		{"the first word of a command alone", hello2 + strings.Replace(count, "mailbox status", "mailbox\tstatus", 1), "+\n", one + "\n+\n", ""},
		{"a user named by -u is not whom it runs for", hello2 + strings.Replace(count, "\t--", "\t-u\tnobody\t--", 1), "+\n", one + "\n+\n", ""},
		{"a mask is nobody's name", hello2 + strings.Replace(count, user, "user*", 1), "+\n", "\n-NOUSER\n", "doveadm"},
		{"no user", hello2 + strings.Replace(count, user, "", 1), "+\n", "\n-NOUSER\n", "doveadm"},
		{"an unknown command", hello2 + "\t" + user + "\tnosuchcmd\tfoo\n", "+\n", "\n-\n", "Client sent unknown command: nosuchcmd"},
		{"a missing argument", hello2 + "\t" + user + "\tmailbox status\n", "+\n", "\n-USAGE\n", "doveadm"},
		{"an argument too many", hello2 + "\t" + user + "\tpurge\t--\tx\n" + count, "+\n", "\n-USAGE\n" + one + "\n+\n", "purge"},
		{"an unknown flag", hello2 + "q\t" + user + "\tpurge\n" + count, "+\n", "\n-USAGE\n", "doveadm client"},
		{"two fields", hello2 + "\t" + user + "\n" + count, "+\n", "\n-USAGE\n", "No command given"},
		{"no field", hello2 + "\n" + count, "+\n", "\n-USAGE\n", "No command given"},
		{"a command of workers among themselves", hello2 + "\t" + user + "\texport\t--\tcopy\tall\n", "+\n", "\n-\n", "unknown command"},
		{"a command of the host's", hello2 + "\t\tstop\n", "+\n", "\n-\n", "not for a server"},
		{"OPTION to a server that knows it", hello3 + "\t\tOPTION\tlog-passthrough\tother\n" + strings.Replace(count, "INBOX", "Nope", 1), "+\n", "\n-NOTFOUND\n", "Nope"},
		{"OPTION of an older client", hello2 + "\t\tOPTION\tlog-passthrough\n", "+\n", "\n-\n", "unknown command"},
		{"the blob of x", hello3 + "x\tproxy-ttl=5\x01tforward=a=b\x01tother\t" + user + "\tmailbox status\t--\tmessages unseen\tINBOX\n", "+\n", one + "\n+\n", ""},
		{"the blob of x to an older server", hello2 + "x\tproxy-ttl=5\t" + user + "\tmailbox status\t--\tmessages unseen\tINBOX\n", "+\n", "\n-USAGE\n", "doveadm client"},
		{"STARTTLS when nobody is asked", hello2 + "STARTTLS\n" + count, "+\n", "\n-USAGE\n", "No command given"},
		{"names with control characters", hello2 + strings.Replace(count, "INBOX", "a\x01nb\x01tc\x010d", 1), "+\n", "", "doveadm"},
		{"a name that leads elsewhere", hello2 + strings.Replace(count, "INBOX", "../../etc", 1), "+\n", "", "doveadm"},
		{"a line of 1.2 MB", hello2 + strings.Replace(count, "INBOX", strings.Repeat("x", 1200000), 1) + expunge, "+\n", "\n-DATAERR\n", "longer than 1 MiB"},
		{"a line without an end", hello2 + strings.TrimSuffix(expunge, "\n"), "+\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			greeting, reply, logs := unpack(t, exchange(t, "unix", c.Admin, tt.send))
			if !strings.HasSuffix(greeting, tt.greeting) {
				t.Errorf("got greeting %q", greeting)
			}
			if tt.reply == "" && strings.Contains(reply, "+\n") || tt.reply != "" && reply != tt.reply {
				t.Errorf("got reply %q, want %q", reply, tt.reply)
			}
			if (tt.log == "") != (logs == "") || !strings.Contains(logs, tt.log) {
				t.Errorf("got log lines %q, want %q", logs, tt.log)
			}
		})
	}

	t.Run("greetings that are none", func(t *testing.T) {
		for _, hello := range []string{"VERSION\tdoveadm-server\t1\n", "VERSION\tdoveadm-server\t2\t0\n", "VERSION\tdoveadm-client\t1\t2\n",
			"VERSION\tdoveadm-server\t1\tx\n", "GET / HTTP/1.1\r\n", "\n", strings.Repeat("V", 100000)} {
			if got := exchange(t, "unix", c.Admin, hello+count); got != "" {
				t.Errorf("%.40q: got %q, want nothing", hello, got)
			}
		}
	})

	t.Run("who must log in", func(t *testing.T) {
		greeting, reply, _ := unpack(t, exchange(t, "tcp", network, hello2+login+count+count))
		if !strings.HasSuffix(greeting, "\n-\n+\n") || reply != one+"\n+\n"+one+"\n+\n" {
			t.Errorf("all in one packet: got %q, %q", greeting, reply)
		}
		if got, want := exchange(t, "tcp", network, hello0+login+count), "-\n+\n"+one+"\n+\n"; got != want {
			t.Errorf("minor 0: got %q, want %q", got, want)
		}
		for name, auth := range map[string]string{
			"STARTTLS": "STARTTLS\n" + login, "wrong password": plain("", "doveadm", "x"), "no password": plain("", "doveadm", ""),
			"another name": plain("", "root", system.AdminPassword), "on behalf of another": plain("doveadm", "doveadm", system.AdminPassword),
			"not base64": "PLAIN\t****\n", "no PLAIN": "LOGIN\t" + login[6:], "a command": expunge, "half a line": strings.TrimSuffix(login, "\n"),
			"a line too long": "PLAIN\t" + strings.Repeat("A", 100000) + "\n",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // a wrong password costs seconds
				more := expunge
				if name == "half a line" {
					more = ""
				}
				got := exchange(t, "tcp", network, hello2+auth+more)
				if !strings.HasSuffix(got, "\n-\n-\n") || strings.Contains(got, "+") {
					t.Errorf("got %q, want refusal", got)
				}
			})
		}
	})

	t.Run("input is never a command", func(t *testing.T) {
		text := "Subject: x\r\n\r\n" + strings.ReplaceAll(expunge, "\n", "\r\n")
		save := "\t" + user + "\tsave"
		for _, tt := range []struct{ name, command, end, reply string }{
			{"an option that is none", save + "\t--nosuch\n", "\r\n.\r\n", "\n-USAGE\n"},
			{"a value that is none", save + "\t-U\tx\t--\n", "\r\n.\r\n", "\n-USAGE\n"},
			{"a missing value", save + "\t-m\n", "\r\n.\r\n", "\n-USAGE\n"},
			{"a mailbox that is missing", save + "\t-m\tNope\t--\n", "\r\n.\r\n", "\n-NOTFOUND\n"},
			{"a user who is missing", "\tnobody\tsave\t--\n", "\r\n.\r\n", "\n-NOUSER\n"},
			{"a file of the server's", save + "\t--\t/etc/passwd\n", "\r\n.\r\n", "\n-USAGE\n"},
			{"a name that is misspelt", "\t" + user + "\tsvae\n", "\r\n.\r\n", "\n-\n"},
			{"an end that is missing", save + "\t--\n", "", "\n-TEMPFAIL\n"},
			{"half an end", save + "\t--\n", "\r\n.", "\n-TEMPFAIL\n"},
		} {
			_, reply, _ := unpack(t, exchange(t, "unix", c.Admin, hello2+tt.command+text+tt.end))
			if reply != tt.reply {
				t.Errorf("%s: got %q, want %q", tt.name, reply, tt.reply)
			}
		}
	})

	if _, reply, _ := unpack(t, exchange(t, "unix", c.Admin, hello2+count)); reply != one+"\n+\n" {
		t.Errorf("in the end there is %q, want the one message", reply)
	}
}

// A thousand strangers who say nothing keep no administrator out.
func TestIdleStrangersBlockNobody(t *testing.T) {
	t.Parallel()
	c, user := aServer(t)
	addr := fmt.Sprintf("127.0.0.1:%d", c.AdminPort)
	for i := range 1000 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			io.WriteString(conn, hello2)
		}
	}
	search := "\t" + user + "\tsearch\t--\tall\n"
	begun := time.Now()
	for network, got := range map[string]string{
		"unix": exchange(t, "unix", c.Admin, hello2+search),
		"tcp":  exchange(t, "tcp", addr, hello2+plain("", "doveadm", system.AdminPassword)+search),
	} {
		if !strings.HasSuffix(got, "\n+\n") {
			t.Errorf("%s: got %q", network, got)
		}
	}
	t.Logf("two commands in %v", time.Since(begun))
}

// Command lines that Dovecot's client would not send get of ours what they get of
// Dovecot's server, and a status line where that dies of them.
func TestTheSameBytesGetTheSameReply(t *testing.T) {
	t.Parallel()
	needs(t)
	d, dir, users, copies := startDovecotOn(t, 2, releases[0])
	c := startCulver(t, dir, copies, "")
	for _, line := range []string{
		"search|nosuch",
		"search|mailbox|INBOX|(|seen",
		"search|--|mailbox|INBOX|all",
		"search|-A|--|mailbox|INBOX|1",
		"search|-u|user*|mailbox|INBOX|1",
		"search|-u|nobody|mailbox|INBOX|1",
		"search|--nosuch|all",
		"search|-x|all",
		"fetch|nosuch|mailbox|INBOX|1",
		"fetch|-A|uid flags|mailbox|INBOX|1",
		"fetch|uid hdr|mailbox|INBOX|1",
		"fetch|uid hdr.x-multi hdr|mailbox|INBOX|2",
		"fetch|body.preview uid|mailbox|INBOX|1:2",
		"expunge|all",
		"expunge|mailbox|Nonexist|uid|1",
		"flags add|\\Bad|mailbox|INBOX|1",
		"flags|add|Kw|mailbox|INBOX|1",
		"flags add|--|-kw|mailbox|INBOX|1",
		"fetch|flags|mailbox|INBOX|1",
		"copy|Work|mailbox|INBOX|uid|1",
		"copy|--|Nonexist|mailbox|INBOX|1",
		"move|Work|mailbox|INBOX|uid|99",
		"mailbox list|-8s",
		"mailbox list|--subscriptions",
		"mailbox list|--|Work",
		"mailbox|list|Work",
		"mailbox  list",
		"Search|all",
		"sear|all",
		"mailbox status|messages unseen|Work",
		"mailbox status|-t|vsize messages|Work|Trash",
		"mailbox create|Work",
		"mailbox create|a\x01nb",
		"mailbox delete|-s|Nonexist",
		"mailbox path|Nonexist",
		"purge|x",
		"purge|-x",
		"force-resync|Work",
		"deduplicate|mailbox|INBOX|all",
	} {
		send := hello2 + "\t" + users.Name(1) + "\t" + strings.ReplaceAll(line, "|", "\t") + "\n"
		_, want, wantLogs := unpack(t, exchange(t, "unix", d.Admin, send))
		_, got, gotLogs := unpack(t, exchange(t, "unix", c.Admin, send))
		got, want = recent.ReplaceAllString(strings.ReplaceAll(got, "/copy/homes/", "/homes/"), ""), recent.ReplaceAllString(want, "")
		if want == "" && strings.HasPrefix(got, "\n-") && gotLogs != "" {
			continue
		}
		if got != want || gotLogs == "" && wantLogs != "" {
			t.Errorf("%s\n got %.300q\n     %q\nwant %.300q\n     %q", line, got, gotLogs, want, wantLogs)
		}
	}
}
