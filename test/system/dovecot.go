package system

import (
	"bufio"
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

// Dovecot is a Dovecot of its own in one folder: its LMTP service, its doveadm
// server, and its IMAP program on a pipe.
type Dovecot struct {
	*mailtest.Process
	Socket    string // LMTP
	Admin     string // doveadm, without a password: mode 0600
	AdminPort int    // doveadm on 127.0.0.1, with AdminPassword
	Auth      string // auth-userdb

	dir, conf string
	root      string // where its programs are, "" for this machine's own
}

// AdminPassword is the doveadm_password of each Dovecot here.
const AdminPassword = "secretpw"

// DovecotLimits are the settings of its LMTP service that the benchmark varies,
// and what a test has otherwise.
type DovecotLimits struct {
	ServiceCount int // 0: one process serves any number of sessions
	ProcessLimit int
	More         string // configuration text that is read last
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
doveadm_password = %[4]s
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
service doveadm {
  inet_listener {
    port = %[5]d
  }
}
`

// StartDovecot runs Dovecot in dir for these users.
func StartDovecot(dir string, users Users, l DovecotLimits) (*Dovecot, error) {
	d, err := newDovecot(dir, users)
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecotConf, dir, l.ServiceCount, l.ProcessLimit, AdminPassword, d.AdminPort) + l.More
	if err := os.WriteFile(d.conf, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	if err := d.run(); err != nil {
		return nil, err
	}
	return d, d.Until("an LMTP greeting", 20*time.Second, func() bool { return mailtest.Greets("unix", d.Socket) })
}

// newDovecot makes the folder and the users file.
func newDovecot(dir string, users Users) (*Dovecot, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	port, err := mailtest.FreePort()
	if err != nil {
		return nil, err
	}
	d := &Dovecot{
		Socket: filepath.Join(dir, "lmtp"), Admin: filepath.Join(dir, "run", "doveadm-server"), AdminPort: port,
		Auth: filepath.Join(dir, "run", "auth-userdb"),
		dir:  dir, conf: filepath.Join(dir, "dovecot.conf"),
	}
	return d, os.WriteFile(filepath.Join(dir, "users"), []byte(users.Passwd()), 0o644)
}

func (d *Dovecot) run() error {
	var err error
	d.Process, err = mailtest.Run(filepath.Join(d.dir, "dovecot.out"), d.command("/usr/sbin/dovecot", "-F", "-c", d.conf)...)
	return err
}

// Said is what a program said and how it ended.
type Said struct {
	Out, Err string
	Code     int
}

// Doveadm runs this Dovecot's own doveadm with its settings; input may be "".
func (d *Dovecot) Doveadm(input string, args ...string) (Said, error) {
	return say(input, d.command("/usr/bin/doveadm", append([]string{"-c", d.conf}, args...)...))
}

func say(input string, command []string) (Said, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Stdin = strings.NewReader(input)
	var out, errOut strings.Builder
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	return Said{out.String(), errOut.String(), c.ProcessState.ExitCode()}, err
}

// IMAP runs commands, without tags, as one user on an authenticated session, and
// returns all that the server said. It fails on the first command that is not OK.
func (d *Dovecot) IMAP(user string, commands ...string) (string, error) {
	s, err := d.OpenIMAP(user)
	if err != nil {
		return "", err
	}
	for _, cmd := range commands {
		if _, err := s.Command(cmd); err != nil {
			return "", errors.Join(err, s.Close())
		}
	}
	err = s.Close()
	return s.said.String(), err
}

// IMAPSession is one user's authenticated session.
type IMAPSession struct {
	user        string
	run         *exec.Cmd
	in          io.WriteCloser
	out         *bufio.Reader
	said, error strings.Builder
	tags        int
}

// OpenIMAP begins a session on a pipe.
func (d *Dovecot) OpenIMAP(user string) (*IMAPSession, error) {
	s := &IMAPSession{user: user, run: exec.Command("/usr/lib/dovecot/imap", "-c", d.conf, "-u", user)}
	in, err := s.run.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.run.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.run.Stderr = &s.error
	s.in, s.out = in, bufio.NewReader(io.TeeReader(out, &s.said))
	return s, s.run.Start()
}

// Command sends one without its tag and gives all that was said up to its end,
// which must be OK.
func (s *IMAPSession) Command(cmd string) (string, error) {
	tag, err := s.Send(cmd)
	if err != nil {
		return "", err
	}
	said, err := s.Until(tag)
	if line := said[strings.LastIndex("\n"+strings.TrimSuffix(said, "\n"), "\n"):]; err == nil && !strings.HasPrefix(line, tag+"OK") {
		err = fmt.Errorf("imap for %s: %s: got %q", s.user, cmd, line)
	}
	return said, err
}

// Send sends a command and does not wait; its tag comes back with a space.
func (s *IMAPSession) Send(cmd string) (tag string, err error) {
	s.tags++
	tag = fmt.Sprintf("a%d ", s.tags)
	return tag, s.Line(tag + cmd)
}

// Line sends a line as it is.
func (s *IMAPSession) Line(text string) error {
	_, err := io.WriteString(s.in, text+"\r\n")
	return err
}

// Until reads lines up to one with this beginning.
func (s *IMAPSession) Until(prefix string) (string, error) {
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), fmt.Errorf("imap for %s: no line %q: got %q: %w: %s", s.user, prefix, all.String(), err, s.error.String())
		}
		if strings.HasPrefix(line, prefix) {
			return all.String(), nil
		}
	}
}

// Close logs out.
func (s *IMAPSession) Close() error {
	_, err := s.Command("LOGOUT")
	s.in.Close()
	io.Copy(io.Discard, s.out)
	if err = errors.Join(err, s.run.Wait()); err != nil {
		return fmt.Errorf("%w: %s", err, s.error.String())
	}
	return nil
}

// Log is what Dovecot wrote of warnings and errors so far.
func (d *Dovecot) Log() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "dovecot.log"))
	if err != nil {
		return "Error: " + err.Error()
	}
	return string(text)
}
