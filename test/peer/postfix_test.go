package peer

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// postfix is a Postfix of the test's own: its configuration, queue and data lie
// in one folder, it listens on no port, and the machine's own Postfix, if there
// is one, never hears of it.
type postfix struct {
	dir string // with etc, spool, data and maillog
}

// No smtpd on a port: mail comes in through an smtpd on a socket in public/.
// Nothing is chrooted, so that the LMTP socket may lie outside of the queue.
const masterCF = `
submit    unix  n       -       n       -       -       smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
`

// A bounce must not leave: it would be delivered to the sender's domain, which
// is nobody's. The notices stay in the log, where the tests look.
const mainCF = `
compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
myhostname = postfix.example.net
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_timeout = 60s
smtpd_tls_security_level = none
lmtp_tls_security_level = none
notify_classes =
virtual_mailbox_domains = example.org
virtual_mailbox_maps =
virtual_transport = %[2]s
lmtp_destination_recipient_limit = 50
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
transport_retry_time = 1s
`

// startPostfix runs a Postfix that hands all mail for example.org to transport.
func startPostfix(t *testing.T, transport string) *postfix {
	t.Helper()
	return startPostfixWith(t, transport, "", "")
}

// startPostfixWith gives it more configuration and services.
func startPostfixWith(t *testing.T, transport, main, master string) *postfix {
	t.Helper()
	dir, err := mailtest.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postfix{dir: dir}
	for _, d := range []string{"etc", "spool", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	p.write(t, "main.cf", fmt.Sprintf(mainCF, dir, transport)+main)
	p.write(t, "master.cf", masterCF+master)
	p.run(t, "start")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the Postfix log:\n%s", tail(p.log(t), 20))
		}
		p.run(t, "stop")
	})
	if err := mailtest.Await("the submission socket", 10*time.Second, func() bool {
		c, err := net.Dial("unix", filepath.Join(dir, "spool/public/submit"))
		if err == nil {
			c.Close()
		}
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *postfix) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, "etc", name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run is the postfix command on this instance.
func (p *postfix) run(t *testing.T, command string) {
	t.Helper()
	c := exec.Command("/usr/sbin/postfix", "-c", filepath.Join(p.dir, "etc"), command)
	// MAIL_* would lead it to another instance; without a terminal it logs to the file.
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("postfix %s: %v\n%s%s", command, err, out, p.log(t))
	}
}

// mail is one message of a run and the users that must have it afterwards.
type mail struct {
	id string
	to []int
}

// mails is n messages with 1 to most recipients each among the users, the same ones
// for the same seed.
func mails(seed uint64, n, most, users int) []mail {
	rnd := rand.New(rand.NewPCG(seed, 1))
	all := make([]mail, n)
	for i := range all {
		all[i].id = fmt.Sprintf("<%d.%d@test.example.net>", seed, i)
		for _, u := range rnd.Perm(users)[:1+rnd.IntN(most)] {
			all[i].to = append(all[i].to, u+1)
		}
	}
	return all
}

// submit gives the messages to Postfix over one SMTP session.
func (p *postfix) submit(t *testing.T, users system.Users, all []mail) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(p.dir, "spool/public/submit"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range all {
		if err := p.submitOne(c, users, m); err != nil {
			t.Fatalf("Postfix takes %s: %v", m.id, err)
		}
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
}

func (p *postfix) submitOne(c *smtp.Client, users system.Users, m mail) error {
	if err := c.Mail("sender@example.net"); err != nil {
		return err
	}
	for _, u := range m.to {
		if err := c.Rcpt(users.Name(u)); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: <sender@example.net>\r\nSubject: test\r\nMessage-ID: %s\r\n\r\n%s",
		m.id, strings.Repeat("A line of text. .\r\n.\r\n..\r\n", 40))
	return w.Close()
}

// queued is the number of messages that Postfix still holds. It looks into the
// queue's folders: showq would tell the same a process later.
func (p *postfix) queued(t *testing.T) int {
	t.Helper()
	n := 0
	for _, q := range []string{"maildrop", "incoming", "active", "deferred", "hold"} {
		err := filepath.WalkDir(filepath.Join(p.dir, "spool", q), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				n++
			}
			return nil // a file that moved on meanwhile is seen in the next round
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// drain flushes the queue until it is empty.
func (p *postfix) drain(t *testing.T, limit time.Duration) {
	t.Helper()
	end := time.Now().Add(limit)
	for p.queued(t) > 0 {
		if time.Now().After(end) {
			t.Fatalf("Postfix still holds %d messages after %v; its log ends:\n%s", p.queued(t), limit, tail(p.log(t), 30))
		}
		p.run(t, "flush")
		waitFor(time.Second, func() bool { return p.queued(t) == 0 })
	}
}

func (p *postfix) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "maillog"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// waitFor tells whether it came true in time.
func waitFor(limit time.Duration, ok func() bool) bool { return mailtest.Await("it", limit, ok) == nil }
