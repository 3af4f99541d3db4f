package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Every text below is the whole of a file, in front of testdata/base.conf.
func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text    string
		setting, want string
	}{
		{"a variable is not a template", `login_greeting = "%{user} ${x} %%{y} $${z}"`, "login_greeting", "%{user} ${x} %%{y} $${z}"},
		{"escapes are resolved", `login_greeting = "a\\b \"c\" \u00e4"`, "login_greeting", `a\b "c" ä`},
		{"letters stay as they were written", "login_greeting = \"a\u0308\"", "login_greeting", "a\u0308"},
		{"a bare word may have dashes", `lmtp_reproxy = uid-differs` + "\n" + `mail_root = "/m"`, "lmtp_reproxy", "uid-differs"},
		{"line ends of DOS", "hostname = \"a\"\r\n# b\r\nlog_debug = yes\r\n", "log_debug", "yes"},
		{"no line end at the end", `log_debug = yes`, "log_debug", "yes"},
		{"comments of all kinds", "/* a\n { */ log_debug = yes // {\n# \"", "log_debug", "yes"},
		{"a # in quotes is no comment", `hostname = "a#b"`, "hostname", "a#b"},
		{"a brace in quotes is none", `hostname = "}{"`, "hostname", "}{"},
		{"a list over several lines", "listen = [ # all\n  \"127.0.0.1\",\n  \"::1\", // six\n]", "listen", "127.0.0.1\t::1"},
		{"Dovecot's lists", `listen = "127.0.0.1, ::1"`, "listen", "127.0.0.1\t::1"},
		{"the empty list", `listen = "*"` + "\n" + `mail_access_groups = []`, "mail_access_groups", ""},
		{"the order of include counts, before", "hostname = \"first\"\ninclude \"name.conf\" {}", "hostname", "included"},
		{"the order of include counts, after", "include \"name.conf\" {}\nhostname = \"last\"", "hostname", "last"},
		{"an optional include may be missing", "log_debug = yes\ninclude \"none.conf\" { optional = yes }", "log_debug", "yes"},
		{"an include is relative to its file", "include \"sub/*.conf\" {}", "hostname", "from sub/deeper"},
		{"sizes and times", `mail_max_size = "1K"` + "\n" + `haproxy_timeout = 5`, "haproxy_timeout", "5000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			base, err := os.ReadFile("testdata/base.conf")
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"culver.conf":         tt.text,
				"base.conf":           string(base),
				"name.conf":           "hostname = \"included\"\n",
				"sub/10.conf":         "include \"deeper/x.conf\" {}\n",
				"sub/05.conf":         "hostname = \"from sub\"\n",
				"sub/deeper/x.conf":   "hostname = \"from sub/deeper\"\n",
				"sub/deeper/not.conf": "this is not read",
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := load(t, filepath.Join(dir, "culver.conf"), filepath.Join(dir, "base.conf"))
			if got := cfg.Global[tt.setting]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The shape that administrators know is valid as it stands.
func TestFamiliarShapeIsValid(t *testing.T) {
	t.Parallel()
	path := laidOut(t, func(l string) string { return l })
	text := `include "conf.d/*.conf" {}

mail_location = "maildir:%h/Maildir"

service lmtp {
  service_count = 1
  process_limit = 100
  unix_listener "/var/spool/postfix/private/culver-lmtp" {
    mode  = 0600
    user  = postfix
    group = postfix
  }
}

service doveadm {
  # 1 = default = one user access per process, 0 = unlimited user accesses
  service_count = 1
  inet_listener "doveadm" {
    port = 24245
    ssl  = yes
  }
}

passdb "users" {
  driver = "passwd-file"
  path   = "/etc/culver/users"
}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, path)
	doveadm, ok := cfg.Service("doveadm")
	if !ok || len(doveadm.Inet) != 1 || !doveadm.Inet[0].SSL {
		t.Errorf("got %+v", doveadm)
	}
	if notes := strings.Join(Notes(cfg), "\n"); !strings.Contains(notes, "inet_listener \"doveadm\" is left out") {
		t.Errorf("got notes %q", notes)
	}
}

func TestForeignAuthLeavesOursOut(t *testing.T) {
	t.Parallel()
	cfg := load(t, write(t, `
auth_socket_path = "/run/dovecot/auth-userdb"
mail_location    = "maildir:%h/Maildir"
service lmtp {
  unix_listener "lmtp" {
  }
}
`))
	if _, on := cfg.Service("auth"); on {
		t.Error("service auth is there although another server's is used")
	}
}

func TestUnreadableMainFileIsAProblem(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none.conf")
	_, problems := Load(missing, host)
	if len(problems) != 1 || !strings.Contains(problems[0].String(), "none.conf:1:1: cannot read: no such file or directory") {
		t.Errorf("got %v", problems)
	}
}

// Reading follows an include wherever it leads; a pipe must not hold it up.
func TestFIFOIsRefusedAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := mkfifo(filepath.Join(dir, "a.conf")); err != nil {
		t.Fatal(err)
	}
	_, problems := Load(filepath.Join(dir, "a.conf"), host)
	if len(problems) == 0 || !strings.Contains(problems[0].What, "not a regular file") {
		t.Errorf("got %v", problems)
	}
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }
