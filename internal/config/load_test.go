package config

import (
	"os"
	"path/filepath"
	"testing"
)

// names is a host with the accounts that the samples use.
type names map[string]int

func (n names) User(name string) (uid, gid int, err error) {
	if id, ok := n[name]; ok {
		return id, id, nil
	}
	return -1, -1, os.ErrNotExist
}

func (n names) Group(name string) (int, error) {
	_, gid, err := n.User(name)
	return gid, err
}

var host = names{"culver": 900, "culver-log": 901, "culver-auth": 902, "culver-lmtp": 903, "culver-doveadm": 904, "postfix": 110, "root": 0}

func TestSimpleFileBecomesConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "culver.conf")
	text := `
mail_location = "maildir:%h/Maildir"
lmtp_max_recipients = 50
service lmtp {
  process_limit = 20
  unix_listener "/var/spool/postfix/private/culver-lmtp" {
    mode  = 0600
    user  = postfix
    group = postfix
  }
}
passdb "users" {
  driver = "passwd-file"
  path   = "/etc/culver/users"
}
userdb "users" {
  driver = passwd-file
  path   = "/etc/culver/users2"
}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := Load(path, host)
	for _, p := range problems {
		t.Error(p)
	}
	if t.Failed() {
		return
	}
	lmtp, _ := cfg.Service("lmtp")
	if lmtp.Name != "lmtp" || lmtp.Processes != 20 || lmtp.ServiceCount != 1 || lmtp.User.UID != 903 || lmtp.Groups[0] != 900 {
		t.Errorf("got service %+v", lmtp)
	}
	if u := lmtp.Unix[0]; u.Mode != 0o600 || u.Owner.UID != 110 || u.Owner.GID != 110 {
		t.Errorf("got listener %+v", u)
	}
	if got, want := cfg.Userdbs[0].Values["path"], "/etc/culver/users2"; got != want {
		t.Errorf("got path %q, want %q", got, want)
	}
	if got := cfg.Global.Int("lmtp_max_recipients"); got != 50 {
		t.Errorf("got %d recipients, want 50", got)
	}
}
