package peer

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// network is three hosts with mail, Culver on each, and a fourth from which they
// are administered. User i's mail is on host 1 + i%3.
type network struct {
	*system.Hosts
	users system.Users
	dir   string
	hosts []*system.Culver // from 1; host 4 is the fourth, without mail
}

const (
	mailHosts = 3
	adminHost = 4
)

func (n *network) of(i int) int { return 1 + i%mailHosts }

// startNetwork starts all four.
func startNetwork(t *testing.T, name string, users int) *network {
	t.Helper()
	mailtest.NeedRoot(t)
	mailtest.NeedProgram(t, "ip", "iproute2")
	dir, u := someUsers(t, users)
	h, err := system.MakeHosts(name, adminHost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Remove(); err != nil {
			t.Error(err)
		}
	})
	n := &network{Hosts: h, users: u, dir: dir, hosts: make([]*system.Culver, adminHost+1)}
	for i := 1; i <= adminHost; i++ {
		more := fmt.Sprintf(`lmtp_proxy = yes
doveadm_port = 24245
doveadm_send_password_in_clear = yes
login_trusted_networks = "10.99.0.0/24"
service lmtp {
  inet_listener "far" {
    address = %[1]q
    port    = 24
  }
}
service doveadm {
  inet_listener "far" {
    address = %[1]q
    port    = 24245
  }
}
`, h.Address(i))
		passwd := elsewhere(t, u, func(user int) string {
			if n.of(user) == i {
				return ""
			}
			return h.Address(n.of(user))
		})
		n.hosts[i] = startCulverOn(t, filepath.Join(dir, fmt.Sprint("host", i)), passwd, more, h.Command(i)...)
	}
	return n
}

// doveadm runs the command on the fourth host.
func (n *network) doveadm(args ...string) (system.Said, error) {
	return n.hosts[adminHost].DoveadmBy(n.Command(adminHost), "", args...)
}

// putMail puts a message into a user's INBOX.
func putMail(t *testing.T, users system.Users, i int) {
	t.Helper()
	name := filepath.Join(users.Maildir(i), "new", fmt.Sprintf("1600000000.%d.host", i))
	if err := os.WriteFile(name, []byte("Subject: x\n\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name, users.UID(i), users.GID(i)); err != nil {
		t.Fatal(err)
	}
}

// TestManyHosts: -A reaches the users of three hosts from a fourth. Then in
// mid-run the cable of host 2 is pulled, and put back when host 1's users are
// done; and host 3 is killed. What can be done is done, and who could not be
// reached is listed.
func TestManyHosts(t *testing.T) {
	t.Parallel()
	n := startNetwork(t, "ctmany", 3000)
	for i := 1; i <= n.users.N; i++ {
		putMail(t, n.users, i)
	}
	said, err := n.doveadm("-f", "tab", "mailbox", "status", "-A", "messages", "INBOX")
	if err != nil || said.Code != 0 {
		t.Fatalf("exit %d, %v: %.2000s", said.Code, err, said.Err)
	}
	if got := strings.Count(said.Out, "\t1\n"); got != n.users.N {
		t.Fatalf("%d users answered with one message, want %d: %.300s", got, n.users.N, said.Out)
	}
	left := func(host int) (count int) {
		for i := 1; i <= n.users.N; i++ {
			if n.of(i) == host {
				if files, err := n.users.Files(i); err != nil || len(files) > 0 {
					count++
				}
			}
		}
		return count
	}
	failed := filepath.Join(n.dir, "failed")
	done := make(chan system.Said, 1)
	go func() {
		said, err := n.doveadm("expunge", "-A", "--failed-file", failed, "mailbox", "INBOX", "all")
		if err != nil {
			t.Error(err)
		}
		done <- said
	}()
	await := func(what string, ok func() bool) {
		t.Helper()
		if err := mailtest.Await(what, time.Minute, ok); err != nil {
			t.Fatal(err)
		}
	}
	await("the run", func() bool { return left(2) < 950 })
	if err := n.Cut(2); err != nil {
		t.Fatal(err)
	}
	await("some more of host 3", func() bool { return left(3) < 700 })
	if err := n.hosts[3].Signal(9); err != nil {
		t.Fatal(err)
	}
	await("all of host 1, while the others are away", func() bool { return left(1) == 0 })
	if err := n.Join(2); err != nil {
		t.Fatal(err)
	}
	if said = <-done; said.Code != 75 {
		t.Errorf("exit %d, want 75: %.1000s", said.Code, said.Err)
	}
	if m := left(2); m != 0 {
		t.Errorf("%d users of host 2 were not done after it was back", m)
	}
	text, err := os.ReadFile(failed)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "\t")
		listed[strings.TrimSpace(name)] = true
	}
	want := map[string]bool{}
	for i := 1; i <= n.users.N; i++ {
		if files, _ := n.users.Files(i); len(files) > 0 {
			want[n.users.Name(i)] = true
		}
	}
	// Of the users in hand when it was killed nobody knows whether they are done.
	extra := maps.Clone(listed)
	for name := range want {
		if !listed[name] {
			t.Errorf("%s has mail and is not in the failed file", name)
		}
		delete(extra, name)
	}
	if len(want) == 0 || len(extra) > 8 {
		t.Errorf("%d users have mail, %d more are listed than have: want some, and at most the eight in hand", len(want), len(extra))
	}
	t.Log(tail(said.Err, 3))
}
