package script

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/internal/masterproto"
)

// prepared is a system that is not started, with stand-ins for some programs.
func prepared(t *testing.T, o mailtest.Options, standIns ...string) *mailtest.Culver {
	t.Helper()
	o.Dir, o.FirstUID = filepath.Join(scratch(t), "system"), firstUID
	c, err := mailtest.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range standIns {
		if err := mailtest.PlaceProgram(mailtest.StandIn(), filepath.Join(c.Bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func started(t *testing.T, c *mailtest.Culver) *masterproto.Client {
	t.Helper()
	if err := c.Start(false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Log(c.Trouble())
		}
	})
	return administrator(t, c)
}

func administrator(t *testing.T, c *mailtest.Culver) *masterproto.Client {
	t.Helper()
	a, err := masterproto.Dial(context.Background(), filepath.Dir(c.Socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// accesses waits until so many are under way, and gives them.
func accesses(t *testing.T, a *masterproto.Client, want int) (all []masterproto.Access) {
	t.Helper()
	err := mailtest.Await(fmt.Sprintf("the moment with %d accesses", want), patience, func() (ok bool) {
		var err error
		if all, err = a.Accesses(); err != nil {
			t.Fatal(err)
		}
		return len(all) == want
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAdministratorSeesAndEndsADelivery(t *testing.T) {
	t.Parallel()
	c := prepared(t, mailtest.Options{Names: []string{"alice", "bob"}}, "lmtp-deliver")
	alice := c.Users[0]
	if err := errors.Join(mailtest.Play(alice, "waits", gate(alice)), unix.Mkfifo(gate(alice), 0o600), os.Chown(gate(alice), alice.UID, alice.GID)); err != nil {
		t.Fatal(err)
	}
	a := started(t, c)
	s, err := mailtest.Dial(c.Socket, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Begin("sender@example.org", []string{"alice"}, message), s.Dot()); err != nil {
		t.Fatal(err)
	}
	who := accesses(t, a, 1)[0]
	if who.User != "alice" || who.Service != "lmtp" || uidOf(t, who.PID) != alice.UID {
		t.Errorf("got %+v under uid %d, want alice's %d", who, uidOf(t, who.PID), alice.UID)
	}
	processes, err := a.Processes("lmtp")
	if err != nil || !slices.ContainsFunc(processes, func(p masterproto.Process) bool { return p.PID == who.PID && p.User == "alice" }) {
		t.Errorf("got %+v, %v: the worker is not there", processes, err)
	}
	if err := a.Kick(masterproto.Access{User: "bob", PID: who.PID}); err != masterproto.ErrNotFound {
		t.Errorf("the process serves another, and got %v", err)
	}
	if err := a.Kick(who); err != nil {
		t.Error(err)
	}
	f, err := os.OpenFile(gate(alice), os.O_WRONLY, 0) // a delivery is finished, kicked or not
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	replies, err := s.End()
	if err == nil {
		err = match(replies, []string{"250 2.0.0 "})
	}
	if err != nil {
		t.Error(err)
	}
	s.Command("QUIT")
	accesses(t, a, 0)
}

// uidOf tells whose a process is.
func uidOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status") // not the folder's owner: it is not dumpable
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nUid:\t")
	uid, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return uid
}

func TestAdministratorReloadsStopsAServiceAndAll(t *testing.T) {
	t.Parallel()
	c := prepared(t, mailtest.Options{Names: []string{"alice"}, Extra: "\n"})
	a := started(t, c)
	more := filepath.Join(c.Dir, "more.conf")
	write := func(text string) {
		if err := os.WriteFile(more, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("no_such_setting = 1\n")
	var refused *masterproto.Refused
	if err := a.Reload(); !errors.As(err, &refused) || len(refused.Problems) == 0 || !strings.Contains(refused.Problems[0], "more.conf:1:1: ") {
		t.Errorf("a reload of what is wrong: got %v", err)
	}
	write("login_greeting = \"Another.\"\n")
	if err := a.Reload(); err != nil {
		t.Error(err)
	}
	if err := a.StopService("lmtp"); err != nil {
		t.Fatal(err)
	}
	if mailtest.Greets("unix", c.Socket) {
		t.Error("a service that was stopped greets")
	}
	if s, err := a.Services("lmtp"); err != nil || len(s) != 1 || !s[0].Stopped || s[0].Listening {
		t.Errorf("got %+v, %v", s, err)
	}
	if err := a.Reload(); err != nil {
		t.Error(err)
	}
	if err := c.Until("LMTP after the reload", patience, func() bool { return mailtest.Greets("unix", c.Socket) }); err != nil {
		t.Error(err)
	}
	services, err := a.Services()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log", "auth", "lmtp"} {
		i := slices.IndexFunc(services, func(s masterproto.Service) bool { return s.Name == name })
		if i < 0 || services[i].Stopped || services[i].Throttle != 0 || !services[i].FailureLast.IsZero() {
			t.Errorf("%s: got %+v", name, services)
		}
	}
	if err := os.Rename(c.Log, c.Log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := a.ReopenLogs(); err != nil {
		t.Error(err)
	}
	if err := c.Until("the log file", patience, func() bool { _, err := os.Stat(c.Log); return err == nil }); err != nil {
		t.Error(err)
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case <-c.Ended():
	case <-time.After(patience):
		t.Error("it is not over")
	}
	if _, err := masterproto.Dial(context.Background(), filepath.Dir(c.Socket)); !errors.Is(err, masterproto.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

// client speaks with the front that stands in for doveadm's.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Scanner
}

func dial(t *testing.T, network, address string) *client {
	t.Helper()
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &client{t, c, bufio.NewScanner(c)}
}

func (c *client) ask(order, want string) {
	c.t.Helper()
	fmt.Fprintln(c, order)
	if c.in.Scan(); c.in.Text() != want {
		c.t.Errorf("%s: got %q (%v), want %q", order, c.in.Text(), c.in.Err(), want)
	}
}

// ticket asks for one, and gives it.
func (c *client) ticket(user, commands string) string {
	c.t.Helper()
	fmt.Fprintln(c, "ticket "+user+" "+commands)
	c.in.Scan()
	text, ok := strings.CutPrefix(c.in.Text(), "network ")
	if !ok || len(text) != 32 {
		c.t.Fatalf("ticket for %s: got %q (%v)", user, c.in.Text(), c.in.Err())
	}
	return text
}

// doveadmOnTheNetwork is what a test adds, with a password.
func doveadmOnTheNetwork(t *testing.T, dir string) (extra, address string) {
	t.Helper()
	port, err := mailtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`doveadm_password_file = %q
service doveadm {
  inet_listener "doveadm" {
    address = "127.0.0.1"
    port    = %d
  }
}
`, password, port), net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// Two fronts, of which each has its own listeners, and neither the password; the
// workers of both are born as their user, and another user's mail is out of reach.
func TestRootDoveadmWorkersAreTheirUsers(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	extra, address := doveadmOnTheNetwork(t, scratch(t))
	c := prepared(t, mailtest.Options{Names: []string{"alice", "bob", "carol"}, Extra: extra}, "doveadm-server", "doveadm-worker")
	alice, bob, carol := c.Users[0], c.Users[1], c.Users[2]
	secret := filepath.Join(bob.Home, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("bob's"), 0o600), os.Chown(secret, bob.UID, bob.GID),
		mailtest.Play(alice, "steals", secret, c.Passwd, filepath.Join(filepath.Dir(c.Socket), "master")),
		mailtest.Play(bob, "says nothing"), mailtest.Play(carol, "says nothing")); err != nil {
		t.Fatal(err)
	}
	a := started(t, c)
	socket := filepath.Join(filepath.Dir(c.Socket), "doveadm-server")
	for path, mode := range map[string]os.FileMode{socket: 0o600, filepath.Join(filepath.Dir(c.Socket), "master"): 0o600} {
		if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|mode {
			t.Errorf("%s: got %v, %v", path, info.Mode(), err)
		}
	}
	local, network := dial(t, "unix", socket), dial(t, "tcp", address)
	local.ask("password", `local ""`)
	network.ask("password", `network ""`)
	network.ask("login doveadm secret", "network doveadm")
	local.ask("hire nobody", "no worker: no such user")
	local.ask("hire bob", "local ok")
	network.ask("hire carol "+network.ticket("carol", "search"), "network ok")
	for _, who := range accesses(t, a, 2) {
		want := map[string]int{"bob": bob.UID, "carol": carol.UID}[who.User]
		if got := uidOf(t, who.PID); got != want || who.Service != "doveadm" {
			t.Errorf("%s's worker has uid %d, want %d: %+v", who.User, got, want, who)
		}
	}
	network.ask("hire alice "+network.ticket("alice", "search"), "network ok")
	for _, path := range []string{secret, c.Passwd, filepath.Join(filepath.Dir(c.Socket), "master")} {
		for _, what := range []string{"read", "change the mode of", "take away"} {
			line, err := c.AwaitLog(patience, "probe: tried to "+what+" "+path+": ")
			if err != nil || !strings.Contains(line, "refused") || !strings.HasSuffix(line, fmt.Sprintf("uid %d)", alice.UID)) {
				t.Errorf("got %q, %v, want alice refused", line, err)
			}
		}
	}
	if text, err := os.ReadFile(secret); string(text) != "bob's" {
		t.Errorf("bob's file: got %q, %v", text, err)
	}
	// One gives its worker up; the other's is kicked, and need not agree.
	fmt.Fprintln(local, "abandon")
	who := accesses(t, a, 1)[0]
	if who.User != "carol" {
		t.Errorf("left is %+v", who)
	}
	if err := a.Kick(who); err != nil {
		t.Error(err)
	}
	accesses(t, a, 0)
}

// Users of one uid: the box keeps apart what the uid does not.
func TestRootDoveadmWorkersOfOneUID(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	c := prepared(t, mailtest.Options{Names: []string{"alice", "bob"}, Single: true}, "doveadm-server", "doveadm-worker")
	alice, bob := c.Users[0], c.Users[1]
	secret := filepath.Join(bob.Home, "secret")
	if err := errors.Join(os.WriteFile(secret, []byte("bob's"), 0o600), os.Chown(secret, bob.UID, bob.GID),
		mailtest.Play(alice, "steals", secret)); err != nil {
		t.Fatal(err)
	}
	started(t, c)
	dial(t, "unix", filepath.Join(filepath.Dir(c.Socket), "doveadm-server")).ask("hire alice", "local ok")
	for _, what := range []string{"read", "change the mode of", "take away"} {
		if line, err := c.AwaitLog(patience, "probe: tried to "+what+" "+secret+": "); err != nil || !strings.Contains(line, "refused") {
			t.Errorf("got %q, %v, want alice refused", line, err)
		}
	}
}

func TestPasswordReachesAuthAlone(t *testing.T) {
	t.Parallel()
	dir := scratch(t)
	extra, address := doveadmOnTheNetwork(t, dir)
	c := prepared(t, mailtest.Options{Names: []string{"alice"}, Extra: extra}, "doveadm-server")
	a := started(t, c)
	socket, password := filepath.Join(filepath.Dir(c.Socket), "doveadm-server"), filepath.Join(dir, "password")
	local := dial(t, "unix", socket)
	local.ask("password", `local ""`)
	network := dial(t, "tcp", address)
	network.ask("password", `network ""`)
	network.ask("login doveadm secret", "network doveadm")
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	var refused *masterproto.Refused
	if err := a.Reload(); !errors.As(err, &refused) || !strings.Contains(refused.Error(), "0644") || strings.Contains(refused.Error(), "secret") {
		t.Errorf("a password that everybody can read: got %v", err)
	}
	dial(t, "tcp", address).ask("login doveadm secret", "network doveadm")
	if err := errors.Join(os.WriteFile(password, []byte("another\n"), 0o600), os.Chmod(password, 0o600), a.Reload()); err != nil {
		t.Fatal(err)
	}
	err := c.Until("the new password", patience, func() bool { // the old auth may still accept
		n := dial(t, "tcp", address)
		defer n.Close()
		fmt.Fprintln(n, "login doveadm another")
		return n.in.Scan() && n.in.Text() == "network doveadm"
	})
	if err != nil {
		t.Error(err)
	}
	local.ask("password", `local ""`) // the same process: nothing of it has changed
}
