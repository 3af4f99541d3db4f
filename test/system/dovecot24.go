package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"culver/internal/mailtest"
)

// command gives the command line that runs a program of this Dovecot. One of
// another release has its files below a root of its own; its folder and the
// homes appear there under the paths that they have here, for that process alone.
func (d *Dovecot) command(program string, args ...string) []string {
	if d.root == "" {
		return append([]string{program}, args...)
	}
	const enter = `root=$1 shared=$2; shift 2
mount --bind /dev "$root/dev"
mount --bind /proc "$root/proc"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"`
	return append([]string{"unshare", "--mount", "sh", "-euc", enter, "sh", d.root, filepath.Dir(d.dir), program}, args...)
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
// folder above dir must be the one that the homes are in. Root only.
func StartDovecot24(dir string, users Users) (*Dovecot, error) {
	d, err := newDovecot(dir, users)
	if err != nil {
		return nil, err
	}
	if d.root, err = dovecot24Root(); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecot24Conf, dir, AdminPassword, d.AdminPort)
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

// dovecot24Root is the folder with trixie's programs, which the first test that
// needs them makes.
func dovecot24Root() (string, error) {
	script := filepath.Join(mailtest.Repository(), "scripts", "install-dovecot24")
	root := filepath.Join(mailtest.Repository(), "bin", "test", "dovecot24")
	if out, err := exec.Command(script, root).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return root, nil
}
