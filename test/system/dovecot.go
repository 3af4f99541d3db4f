package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"culver/internal/mailtest"
)

// Dovecot is a Dovecot 2.3 of its own in one folder: its LMTP service, and its
// IMAP program on a pipe.
type Dovecot struct {
	*mailtest.Process
	Socket string // LMTP
	conf   string
}

// DovecotLimits are the settings of its LMTP service that the benchmark varies.
type DovecotLimits struct {
	ServiceCount int // 0: one process serves any number of sessions
	ProcessLimit int
}

const dovecotConf = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
instance_name = culver-test
protocols = lmtp
ssl = no
listen = 127.0.0.1
first_valid_uid = 1
mail_location = maildir:~/Maildir
passdb {
  driver = static
  args = nopassword=y allow_nets=local
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
service lmtp {
  client_limit = 1
  service_count = %[2]d
  process_limit = %[3]d
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
`

// StartDovecot runs Dovecot in dir for these users.
func StartDovecot(dir string, users Users, l DovecotLimits) (*Dovecot, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &Dovecot{Socket: filepath.Join(dir, "lmtp"), conf: filepath.Join(dir, "dovecot.conf")}
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(users.Passwd()), 0o644); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecotConf, dir, l.ServiceCount, l.ProcessLimit)
	if err := os.WriteFile(d.conf, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	var err error
	if d.Process, err = mailtest.Run(filepath.Join(dir, "dovecot.out"), "/usr/sbin/dovecot", "-F", "-c", d.conf); err != nil {
		return nil, err
	}
	return d, d.Until("an LMTP greeting", 20*time.Second, func() bool { return mailtest.Greets("unix", d.Socket) })
}

// IMAP runs commands, without tags, as one user on an authenticated session, and
// returns all that the server said. It fails on the first command that is not OK.
func (d *Dovecot) IMAP(user string, commands ...string) (string, error) {
	c := exec.Command("/usr/lib/dovecot/imap", "-c", d.conf, "-u", user)
	var in strings.Builder
	for i, cmd := range commands {
		fmt.Fprintf(&in, "a%d %s\r\n", i, cmd)
	}
	fmt.Fprint(&in, "z LOGOUT\r\n")
	// The input stays open until LOGOUT ends the session: on end of file the server
	// drops what it has not sent yet.
	hold, err := c.StdinPipe()
	if err != nil {
		return "", err
	}
	defer hold.Close()
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Start(); err != nil {
		return "", err
	}
	_, werr := io.WriteString(hold, in.String())
	if err := errors.Join(c.Wait(), werr); err != nil {
		return "", fmt.Errorf("imap for %s: %w: %s%s", user, err, out.String(), errOut.String())
	}
	for i, cmd := range commands {
		if !strings.Contains(out.String(), fmt.Sprintf("\r\na%d OK", i)) {
			text := out.String()
			return "", fmt.Errorf("imap for %s: %s: got ... %q (%q)", user, cmd, text[max(0, len(text)-300):], errOut.String())
		}
	}
	return out.String(), nil
}

// Log is what Dovecot wrote of warnings and errors so far.
func (d *Dovecot) Log() string {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(d.conf), "dovecot.log"))
	if err != nil {
		return "Error: " + err.Error()
	}
	return string(text)
}
