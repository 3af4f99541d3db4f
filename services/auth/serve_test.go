package auth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/worker"
)

func TestPeerRule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		sock       Socket
		uid, gid   uint32
		restricted bool
	}{
		{"0666, somebody", Socket{0o666, 100, 100}, 5000, 5000, true},
		{"0666, the owner", Socket{0o666, 100, 100}, 100, 5000, false},
		{"0666, primary group of the socket", Socket{0o666, 100, 100}, 5000, 100, false},
		{"0666, root", Socket{0o666, 100, 100}, 0, 0, false},
		{"0600: the kernel has decided", Socket{0o600, 100, 100}, 5000, 5000, false},
		{"0660", Socket{0o660, 100, 100}, 5000, 5000, false},
		{"0777", Socket{0o777, 100, 100}, 5000, 5000, false},
	} {
		if got := tt.sock.judge(tt.uid, tt.gid); got.restricted != tt.restricted {
			t.Errorf("%s: restricted %t, want %t", tt.name, got.restricted, tt.restricted)
		}
	}
}

// TestRestrictedPeer connects as somebody who is neither owner nor group: the
// socket's are made to be others, since only root could be another itself.
func TestRestrictedPeer(t *testing.T) {
	t.Parallel()
	uid := os.Getuid()
	if uid == 0 {
		// Root is never restricted: play the peer as the kernel would report it.
		h := start(t, "auth-userdb", someUsers, nil)
		a, b := net.Pipe()
		h.Server.start(a, roles["userdb"], Socket{0o666, 1, 1}.judge(5000, 5000), func() {})
		testRestricted(t, b)
		return
	}
	h := startAs(t, "auth-userdb", strings.ReplaceAll(someUsers, ":5000:", fmt.Sprintf(":%d:", uid)), nil, Socket{0o666, 1, 1})
	c, err := net.Dial("unix", h.Socket)
	if err != nil {
		t.Fatal(err)
	}
	testRestricted(t, c)
}

func testRestricted(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	r.ReadString('\n')
	r.ReadString('\n')
	io.WriteString(c, "VERSION\t1\t0\n")
	for _, tt := range []struct{ ask, want string }{
		{"USER\t1\talice@example.com\tservice=x", "USER\t1\talice@example.com\tuid="},
		{"USER\t2\tbob@example.com\tservice=x", "FAIL\t2\n"},
		{"USER\t3\tno@example.com\tservice=x", "NOTFOUND\t3\n"},
		{"PASS\t4\talice@example.com\tservice=x", "FAIL\t4\n"},
		{"LIST\t6", "DONE\t6\tfail\n"},
	} {
		io.WriteString(c, tt.ask+"\n")
		if got, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q: got %q, %v, want %q", tt.ask, got, err, tt.want)
		}
	}
}

func TestRolesOfListeners(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, typ, want string }{
		{"auth-userdb", "", "userdb"},
		{"/run/x/auth-master", "", "master"},
		{"/run/my-dir/master", "", "master"},
		{"anything", "userdb", "userdb"},
		{"auth-master", "userdb", "userdb"},
		{"auth-client", "", "auth"},
		{"/var/spool/postfix/private/auth", "", "auth"},
		{"auth-exim", "", "auth"},
		{"auth-login", "", "login"},
		{"login/login", "", "login"},
		{"auth-doveadm", "", "doveadm"},
		{"auth-legacy", "", "auth"},
		{"auth-exim", "auth-legacy", "auth-legacy"},
		{"auth-userdb", "login", "login"},
		{"auth-userdb", "token", ""},
	} {
		if got, err := roleOf(tt.name, tt.typ); got.Name != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s with type %q: got %q, %v, want %q", tt.name, tt.typ, got.Name, err, tt.want)
		}
	}
}

func TestClientLimitMakesOthersWait(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", someUsers, map[string]string{"client_limit": "2"})
	first, second := client(t, h), client(t, h)
	for _, c := range []*authproto.Client{first, second} {
		if _, err := c.Lookup(context.Background(), "bob@example.com", authproto.Params{}); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := net.Dial("unix", h.Socket)
	if err != nil {
		t.Fatalf("third: %v, want a connection that waits", err)
	}
	defer nc.Close()
	io.WriteString(nc, "VERSION\t1\t0\nUSER\t1\tnobody\tservice=x\n")
	nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("third: got %d bytes, %v, want to wait", n, err)
	}
	first.Close()
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	got, _ := io.ReadAll(io.LimitReader(nc, int64(len(fmt.Sprintf("VERSION\t1\t1\nSPID\t%d\nNOTFOUND\t1\n", os.Getpid())))))
	if !bytes.HasSuffix(got, []byte("NOTFOUND\t1\n")) {
		t.Errorf("after one left: got %q, want an answer", got)
	}
}

func TestAnswerTooLongFailsOneUserOnly(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", "big:x:1:1::/::userdb_x="+strings.Repeat("y", authproto.MaxReply)+"\nok:x:1:1::/::\n", nil)
	c := client(t, h)
	if got := answer(c.Lookup(context.Background(), "big", authproto.Params{})); got != "later" {
		t.Errorf("big: got %q, want later", got)
	}
	if got := answer(c.Lookup(context.Background(), "ok", authproto.Params{})); got != "ok 1 1 / map[]" {
		t.Errorf("ok: got %q", got)
	}
}

func TestLongListToASlowReader(t *testing.T) {
	t.Parallel()
	const n = 20000 // far more than the socket's and our buffers hold
	var users strings.Builder
	for i := range n {
		fmt.Fprintf(&users, "user-with-a-rather-long-name-%d:x:1:1::/::\n", i)
	}
	h := start(t, "auth-userdb", users.String(), nil)
	c := client(t, h)
	got := 0
	err := c.List(context.Background(), "*", authproto.Params{}, func(string) error {
		if got++; got == 1 {
			// The rest of the list is stuck behind us; others are served meanwhile.
			if _, err := c.Lookup(context.Background(), "nobody", authproto.Params{}); err != authproto.ErrNotFound {
				t.Errorf("lookup beside the list: %v", err)
			}
		}
		return nil
	})
	if err != nil || got != n {
		t.Errorf("got %d names, %v, want %d", got, err, n)
	}
}

func TestNothingOfAClientIsLogged(t *testing.T) {
	t.Parallel()
	h := start(t, "auth-userdb", someUsers, nil)
	talk(t, h, "VERSION\t1\t0\nAUTH\t1\tPLAIN\tservice=x\tresp=AGJvYgBzZWNyZXQ=\n", "")
	talk(t, h, "AUTH\t1\tPLAIN\tservice=x\tresp=AGJvYgBzZWNyZXQ=\n", "")
	if strings.Contains(h.logged(), "AGJv") {
		t.Errorf("the log has the password: %s", h.logged())
	}
	talk(t, h, "VERSION\t1\t0\nUSER\t1\ta\x01nforged line\tservice=x\n", "NOTFOUND\t1")
	if strings.Contains(h.logged(), "\nforged") {
		t.Errorf("the log has a line of the client's: %s", h.logged())
	}
}

func TestMain(m *testing.M) {
	if os.Getenv("CULVER_TEST_PLAY") == "auth" {
		os.Exit(Run(worker.Begin(true)))
	}
	os.Exit(m.Run())
}

// TestProcess starts the whole process as the master does: settings and
// listener on descriptors, an Access, then Drain.
func TestProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte(someUsers), 0o644); err != nil {
		t.Fatal(err)
	}
	set := settings(users, map[string]string{
		"listener/count": "1", "listener/0/name": "auth-userdb", "listener/0/kind": "unix", "listener/0/type": "",
		"listener/0/mode": "384", "listener/0/uid": "-1", "listener/0/gid": "-1",
	})
	bag := filepath.Join(dir, "settings")
	if err := os.WriteFile(bag, set.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	bagFile, err := os.Open(bag)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "auth-userdb"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lf, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	control, err := fdpass.New(ours, "control")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	groups, err := syscall.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(groups)
	cmd.Env = []string{"CULVER_TEST_PLAY=auth", handoff.EnvService + "=auth",
		handoff.EnvIdentity + "=" + worker.Identity(os.Getuid(), os.Getgid(), groups)}
	theirFile := os.NewFile(uintptr(theirs), "theirs")
	cmd.ExtraFiles = []*os.File{theirFile, bagFile, lf}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirFile.Close()
	control.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, handoff.MaxMessage)
	n, err := control.RecvPlain(buf)
	if err != nil {
		t.Fatalf("no readiness: %v; %s", err, stderr.String())
	}
	if m, err := handoff.Parse(buf[:n]); err != nil || m.Kind != handoff.KindStatus || m.Available != 100 {
		t.Errorf("first message %+v, %v, want a Status with 100 free", m, err)
	}

	listened := &authproto.Client{Dial: authproto.Path(filepath.Join(dir, "auth-userdb"))}
	a, b, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	access := handoff.Message{Kind: handoff.KindAccess}
	if err := control.Send(access.Append(nil), b); err != nil {
		t.Fatal(err)
	}
	unix.Close(b)
	af := os.NewFile(uintptr(a), "access")
	nc, err := net.FileConn(af)
	if err != nil {
		t.Fatal(err)
	}
	af.Close()
	handed := &authproto.Client{Dial: authproto.Once(nc)}
	for _, c := range []*authproto.Client{listened, handed} {
		if u, err := c.Lookup(context.Background(), "bob@example.com", authproto.Params{}); err != nil || u.UID != 5001 {
			t.Errorf("got %+v, %v; log %s", u, err, stderr.String())
		}
	}
	drain := handoff.Message{Kind: handoff.KindDrain}
	if err := control.Send(drain.Append(nil), -1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Drain: %v, want exit 0; %s", err, stderr.String())
	}
	if _, err := handed.Lookup(context.Background(), "bob@example.com", authproto.Params{}); !errors.Is(err, authproto.ErrTempfail) {
		t.Errorf("after the end: got %v, want a temporary failure", err)
	}
}
