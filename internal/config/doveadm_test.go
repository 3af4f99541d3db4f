package config

import (
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
)

const someUsers = `
mail_location = "maildir:%h/Maildir"
protocols = []
passdb "users" {
  driver = "passwd-file"
  path   = "/etc/culver/users"
}
`

func TestDoveadmSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text    string
		setting, want string
	}{
		{"the socket hangs in base_dir", `base_dir = "/srv/run"`, "doveadm_socket_path", "/srv/run/doveadm-server"},
		{"or is absolute", `doveadm_socket_path = "/run/x"`, "doveadm_socket_path", "/run/x"},
		{"connections are counted by the machine", "", "doveadm_worker_count", "0"},
		{"or by hand", "doveadm_worker_count = 12", "doveadm_worker_count", "12"},
		{"the name of Dovecot's clients", "", "doveadm_username", "doveadm"},
		{"no password", "", "doveadm_password_file", ""},
		{"a password's file", `doveadm_password_file = "/etc/culver/doveadm.password"`, "doveadm_password_file", "/etc/culver/doveadm.password"},
		{"a command of two words is one", `doveadm_allowed_commands = ["search", "mailbox list"]`, "doveadm_allowed_commands", "search\tmailbox list"},
		{"two minutes of silence", "", "doveadm_worker_timeout", "120000000000"},
		{"an hour in all", "", "doveadm_command_timeout", "3600000000000"},
		{"half a minute to log in", "", "doveadm_auth_timeout", "30000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := load(t, write(t, someUsers+tt.text+"\n")).Global[tt.setting]; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBadDoveadmSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"too many connections", "doveadm_worker_count = 10001", "10001 is out of range"},
		{"a password's file that is relative", `doveadm_password_file = "password"`, "is not an absolute path"},
		{"a command that nobody can type", `doveadm_allowed_commands = ["mailbox  list"]`, "is not a command"},
		{"no time at all", `doveadm_command_timeout = "0"`, "is out of range"},
		{"several users in one process that reaches one", "service doveadm {\n  service_count = 0\n}", "needs mail_root"},
		{"the master's own socket", "service doveadm {\n  unix_listener \"master\" {\n  }\n}", "the master's own socket /run/culver/master"},
		{"the account of another service", "service doveadm {\n  user = \"culver-auth\"\n}", "share uid 902"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(write(t, someUsers+tt.text+"\n"), host)
			if len(problems) == 0 || !strings.Contains(problems[0].Error(), tt.want) {
				t.Errorf("got %v, want %q", problems, tt.want)
			}
		})
	}
}

func TestDoveadmRunsWhereItHasAListener(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, block string
		runs        bool
		note        string
	}{
		{"unasked, for root", "", true, ""},
		{"switched off", "unix_listener \"doveadm-server\" {\n mode = 0\n}", false, ""},
		{"for the network alone", "unix_listener \"doveadm-server\" {\n mode = 0\n}\ninet_listener \"doveadm\" {\n port = 24245\n}", true, "nobody can log in"},
		{"with TLS, which is switched off", "inet_listener \"doveadm\" {\n port = 24245\n ssl = yes\n}", true, "is left out: ssl = no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := load(t, write(t, someUsers+"service doveadm {\n"+tt.block+"\n}\n"))
			if _, on := cfg.Service("doveadm"); on != tt.runs {
				t.Errorf("it runs: %t, want %t", on, tt.runs)
			}
			if notes := strings.Join(Notes(cfg), "\n"); (notes != "") != (tt.note != "") || !strings.Contains(notes, tt.note) {
				t.Errorf("got notes %q, want %q", notes, tt.note)
			}
		})
	}
}

func TestTheClearIsWarnedOfWhereItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := mailtest.NewAuthority(t, dir)
	c := a.Issue("server", "mail.example.org", time.Now().Add(time.Hour))
	for _, tt := range []struct{ name, ssl, block, note string }{
		{"no TLS at all", "no", "", "passwords and all mail cross the network in the clear"},
		{"TLS for who wants it", "yes", "", "that does not begin with STARTTLS"},
		{"TLS for everybody", "required", "", ""},
		{"from the first byte", "yes", "ssl = yes", ""},
		{"from the first byte, where it is off", "no", "ssl = yes", "is left out: ssl = no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := someUsers + "ssl = " + tt.ssl + "\nssl_cert = \"" + c.CertFile + "\"\nssl_key = \"" + c.KeyFile + "\"\n" +
				"doveadm_password_file = \"" + c.KeyFile + "\"\nservice doveadm {\ninet_listener \"doveadm\" {\nport = 24245\n" + tt.block + "\n}\n}\n"
			notes := strings.Join(Notes(load(t, write(t, text))), "\n")
			if (notes != "") != (tt.note != "") || !strings.Contains(notes, tt.note) {
				t.Errorf("got notes %q, want %q", notes, tt.note)
			}
		})
	}
}
