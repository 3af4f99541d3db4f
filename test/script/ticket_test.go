package script

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/mailtest"
)

// adminConf lets one administrator in, whose reach is a domain and some commands.
const adminConf = `
audit_log_path = "$DIR/log/audit.log"
passdb "admins" {
  driver = "passwd-file"
  path   = "$DIR/admins"
  master = yes
}
`

const adminLine = "admin@example.org:{PLAIN}adminpw::::::allow_users=*@example.org allow_commands=search,fetch,copy,batch,mailbox*\n"

// administered is a system with that administrator and users of two domains, and
// where its network front listens.
func administered(t *testing.T, standIns ...string) (c *mailtest.Culver, address string) {
	t.Helper()
	extra, address := doveadmOnTheNetwork(t, scratch(t))
	c = prepared(t, mailtest.Options{Names: []string{"x@example.org", "y@example.org", "x@other.org"}, Extra: adminConf + extra}, standIns...)
	if err := os.WriteFile(filepath.Join(c.Dir, "admins"), []byte(adminLine), 0o644); err != nil {
		t.Fatal(err)
	}
	started(t, c)
	return c, address
}

// audit waits for a line with all parts in the audit log.
func audit(t *testing.T, c *mailtest.Culver, parts ...string) {
	t.Helper()
	var text []byte
	err := mailtest.Await(fmt.Sprintf("a record with %q", parts), patience, func() bool {
		text, _ = os.ReadFile(filepath.Join(c.Dir, "log", "audit.log"))
		for line := range strings.Lines(string(text)) {
			found := strings.Contains(line, ": Audit: ")
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Errorf("%v:\n%s", err, text)
	}
}

// What a front of the network gets that somebody has taken over: the reach of who
// logged in over it, a command at a time, and nothing without a ticket.
func TestAFrontThatWasTakenOverHasItsOwnReachOnly(t *testing.T) {
	t.Parallel()
	c, address := administered(t, "doveadm-server")
	local := dial(t, "unix", filepath.Join(filepath.Dir(c.Socket), "doveadm-server"))
	network := dial(t, "tcp", address)
	const forbidden = "no worker: the master says that it is not ours to ask for (its own line says why)"

	network.ask("hire x@example.org", forbidden)
	network.ask("hire x@example.org 0123456789abcdef0123456789abcdef", forbidden)
	network.ask("login admin@example.org wrong", "authentication failed")
	network.ask("login x@example.org secret", "authentication failed")
	network.ask("login admin@example.org adminpw", "network admin@example.org")

	ticket := network.ticket("x@example.org", "search")
	network.ask("hire x@example.org "+ticket, "network ok")
	network.ask("ask expunge mailbox INBOX all", "network -NOPERM")
	network.ask("hire x@example.org "+ticket, forbidden)
	if _, err := c.AwaitLog(patience, "x@example.org", "expunge is not what the ticket was for"); err != nil {
		t.Error(err)
	}

	network.ask("hire y@example.org "+network.ticket("x@example.org", "search"), forbidden)
	network.ask("hire x@example.org "+network.ticket("x@example.org", "search"), "network ok")
	network.ask("ask search mailbox INBOX all", "network +")
	network.ask("hire X@example.org "+network.ticket("X@Example.org", "mailbox_list"), forbidden) // its canonical name is another
	network.ask("hire x@example.org "+network.ticket("X@Example.org", "mailbox_list"), "network ok")
	network.ask("ask mailbox_list", "network +")

	ticket = network.ticket("x@example.org", "batch search")
	network.ask("hire x@example.org "+ticket, "network ok")
	network.ask("ask batch , search mailbox INBOX all , expunge mailbox INBOX all", "network -NOPERM")

	local.ask("hire x@example.org "+network.ticket("x@example.org", "search"), forbidden)
	local.ask("hire x@example.org", "local ok")
	for _, line := range []string{"without a ticket", "does not know the ticket", "asks with one"} {
		if _, err := c.AwaitLog(patience, "request for a worker is refused", line); err != nil {
			t.Error(err)
		}
	}
	for _, order := range []string{"ticket x@other.org search", "ticket x@example.org expunge", "ticket x@example.org batch expunge",
		"ticket x@example.org export", "ticket x@example.org smtp"} {
		fmt.Fprintln(network, order)
		if network.in.Scan(); !strings.HasPrefix(network.in.Text(), "authentication failed: ") {
			t.Errorf("%s: got %q, want a refusal", order, network.in.Text())
		}
	}
	text, err := os.ReadFile(c.Log)
	if err != nil || bytes.Contains(text, []byte(ticket)) || bytes.Contains(text, []byte("adminpw")) {
		t.Errorf("%v, or the log shows a ticket or a password", err)
	}
	// What the front says of itself is no record, whatever it looks like.
	for _, parts := range [][]string{{"admin@example.org", "x@example.org", "search"}, {"x@other.org"}, {"expunge"}} {
		audit(t, c, parts...)
	}
}

// client runs our doveadm as somebody on another host.
func remote(t *testing.T, address, name, password string) func(args ...string) (code int, out, errors string) {
	t.Helper()
	dir := t.TempDir()
	conf, secret := filepath.Join(dir, "client.conf"), filepath.Join(dir, "password")
	err := errors.Join(os.WriteFile(secret, []byte(password+"\n"), 0o600),
		os.WriteFile(conf, []byte(fmt.Sprintf("doveadm_username = %q\ndoveadm_password_file = %q\n", name, secret)), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string, string) {
		var out, said bytes.Buffer
		cmd := exec.Command(filepath.Join(mailtest.Repository(), "bin", "doveadm"), append([]string{"-c", conf}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), said.String()
	}
}

func TestAnAdministratorOfOneDomain(t *testing.T) {
	t.Parallel()
	c, address := administered(t)
	doveadm := remote(t, address, "admin@example.org", "adminpw")
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"its own domain", []string{"search", "-S", address, "-u", "x@example.org", "all"}, 0, ""},
		{"in capitals", []string{"search", "-S", address, "-u", "X@EXAMPLE.org", "all"}, 0, ""},
		{"another one", []string{"search", "-S", address, "-u", "x@other.org", "all"}, 77, "x@other.org"},
		{"a command that it has not", []string{"expunge", "-S", address, "-u", "x@example.org", "mailbox", "INBOX", "all"}, 77, "expunge"},
		{"nor in a batch", []string{"batch", "-S", address, "-u", "x@example.org", ",", "search", "all", ",", "expunge", "mailbox", "INBOX", "all"}, 77, "expunge"},
		{"a batch that it has", []string{"batch", "-S", address, "-u", "x@example.org", ",", "search", "all", ",", "search", "unseen"}, 0, ""},
		{"one of mailbox*", []string{"mailbox", "status", "-S", address, "-u", "x@example.org", "messages", "INBOX"}, 0, ""},
		{"a copy within its domain", []string{"copy", "-S", address, "-u", "x@example.org", "INBOX", "user", "y@example.org", "mailbox", "INBOX", "all"}, 0, ""},
		{"a copy from beyond", []string{"copy", "-S", address, "-u", "x@example.org", "INBOX", "user", "x@other.org", "mailbox", "INBOX", "all"}, 77, "x@other.org"},
		{"nobody", []string{"search", "-S", address, "-u", "nobody@example.org", "all"}, 67, ""},
	} {
		code, out, said := doveadm(tt.args...)
		if code != tt.code || !strings.Contains(said, tt.says) {
			t.Errorf("%s: got %d, %q, %q, want %d, %q", tt.name, code, out, said, tt.code, tt.says)
		}
	}
	audit(t, c, "admin@example.org", "x@example.org", "search")
	audit(t, c, "admin@example.org", "x@other.org")
	if code, _, said := remote(t, address, "admin@example.org", "wrong")("search", "-S", address, "-u", "x@example.org", "all"); code == 0 || !strings.Contains(said, "password") {
		t.Errorf("a wrong password: got %d, %q", code, said)
	}
	everything := remote(t, address, "doveadm", "secret")
	if code, _, said := everything("expunge", "-S", address, "-u", "x@other.org", "mailbox", "INBOX", "all"); code != 0 {
		t.Errorf("the shared password: got %d, %q", code, said)
	}
}

// Each connection has a process of its own, so that none holds two logins; and the
// place of one that says nothing is another's.
func TestEachConnectionOfTheNetworkHasItsFront(t *testing.T) {
	t.Parallel()
	extra, address := doveadmOnTheNetwork(t, scratch(t))
	c := prepared(t, mailtest.Options{Names: []string{"alice"}, Extra: extra + "service doveadm {\n  process_limit = 2\n}\n"})
	a := started(t, c)
	fronts := func(want, known int) {
		t.Helper()
		err := mailtest.Await(fmt.Sprintf("the moment with %d fronts of the network, of which %d know their client", want, known), patience, func() bool {
			all, err := a.Processes("doveadm")
			if err != nil {
				t.Fatal(err)
			}
			n, in := -1, 0 // without that of the host's own sockets
			for _, p := range all {
				if p.User == "" {
					n++
				}
				if p.Available == 0 && p.Total == 1 {
					in++
				}
			}
			return n == want && in == known
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fronts(1, 0)
	first := greeted(t, address)
	fronts(2, 0) // one with a client, one that listens
	fmt.Fprint(first, "PLAIN\tAGRvdmVhZG0Ac2VjcmV0\n")
	if got := first.line(); got != "+" {
		t.Fatalf("got %q, want +", got)
	}
	silent := greeted(t, address)
	// All places are taken: whoever comes now gets the silent one's.
	third := greeted(t, address)
	fmt.Fprint(third, "PLAIN\tAGRvdmVhZG0Ac2VjcmV0\n")
	if got := third.line(); got != "+" {
		t.Errorf("got %q, want +", got)
	}
	if got := silent.line(); got != "EOF" {
		t.Errorf("who says nothing got %q", got)
	}
	fronts(2, 2)
	first.Close()
	third.Close()
	fronts(1, 0)
}

// peer is a client that speaks by hand.
type peer struct {
	net.Conn
	in *bufio.Reader
}

func (p *peer) line() string {
	s, err := p.in.ReadString('\n')
	if err != nil {
		return "EOF"
	}
	return strings.TrimSuffix(s, "\n")
}

// greeted is one whom a front has answered.
func greeted(t *testing.T, address string) *peer {
	t.Helper()
	conn := connect(t, "127.0.0.1", address)
	p := &peer{conn, bufio.NewReader(conn)}
	fmt.Fprint(p, "VERSION\tdoveadm-server\t1\t2\n")
	if got := p.line(); !strings.HasPrefix(got, "VERSION") {
		t.Fatalf("got %q", got)
	}
	if got := p.line(); got != "-" {
		t.Fatalf("got %q, want -", got)
	}
	return p
}
