package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/internal/config"
	"culver/internal/maillog/logline"
	"culver/internal/mailtest"
	"culver/internal/settings"
	"culver/services/auth"
)

const authUsers = `alice@example.com:{PLAIN}x:5000:5001::/srv/mail/alice::userdb_quota_rule=*:storage=1G userdb_mail=maildir:~/M userdb_flag
bob@example.com:{PLAIN}x:5001:5001::/srv/mail/bob::
nologin@example.com:{PLAIN}x:5001:5001::/srv/mail/bob::nologin reason=no
vars@example.com:{PLAIN}x:5001:5001::/srv/%u::userdb_a=%u%% userdb_b=%Ud%2n userdb_c=%1.2n
`

// dovecotAuth starts Dovecot with only its auth service and gives its folder,
// in which run/auth-master is the socket.
func dovecotAuth(t *testing.T, users string) string {
	t.Helper()
	mailtest.NeedRoot(t)
	program := mailtest.NeedProgram(t, "dovecot", "dovecot-core")
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // Dovecot's auth is another user
			t.Fatal(err)
		}
	}
	conf := fmt.Sprintf(`base_dir=%[1]s/run
state_dir=%[1]s/state
log_path=%[1]s/log
protocols=
ssl=no
passdb {
  driver=passwd-file
  args=%[1]s/users
}
userdb {
  driver=passwd-file
  args=%[1]s/users
}
`, dir)
	for name, text := range map[string]string{"dovecot.conf": conf, "users": users} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot's log:\n%s", log)
		}
	})
	return dir
}

func TestOurClientAsksDovecotsAuth(t *testing.T) {
	t.Parallel()
	dir := dovecotAuth(t, authUsers)
	// Patience covers Dovecot's start: the client tries until the socket is there.
	c := &authproto.Client{Dial: authproto.Path(filepath.Join(dir, "run", "auth-master")), Patience: 30 * time.Second}
	defer c.Close()
	ctx := context.Background()
	p := authproto.Params{Service: "lmtp", RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", Session: "s"}
	u, err := c.Lookup(ctx, "Alice@Example.com", p)
	if err != nil || u.Name != "alice@example.com" || u.UID != 5000 || u.GID != 5001 ||
		u.Home != "/srv/mail/alice" || u.Fields["mail"] != "maildir:~/M" || u.Fields["flag"] != "yes" {
		t.Errorf("alice: got %+v, %v", u, err)
	}
	if _, err := c.Lookup(ctx, "nosuch@example.com", p); err != authproto.ErrNotFound {
		t.Errorf("unknown user: got %v, want ErrNotFound", err)
	}
	if f, err := c.Pass(ctx, "nologin@example.com", p); err != nil || f["nologin"] != "yes" || f["reason"] != "no" {
		t.Errorf("pass: got %v, %v", f, err)
	}
	var names []string
	err = c.List(ctx, "*", p, func(n string) error { names = append(names, n); return nil })
	slices.Sort(names)
	want := []string{"alice@example.com", "bob@example.com", "nologin@example.com", "vars@example.com"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("list: got %q, %v, want %q", names, err, want)
	}
	t.Run("many at once on one connection", func(t *testing.T) {
		errs := make(chan error, 200)
		for i := range cap(errs) {
			go func() {
				name := [...]string{"alice@example.com", "bob@example.com"}[i%2]
				u, err := c.Lookup(ctx, name, p)
				if err == nil && u.Name != name {
					err = fmt.Errorf("asked for %s, got %s", name, u.Name)
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("answers are the same as ours", func(t *testing.T) {
		ours := ourAuth(t, authUsers)
		oc := &authproto.Client{Dial: authproto.Path(ours)}
		defer oc.Close()
		for _, name := range append(want, "no@example.com", "al/ice", "Bob@EXAMPLE.com") {
			du, derr := c.Lookup(ctx, name, p)
			ou, oerr := oc.Lookup(ctx, name, p)
			if fmt.Sprint(du, derr) != fmt.Sprint(ou, oerr) {
				t.Errorf("USER %s: Dovecot says %v, %v; we say %v, %v", name, du, derr, ou, oerr)
			}
			df, derr := c.Pass(ctx, name, p)
			of, oerr := oc.Pass(ctx, name, p)
			if fmt.Sprint(df, derr) != fmt.Sprint(of, oerr) {
				t.Errorf("PASS %s: Dovecot says %v, %v; we say %v, %v", name, df, derr, of, oerr)
			}
		}
	})
}

// ourAuth serves users on the socket whose path it gives.
func ourAuth(t *testing.T, users string) string {
	return ourAuthAs(t, users, auth.Socket{Mode: 0o600})
}

func ourAuthAs(t *testing.T, users string, sock auth.Socket) string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "auth-userdb")
	c, err := mailtest.Prepare(mailtest.Options{Dir: filepath.Join(dir, "culver"), Users: users, Extra: "auth_penalty = no\n"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(c.Conf, config.System{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s, err := auth.New(settings.For(cfg, "auth"), func(_ logline.Level, _, format string, args ...any) { t.Logf(format, args...) })
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l, auth.MasterRole(), sock)
	}()
	t.Cleanup(func() {
		l.Close()
		s.Drain(time.Minute)
		<-done
	})
	return socket
}

func TestDoveadmAsksOurAuth(t *testing.T) {
	t.Parallel()
	doveadm := mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	socket := ourAuth(t, authUsers+"zero@example.com:{PLAIN}x:0:0::/srv::\n")
	conf := filepath.Join(t.TempDir(), "dovecot.conf")
	if err := os.WriteFile(conf, []byte("base_dir="+t.TempDir()+"\nssl=no\nlog_path=/dev/null\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string // in the output
	}{
		{"a user", []string{"user", "alice@example.com"}, 0, "/srv/mail/alice"},
		{"one field", []string{"user", "-f", "uid", "Bob@example.com"}, 0, "5001\n"},
		{"nobody", []string{"user", "nosuch@example.com"}, 67, ""},
		{"a user who fails", []string{"user", "zero@example.com"}, 75, ""},
		{"a mask", []string{"user", "*l*@example.com"}, 0, "alice@example.com\nnologin@example.com\n"},
		{"everybody", []string{"user", "*"}, 0, "alice@example.com\nbob@example.com\nnologin@example.com\nvars@example.com\n"},
		{"passdb", []string{"auth", "lookup", "-a", "SOCKET", "nologin@example.com"}, 0, "nologin"},
		{"cache", []string{"auth", "cache", "flush", "-a", "SOCKET", "alice@example.com"}, 0, "0 cache entries flushed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-c", conf, "-o", "auth_socket_path=" + socket}, tt.args...)
			for i, a := range args {
				args[i] = strings.Replace(a, "SOCKET", socket, 1)
			}
			out, err := exec.Command(doveadm, args...).CombinedOutput()
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("doveadm %q: exit %d, want %d; output %q, want %q in it", tt.args, code, tt.code, out, tt.want)
			}
		})
	}
}

// TestDoveadmOfAnotherUser asks as nobody on a socket of mode 0666.
func TestDoveadmOfAnotherUser(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	doveadm := mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	setpriv := mailtest.NeedProgram(t, "setpriv", "util-linux")
	socket := ourAuthAs(t, authUsers+"mine@example.com:{PLAIN}x:65534:65534::/srv/mine::\n", auth.Socket{Mode: 0o666, UID: 0, GID: 0})
	dir := filepath.Dir(socket)
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte("base_dir="+dir+"\nssl=no\nlog_path=/dev/null\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, step := range []error{os.Chmod(socket, 0o666), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	for _, tt := range []struct {
		name, user string
		code       int
	}{
		{"of its own uid", "mine@example.com", 0},
		{"of another uid", "alice@example.com", 75},
		{"nobody", "nosuch@example.com", 67},
		{"a list", "*", 75},
	} {
		cmd := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups",
			doveadm, "-c", conf, "-o", "auth_socket_path="+socket, "user", tt.user)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != tt.code || tt.user == "*" && strings.Contains(string(out), "@") {
			t.Errorf("%s: exit %d, want %d; output %q", tt.name, code, tt.code, out)
		}
	}
}
