package system

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Culver is the system under test, in one folder.
type Culver struct {
	*Process
	Dir    string
	Conf   string // its configuration file
	Socket string // LMTP, for everybody
	Port   int    // LMTP on 127.0.0.1
	Log    string // file with its log
	Users  string // passwd-file
}

// Program is the path of a program that `make build` made.
func Program(name string) string { return filepath.Join(Repository(), "bin", name) }

// A bare machine has none of the accounts that packaging makes: these uids
// belong to nobody, and each service has its own.
const culverAccounts = `
default_internal_user  = 61000
default_internal_group = 61000
service log {
  user = 61001
}
service auth {
  user = 61002
}
service lmtp {
  user = 61003
}
`

// What is not set here has its default, so that the tests judge defaults.
const culverConf = `
base_dir      = "%[1]s/run"
log_path      = "%[1]s/log/culver.log"
hostname      = "culver.example.org"
mail_location = "maildir:%%h/Maildir"
service lmtp {
  unix_listener "%[1]s/lmtp" {
    mode = 0666
  }
  inet_listener "lmtp" {
    address = "127.0.0.1"
    port    = %[2]d
  }
}
passdb "users" {
  driver = passwd-file
  path   = "%[1]s/users"
}
userdb "users" {
  driver = passwd-file
  path   = "%[1]s/users"
}
`

// StartCulver runs Culver in dir for these users; more is configuration text that
// is read last.
func StartCulver(dir string, users Users, more string) (*Culver, error) {
	c, err := ConfigureCulver(dir, users, more)
	if err != nil {
		return nil, err
	}
	return c, c.Start()
}

// ConfigureCulver writes the files and starts nothing.
func ConfigureCulver(dir string, users Users, more string) (*Culver, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	c := &Culver{
		Dir: dir, Port: port, Conf: filepath.Join(dir, "culver.conf"), Socket: filepath.Join(dir, "lmtp"),
		Log: filepath.Join(dir, "log/culver.log"), Users: filepath.Join(dir, "users"),
	}
	text := fmt.Sprintf(culverConf, dir, port)
	if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		text += culverAccounts
		// The log service opens its file itself, as the log user.
		if err := os.Chown(filepath.Dir(c.Log), 61001, 61001); err != nil {
			return nil, err
		}
	}
	return c, errors.Join(
		os.WriteFile(c.Users, []byte(users.Passwd()), 0o644),
		os.WriteFile(c.Conf, []byte(text+more), 0o644),
	)
}

// Start runs the configured system until it answers.
func (c *Culver) Start() error {
	var err error
	c.Process, err = start(filepath.Join(c.Dir, "culver.out"), Program("culver"), "-F", "-c", c.Conf)
	if err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	if err := c.until("LMTP greeting", 20*time.Second, func() bool { return greets("unix", c.Socket) }); err != nil {
		return fmt.Errorf("%w\n%s", err, errors.Join(err, c.Stop(), errors.New(c.Logged())))
	}
	return nil
}

// Logged is the log so far.
func (c *Culver) Logged() string {
	text, _ := os.ReadFile(c.Log)
	return string(text)
}

// AwaitLog waits until a line of the log has all of the parts, and returns it.
func (c *Culver) AwaitLog(limit time.Duration, parts ...string) (line string, err error) {
	err = c.until(fmt.Sprintf("log line with %q", parts), limit, func() bool {
		line = lineWith(c.Logged(), parts)
		return line != ""
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, c.Logged())
	}
	return line, err
}

func lineWith(text string, parts []string) string {
next:
	for line := range strings.Lines(text) {
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue next
			}
		}
		return strings.TrimRight(line, "\n")
	}
	return ""
}

// freePort asks the kernel for a port that is free now. Another process may take
// it before the master does; nothing fixed is better.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
