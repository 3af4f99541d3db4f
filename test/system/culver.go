package system

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"culver/internal/mailtest"
)

// Culver is the system under test, in one folder.
type Culver struct {
	*mailtest.Culver
	Port      int    // LMTP on 127.0.0.1, beside the socket
	Admin     string // doveadm, without a password: mode 0600
	AdminPort int    // doveadm on 127.0.0.1, with AdminPassword
}

// Program is the path of a program that `make build` made.
func Program(name string) string { return filepath.Join(mailtest.Repository(), "bin", name) }

// StartCulver runs Culver in dir for these users; more is configuration text that
// is read last.
func StartCulver(dir string, users Users, more string) (*Culver, error) {
	c, err := ConfigureCulver(dir, users.Passwd(), more)
	if err != nil {
		return nil, err
	}
	return c, c.Start(false)
}

// ConfigureCulver writes the files and starts nothing. Everybody may use the
// socket: the tests' Postfix is not root.
func ConfigureCulver(dir, passwd, more string) (*Culver, error) {
	var ports [2]int
	for i := range ports {
		var err error
		if ports[i], err = mailtest.FreePort(); err != nil {
			return nil, err
		}
	}
	secret := filepath.Join(dir, "doveadm.password")
	listeners := fmt.Sprintf(`service lmtp {
  unix_listener "lmtp" {
    mode = 0666
  }
  inet_listener "lmtp" {
    address = "127.0.0.1"
    port    = %d
  }
}
service doveadm {
  inet_listener "doveadm" {
    address = "127.0.0.1"
    port    = %d
  }
}
doveadm_password_file = %q
`, ports[0], ports[1], secret)
	c, err := mailtest.Prepare(mailtest.Options{Dir: dir, Users: passwd, Extra: listeners + more})
	if err == nil {
		err = os.WriteFile(secret, []byte(AdminPassword+"\n"), 0o600)
	}
	return &Culver{c, ports[0], filepath.Join(dir, "run", "doveadm-server"), ports[1]}, err
}

// StartCulverOn runs Culver in dir for the users of another server's auth, whose
// socket belongs to the group mail.
func StartCulverOn(dir, auth string) (*Culver, error) {
	c, err := mailtest.Prepare(mailtest.Options{Dir: dir, Auth: auth, Extra: "service lmtp {\n  extra_groups = [\"mail\"]\n}\n"})
	if err != nil {
		return nil, err
	}
	return &Culver{Culver: c, Admin: filepath.Join(dir, "run", "doveadm-server")}, c.Start(false)
}

// Client gives Culver's doveadm on a host that has no Culver: its configuration,
// in dir, names another server's auth socket and AdminPassword.
func Client(dir, auth string) (func(input string, args ...string) (Said, error), error) {
	secret, conf := filepath.Join(dir, "password"), filepath.Join(dir, "client.conf")
	text := fmt.Sprintf("auth_socket_path = %q\ndoveadm_password_file = %q\n", auth, secret)
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(secret, []byte(AdminPassword+"\n"), 0o600), os.WriteFile(conf, []byte(text), 0o644))
	return func(input string, args ...string) (Said, error) {
		return say(input, append([]string{Program("doveadm"), "-c", conf}, args...))
	}, err
}

// Doveadm runs Culver's own doveadm with its settings; input may be "".
func (c *Culver) Doveadm(input string, args ...string) (Said, error) {
	return c.DoveadmBy(nil, input, args...)
}

// DoveadmBy does so by a command that runs another, such as Hosts.Command.
func (c *Culver) DoveadmBy(by []string, input string, args ...string) (Said, error) {
	return say(input, append(append(slices.Clone(by), Program("doveadm"), "-c", c.Conf), args...))
}
