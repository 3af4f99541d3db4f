package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	authConf23 = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
instance_name = culver-test
protocols =
ssl = no
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = passwd-file
  args = %[1]s/users
}
`
	authConf24 = `
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
protocols =
ssl = no
passdb passwd-file {
  passwd_file_path = %[1]s/users
}
userdb passwd-file {
  passwd_file_path = %[1]s/users
}
`
)

// StartDovecotAuth runs Dovecot of release 2.3 or, as root only, 2.4 in dir for its
// auth service alone, with the text of a users file, and does not wait for its
// sockets; more is configuration that is read last.
func StartDovecotAuth(dir, release, users, more string) (*Dovecot, error) {
	d := &Dovecot{Auth: filepath.Join(dir, "run", "auth-userdb"), dir: dir, conf: filepath.Join(dir, "dovecot.conf")}
	conf := authConf23
	var err error
	if release == "2.4" {
		conf = authConf24
		d.root, err = install("dovecot24")
	}
	err = errors.Join(err, os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "users"), []byte(users), 0o644),
		os.WriteFile(d.conf, []byte(fmt.Sprintf(conf, dir)+more), 0o644))
	if err != nil {
		return nil, err
	}
	return d, d.run()
}
