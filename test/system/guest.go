package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"culver/internal/mailtest"
)

// Guest is a Dovecot that has no auth service of its own: it serves IMAP and LMTP
// for the users of one whose listeners are at its places.
type Guest struct {
	*Dovecot
	IMAPPort int // on 127.0.0.1
}

// GuestListeners are the places in the base_dir of a Guest in dir, by role. Its
// imap-login is confined to run/login, where Dovecot removes all sockets as it
// starts, but for those in folders.
func GuestListeners(dir string) map[string]string {
	run := filepath.Join(dir, "run")
	return map[string]string{
		"login":  filepath.Join(run, "login", "culver", "login"),
		"master": filepath.Join(run, "auth-master"),
		"userdb": filepath.Join(run, "auth-userdb"),
		"auth":   filepath.Join(run, "auth-client"),
	}
}

const guestConf = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
instance_name = culver-guest
ssl = no
listen = 127.0.0.1
first_valid_uid = 1
service auth {
  unix_listener login/login {
    mode = 0
  }
  unix_listener token-login/tokenlogin {
    mode = 0
  }
  unix_listener auth-client {
    mode = 0
  }
  unix_listener auth-login {
    mode = 0
  }
  unix_listener auth-userdb {
    mode = 0
  }
  unix_listener auth-master {
    mode = 0
  }
}
service imap-login {
  executable = imap-login culver/login
  inet_listener imap {
    port = %[2]d
  }
}
service lmtp {
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
`

const (
	guestConf23 = guestConf + `
protocols = imap lmtp
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
`
	guestConf24 = `
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
` + guestConf + `
protocols {
  imap = yes
  lmtp = yes
}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/Maildir
`
)

// PrepareGuest makes the folder dir and starts nothing: the auth service's
// listeners may come first. release is 2.3 or, as root only, 2.4; the folder above
// dir is then the one that the homes are in.
func PrepareGuest(dir, release string) (*Guest, error) {
	g := &Guest{Dovecot: &Dovecot{Socket: filepath.Join(dir, "lmtp"), dir: dir, conf: filepath.Join(dir, "dovecot.conf")}}
	conf := guestConf23
	var err error
	if release == "2.4" {
		conf = guestConf24
		g.root, err = install("dovecot24")
	}
	var free error
	g.IMAPPort, free = mailtest.FreePort()
	return g, errors.Join(err, free,
		os.MkdirAll(filepath.Dir(GuestListeners(dir)["login"]), 0o755),
		os.WriteFile(g.conf, []byte(fmt.Sprintf(conf, dir, g.IMAPPort)), 0o644))
}

// Start starts Dovecot and waits until it takes mail.
func (g *Guest) Start() error {
	if err := g.run(); err != nil {
		return err
	}
	return g.Until("an LMTP greeting", 20*time.Second, func() bool { return mailtest.Greets("unix", g.Socket) })
}
