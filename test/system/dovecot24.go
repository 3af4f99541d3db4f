package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// command gives the command line that runs a program of this Dovecot. The folder
// above its own is the one that the homes are in.
func (d *Dovecot) command(program string, args ...string) []string {
	if d.root == "" {
		return append([]string{program}, args...)
	}
	return within(d.root, filepath.Dir(d.dir), program, args...)
}

const dovecot24Conf = `
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
protocols =
ssl = no
listen = 127.0.0.1
first_valid_uid = 1
mail_driver = maildir
mail_path = ~/Maildir
doveadm_password = %[2]s
passdb static {
  password = none
}
userdb passwd-file {
  passwd_file_path = %[1]s/users
}
service doveadm {
  inet_listener doveadm {
    port = %[3]d
  }
}
`

// StartDovecot24 runs Debian trixie's Dovecot 2.4 in dir for these users. The
// folder above dir must be the one that the homes are in; more is configuration text
// that is read last. Root only.
func StartDovecot24(dir string, users Users, more ...string) (*Dovecot, error) {
	d, err := newDovecot(dir, users)
	if err != nil {
		return nil, err
	}
	if d.root, err = install("dovecot24"); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecot24Conf, dir, AdminPassword, d.AdminPort) + strings.Join(more, "")
	if err := os.WriteFile(d.conf, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := d.run(); err != nil {
		return nil, err
	}
	return d, d.Until("a doveadm socket", 20*time.Second, func() bool {
		st, err := os.Stat(d.Admin)
		return err == nil && st.Mode()&os.ModeSocket != 0
	})
}
