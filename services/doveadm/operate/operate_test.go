package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/internal/masterproto"
	"culver/internal/settings"
	"culver/internal/settings/finished"
	"culver/services/doveadm/command"
)

// ran runs a command line.
func ran(t *testing.T, env Env, words ...string) (out, errs string, code int) {
	t.Helper()
	s, rest, err := command.Find(words)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Parse(rest)
	if err != nil {
		t.Fatal(err)
	}
	var o, e strings.Builder
	env.Out, env.Err = &o, &e
	if env.In == nil {
		env.In = strings.NewReader("")
	}
	if env.Load == nil {
		env.Load = func() (*settings.Config, error) { return nil, errors.New("no configuration") }
	}
	code = Run(context.Background(), p, env)
	return o.String(), e.String(), code
}

// with is an Env whose configuration has these settings.
func with(values finished.Bag) Env {
	return Env{Load: func() (*settings.Config, error) { return &settings.Config{Global: values}, nil }}
}

// TestEveryCommandHasAHome: a command of the table that neither is per user nor
// is known here would be found and then not run.
func TestEveryCommandHasAHome(t *testing.T) {
	for _, s := range command.Table() {
		brains := s.PerUser || s.Name == "apply" || s.Name == "resume"
		if brains == Runs(&s) {
			t.Errorf("%s: per user %v, operator's %v", s.Name, brains, Runs(&s))
		}
	}
}

// master plays the master: it answers each order with what reply gives.
func master(t *testing.T, reply func(masterproto.Order) []masterproto.Answer) Env {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, masterproto.SocketName), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, masterproto.MaxOrder+1)
				for {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					order, err := masterproto.ParseOrder(buf[:n])
					if err != nil {
						t.Error(err)
					}
					for _, a := range reply(order) {
						conn.Write(a.Append(nil))
					}
					if order.Kind == masterproto.KindStop {
						return
					}
				}
			}()
		}
	}()
	return with(finished.Bag{"base_dir": dir})
}

func access(user, service string, pid int) masterproto.Answer {
	return masterproto.Answer{Kind: masterproto.KindAccess, Access: masterproto.Access{User: user, Service: service, PID: pid}}
}

func done(code masterproto.Code) masterproto.Answer {
	return masterproto.Answer{Kind: masterproto.KindDone, Code: code}
}

func TestWhatTheMasterSaysIsPrinted(t *testing.T) {
	t.Parallel()
	started := time.Unix(1700000000, 0)
	env := master(t, func(o masterproto.Order) []masterproto.Answer {
		switch o.Kind {
		case masterproto.KindServices:
			return []masterproto.Answer{{Kind: masterproto.KindService, Service: masterproto.Service{
				Name: "lmtp", Processes: 2, Available: 98, ProcessLimit: 100, ClientLimit: 1, Throttle: 2 * time.Second,
				FailureLast: started, FailuresInSecond: 1, Listening: true, ProcessesAllTimes: 7,
			}}, done(masterproto.CodeOK)}
		case masterproto.KindProcesses:
			return []masterproto.Answer{{Kind: masterproto.KindProcess, Process: masterproto.Process{
				Service: "log", PID: 5, Available: 1, Total: 2, LastStatus: started,
			}}, done(masterproto.CodeOK)}
		case masterproto.KindAccesses:
			return []masterproto.Answer{access("bob", "lmtp", 7), access("alice", "lmtp", 8), access("bob", "doveadm", 9), access("bob", "lmtp", 6), done(masterproto.CodeOK)}
		case masterproto.KindKick:
			if o.PID == 9 {
				return []masterproto.Answer{done(masterproto.CodeNotFound)} // over by itself
			}
			return []masterproto.Answer{done(masterproto.CodeOK)}
		case masterproto.KindReload:
			return []masterproto.Answer{{Kind: masterproto.KindProblem, Problem: "a.conf:1:1: nonsense"}, done(masterproto.CodeRefused)}
		case masterproto.KindStopService:
			if o.Name != "lmtp" {
				return []masterproto.Answer{done(masterproto.CodeNotFound)}
			}
		}
		return []masterproto.Answer{done(masterproto.CodeOK)}
	})
	for _, tt := range []struct {
		name, line, format, out, errs string
		code                          int
	}{
		{name: "services", line: "service status", out: "name: lmtp\nprocess_count: 2\nprocess_avail: 98\nprocess_limit: 100\nclient_limit: 1\nthrottle_secs: 2\n" +
			"exit_failure_last: 1700000000\nexit_failures_in_sec: 1\nlast_drop_warning: 0\nlisten_pending: n\nlistening: y\ndoveadm_stop: n\nprocess_total: 7\n"},
		{name: "no such service has no rows", line: "service status imap"},
		{name: "processes", line: "process status", format: "tab", out: "name\tpid\tavailable_count\ttotal_count\tidle_start\tlast_status_update\tlast_kill_sent\nlog\t5\t1\t2\t0\t1700000000\t0\n"},
		{name: "who, together", line: "who", format: "tab", out: "username\t#\tproto\t(pids)\t(ips)\nalice\t1\tlmtp\t(8)\t()\nbob\t1\tdoveadm\t(9)\t()\nbob\t2\tlmtp\t(7 6)\t()\n"},
		{name: "who, each", line: "who -1 B*", format: "tab", out: "username\tproto\tpid\tip\nbob\tdoveadm\t9\t\nbob\tlmtp\t7\t\nbob\tlmtp\t6\t\n"},
		{name: "who, nobody", line: "who z*", format: "tab", out: "username\t#\tproto\t(pids)\t(ips)\n"},
		{name: "who, by address", line: "who 10.0.0.0/8", errs: "addresses of clients are not known", code: 69},
		{name: "who, twice", line: "who a b", errs: "two masks", code: 64},
		{name: "kick", line: "kick bob", out: "kicked connections from the following users:\nbob\n"},
		{name: "kick nobody", line: "kick zoe", out: "no users kicked\n", code: 68},
		{name: "a reload that is refused", line: "reload", errs: "a.conf:1:1: nonsense", code: 78},
		{name: "a service that is stopped", line: "service stop lmtp"},
		{name: "a service that is not", line: "service stop lmtp imap", errs: `no service "imap"`, code: 68},
		{name: "logs", line: "log reopen"},
		{name: "the end", line: "stop"},
		{name: "a formatter that is none", line: "who", format: "xml", errs: "unknown formatter", code: 75},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := env
			env.Formatter = tt.format
			out, errs, code := ran(t, env, strings.Fields(tt.line)...)
			if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got exit %d, %q, %q\nwant %d, %q, %q", code, out, errs, tt.code, tt.out, tt.errs)
			}
		})
	}
}

func TestWithoutAMaster(t *testing.T) {
	t.Parallel()
	if _, errs, code := ran(t, with(finished.Bag{"base_dir": t.TempDir()}), "reload"); code != 75 || !strings.Contains(errs, "not running") {
		t.Errorf("got exit %d, %q", code, errs)
	}
	if _, errs, code := ran(t, Env{}, "who"); code != 78 || !strings.Contains(errs, "no configuration") {
		t.Errorf("no configuration: got exit %d, %q", code, errs)
	}
}

// auth plays the auth service: user bob is there, eve is unknown, all else
// fails; LIST gives bob and one with a control byte.
func auth(t *testing.T) Env {
	t.Helper()
	path := mailtest.Listen(t, "auth-userdb", func(conn net.Conn) {
		io.WriteString(conn, "VERSION\t1\t2\nSPID\t1\n")
		var line strings.Builder
		b := make([]byte, 1)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
			if b[0] != '\n' {
				line.Write(b)
				continue
			}
			f := strings.Split(line.String(), "\t")
			line.Reset()
			switch {
			case f[0] == "LIST":
				fmt.Fprintf(conn, "LIST\t%s\tbob\nLIST\t%s\tcarol\nDONE\t%s\n", f[1], f[1], f[1])
			case f[0] == "VERSION":
			case f[2] == "bob" && f[0] == "PASS":
				fmt.Fprintf(conn, "PASS\t%s\tuser=bob\tproxy\thost=10.0.0.1\n", f[1])
			case f[2] == "bob":
				fmt.Fprintf(conn, "USER\t%s\tbob\tuid=1000\tgid=1001\thome=/home/bob\tquota_rule=*:storage=1G\n", f[1])
			case f[2] == "eve":
				fmt.Fprintf(conn, "NOTFOUND\t%s\n", f[1])
			default:
				fmt.Fprintf(conn, "FAIL\t%s\n", f[1])
			}
		}
	})
	return with(finished.Bag{"auth_socket_path": path, "mail_location": "maildir:~/Maildir:CONTROL=/var/control/%u"})
}

func TestWhatAuthSaysIsPrinted(t *testing.T) {
	t.Parallel()
	env := auth(t)
	for _, tt := range []struct {
		name, line, out, errs string
		code                  int
	}{
		{name: "a user", line: "user bob", out: "field\tvalue\nuid\t1000\ngid\t1001\nhome\t/home/bob\nquota_rule\t*:storage=1G\nmail\tmaildir:~/Maildir:CONTROL=/var/control/bob\n"},
		{name: "a field", line: "user -f home bob", out: "/home/bob\n"},
		{name: "a field that is not there", line: "user -f nonsense bob"},
		{name: "the userdb's answer", line: "user -u bob", out: "userdb: bob\n  user      : bob\n  uid       : 1000\n  gid       : 1001\n  home      : /home/bob\n  quota_rule: *:storage=1G\n"},
		{name: "a template", line: "user -e %{uid}:%u:%%:%h:%{nonsense}:%{userdb:home} bob", out: "1000:bob:%:/home/bob::/home/bob\n"},
		{name: "a template with an unknown letter", line: "user -e %z bob", errs: "unknown variable %z", code: 64},
		{name: "an unknown user", line: "user eve", out: "userdb lookup: user eve doesn't exist\n", code: 67},
		{name: "the known one of two", line: "user -f uid eve bob", out: "userdb lookup: user eve doesn't exist\n1000\n", code: 67},
		{name: "names", line: "user *", out: "bob\ncarol\n"},
		{name: "a failure that passes", line: "user mallory", errs: "temporary failure", code: 75},
		{name: "a wrong -x", line: "user -x colour=red bob", errs: "want service", code: 64},
		{name: "the passdb", line: "auth lookup bob", out: "passdb: bob\n  user      : bob\n  host      : 10.0.0.1\n  proxy     : yes\n"},
		{name: "a passdb's field", line: "auth lookup -f host bob", out: "10.0.0.1\n"},
		{name: "a user unknown to the passdb", line: "auth lookup eve", out: "passdb lookup: user eve doesn't exist\n", code: 67},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := ran(t, env, strings.Fields(tt.line)...)
			if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got exit %d, %q, %q\nwant %d, %q, %q", code, out, errs, tt.code, tt.out, tt.errs)
			}
		})
	}
}

func TestPw(t *testing.T) {
	t.Parallel()
	const hash = "{BLF-CRYPT}$2y$05$aK327q56SbvX1LfcMxJOneR6TkjrlmoL82j7q5yIEONX7BXbt305O"
	asked := func(answers ...string) Env {
		return Env{Password: func(string) (string, error) {
			a := answers[0]
			answers = answers[1:]
			return a, nil
		}}
	}
	for _, tt := range []struct {
		name      string
		env       Env
		line      []string
		out, errs string
		code      int
	}{
		{"the default", Env{}, []string{"-p", "x"}, "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$", "", 0},
		{"a scheme in small letters, verified", Env{}, []string{"-s", "scram-sha-256", "-r", "4096", "-V", "-p", "x"}, "{SCRAM-SHA-256}4096,", "", 0},
		{"asked for twice", asked("x", "x"), []string{"-s", "PLAIN"}, "{PLAIN}x\n", "", 0},
		{"asked for, not the same", asked("x", "y"), []string{"-s", "PLAIN"}, "", "differ", 64},
		{"from a pipe", Env{In: strings.NewReader("x\r\nx\n")}, []string{"-s", "PLAIN"}, "{PLAIN}x\n", "", 0},
		{"from nowhere", Env{}, []string{"-s", "PLAIN"}, "", "no password", 64},
		{"from a pipe without end", Env{In: strings.NewReader(strings.Repeat("x", 2000))}, nil, "", "too long", 64},
		{"the right one", Env{}, []string{"-t", hash, "-p", "x"}, hash + " (verified)\n", "", 0},
		{"the wrong one", Env{}, []string{"-t", hash, "-p", "y"}, "", "does not have this hash", 75},
		{"asked for once", asked("x"), []string{"-t", hash}, hash + " (verified)\n", "", 0},
		{"a hash without scheme", Env{}, []string{"-t", "abc", "-p", "x"}, "", "no {SCHEME}", 64},
		{"no such scheme", Env{}, []string{"-s", "ROT13", "-p", "x"}, "", "pw -l", 64},
		{"a weak scheme", Env{}, []string{"-s", "SMD5", "-p", "x"}, "{SMD5}", "SMD5 is weak (", 0},
		{"a weak scheme that is not made", Env{}, []string{"-s", "MD5-CRYPT", "-p", "x"}, "", "none are made", 64},
		{"a scheme with a name in it", Env{}, []string{"-s", "DIGEST-MD5", "-u", "joe@example.com", "-p", "test"}, "{DIGEST-MD5}e58f033a801cb3cb6b8be76b11ba74bc\n", "weak", 0},
		{"a scheme with a name in it, without one", Env{}, []string{"-s", "DIGEST-MD5", "-p", "test"}, "", "needs the user's name", 64},
		{"an encoding", Env{}, []string{"-s", "plain.b64", "-p", "test"}, "{PLAIN.B64}dGVzdA==\n", "", 0},
		{"an empty one", Env{}, []string{"-p", ""}, "", "never match", 64},
		{"a weak one that is right", Env{}, []string{"-t", "{CRYPT}abgOeLfPimXQo", "-p", "test"}, "{CRYPT}abgOeLfPimXQo (verified)\n", "CRYPT is weak", 0},
		{"too few rounds", Env{}, []string{"-r", "0", "-p", "x"}, "", "-r wants", 64},
		{"the list", Env{}, []string{"-l"}, "ARGON2ID ", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, errs, code := ran(t, tt.env, append([]string{"pw"}, tt.line...)...)
			if !strings.HasPrefix(out, tt.out) || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got exit %d, %q, %q", code, out, errs)
			}
			if tt.name == "a scheme in small letters, verified" && !strings.HasSuffix(out, " (verified)\n") {
				t.Errorf("got %q, want it verified", out)
			}
		})
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "info.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := with(finished.Bag{"log_path": "stderr", "info_log_path": log, "debug_log_path": ""})
	env.Print = func(w io.Writer, _ *settings.Config, all bool) error {
		fmt.Fprintln(w, "printed", all)
		return nil
	}
	for _, tt := range []struct {
		name, line, out, errs string
		code                  int
	}{
		{name: "to modified UTF-7", line: "mailbox mutf7 Entwürfe a&b", out: "Entw&APw-rfe\na&-b\n"},
		{name: "from modified UTF-7", line: "mailbox mutf7 -7 Entw&APw-rfe", out: "Entwürfe\n"},
		{name: "from what is none", line: "mailbox mutf7 -7 a&b INBOX", out: "INBOX\n", errs: "not modified UTF-7", code: 65},
		{name: "settings", line: "config", out: "printed false\n"},
		{name: "all settings", line: "config -a", out: "printed true\n"},
		{name: "settings by name", line: "config base_dir", errs: "-a only", code: 64},
		{name: "where logs go", line: "log find", out: "Debug: " + log + "\nInfo: " + log + "\nWarning: stderr\nError: stderr\nFatal: stderr\n"},
		{name: "log lines", line: "log test", errs: "Warning: This is a test of the level warning\nError: This is a test of the level error\nFatal: This is a test of the level fatal\n"},
		{name: "a completion for nothing", line: "completion tcsh", errs: "not \"tcsh\"", code: 64},
		{name: "help for nothing", line: "help serch", errs: "did you mean search?", code: 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := ran(t, env, strings.Fields(tt.line)...)
			if out != tt.out || code != tt.code || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" {
				t.Errorf("got exit %d, %q, %q\nwant %d, %q, %q", code, out, errs, tt.code, tt.out, tt.errs)
			}
		})
	}
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), "doveadm: Debug: This is a test") || !strings.Contains(string(text), "doveadm: Info: This is a test") {
		t.Errorf("log file: got %q, %v", text, err)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"help":                {"  expunge ", "  mailbox status ", "culver-doveadm help COMMAND"},
		"help expunge":        {"usage: culver-doveadm expunge [-u user|mask", "-d, --delete-empty-mailbox", "--dry-run", "Arguments:\n  query"},
		"help mailbox status": {"fields", "-t, --total-sum"},
		"help mailbox":        {"culver-doveadm mailbox create", "culver-doveadm mailbox unsubscribe"},
		"help quota get":      {"Prints: root type value limit percent (table"},
	} {
		out, errs, code := ran(t, Env{}, strings.Fields(line)...)
		for _, w := range want {
			if code != 0 || !strings.Contains(out, w) {
				t.Errorf("%s: got exit %d, %q, %q, want %q", line, code, out, errs, w)
			}
		}
	}
}
