package mailtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The uids of a system's own services where root starts one on a machine that
// has no accounts for them.
const (
	uidInternal = 19000 + iota
	uidLog
	uidAuth
	uidLMTP
)

// User is one mail user of a system.
type User struct {
	Name     string
	UID, GID int
	Home     string
}

// Culver is a whole running system in a scratch folder.
type Culver struct {
	Dir    string // scratch; base_dir, log and users lie below it
	Bin    string // libexec_dir
	Conf   string // the configuration file
	Socket string // LMTP, a UNIX socket
	Log    string // the log file
	Users  []User

	cmd    *exec.Cmd
	stderr *lockedBuffer
	ended  chan struct{}
	err    error
}

// Options say what differs from the shipped settings.
type Options struct {
	Dir      string // an empty folder that every uid may pass through
	Bin      string // the programs; "" is bin/ of the repository
	Names    []string
	FirstUID int       // of the first user; as root each has one of its own
	Sandbox  string    // "" keeps the setting's default
	Extra    string    // text after everything else of the configuration
	Output   io.Writer // standard error of the master goes here as well
}

// Repository is the root of the source tree: the folder above the working one
// that has the module's file. (A program built with -trimpath does not know where
// its source was.)
func Repository() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	return "."
}

// Prepare makes the folders, users and configuration of a system. As root each
// user and each service gets a uid of its own, else all are the caller.
func Prepare(o Options) (*Culver, error) {
	c := &Culver{
		Dir: o.Dir, Bin: o.Bin,
		Conf:   filepath.Join(o.Dir, "culver.conf"),
		Socket: filepath.Join(o.Dir, "run", "lmtp"),
		Log:    filepath.Join(o.Dir, "log", "culver.log"),
	}
	if c.Bin == "" {
		c.Bin = filepath.Join(Repository(), "bin")
	}
	for _, dir := range []string{filepath.Dir(c.Log), filepath.Join(c.Dir, "home")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	root := os.Geteuid() == 0
	var lines strings.Builder
	for i, name := range o.Names {
		u := User{Name: name, UID: os.Getuid(), GID: os.Getgid(), Home: filepath.Join(c.Dir, "home", name)}
		if root {
			u.UID, u.GID = o.FirstUID+i, o.FirstUID+i
		}
		if err := own(os.Mkdir(u.Home, 0o700), u.Home, u.UID, root); err != nil {
			return nil, err
		}
		c.Users = append(c.Users, u)
		fmt.Fprintf(&lines, "%s:{PLAIN}secret:%d:%d::%s::\n", u.Name, u.UID, u.GID, u.Home)
	}
	users := filepath.Join(c.Dir, "users")
	if err := own(os.WriteFile(users, []byte(lines.String()), 0o600), users, uidAuth, root); err != nil {
		return nil, err
	}
	if err := own(nil, filepath.Dir(c.Log), uidLog, root); err != nil {
		return nil, err
	}
	return c, os.WriteFile(c.Conf, []byte(c.settings(o, users, root)), 0o644)
}

// own gives a path to a uid, after whatever made it.
func own(err error, path string, uid int, root bool) error {
	if err != nil || !root {
		return err
	}
	return os.Chown(path, uid, uid)
}

// settings is the shipped configuration and what this machine has otherwise.
func (c *Culver) settings(o Options, users string, root bool) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("include %q {}", filepath.Join(Repository(), "conf.d", "*.conf"))
	say("base_dir = %q", filepath.Join(c.Dir, "run"))
	say("libexec_dir = %q", c.Bin)
	say("log_path = %q", c.Log)
	say("hostname = \"demo.example.org\"")
	say("mail_location = \"maildir:%%h/Maildir\"")
	if o.Sandbox != "" {
		say("sandbox = %s", o.Sandbox)
	}
	if root {
		say("default_internal_user = %d\ndefault_internal_group = %d", uidInternal, uidInternal)
		say("first_valid_uid = 500")
		say("service log {\n  user = %d\n}\nservice auth {\n  user = %d\n}", uidLog, uidAuth)
	} else {
		say("first_valid_uid = %d\nfirst_valid_gid = %d", max(1, min(500, os.Getuid())), max(1, min(500, os.Getgid())))
	}
	say("service lmtp {")
	if root {
		say("  user = %d", uidLMTP)
	}
	say("  unix_listener \"lmtp\" {\n    mode = 0600\n    user = %s\n    group = %s\n  }\n}",
		strconv.Itoa(os.Getuid()), strconv.Itoa(os.Getgid()))
	for _, kind := range []string{"passdb", "userdb"} {
		say("%s \"users\" {\n  driver = \"passwd-file\"\n  path = %q\n}", kind, users)
	}
	b.WriteString(o.Extra)
	return b.String()
}

// Start starts the master in the foreground and waits until an LMTP server
// answers.
func (c *Culver) Start(output io.Writer) error {
	c.stderr = &lockedBuffer{copy: output}
	c.ended = make(chan struct{})
	c.cmd = exec.Command(filepath.Join(c.Bin, "culver"), "-F", "-c", c.Conf)
	c.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	c.cmd.Stdout, c.cmd.Stderr = c.stderr, c.stderr
	// A session of its own: ^C is ours, and we stop the system in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	err := c.await(20 * time.Second)
	if err != nil && c.Running() {
		c.Stop()
	}
	return err
}

// await looks for the greeting. The socket exists before its server does, so
// the one thing to ask for again and again is the connection.
func (c *Culver) await(limit time.Duration) error {
	end := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", c.Socket)
		if err == nil {
			defer conn.Close()
			go func() { // the system ended: its greeting will not come
				<-c.ended
				conn.Close()
			}()
			conn.SetDeadline(time.Now().Add(limit))
			greeting := make([]byte, 512)
			n, err := conn.Read(greeting)
			if err == nil && bytes.HasPrefix(greeting[:n], []byte("220")) {
				io.WriteString(conn, "QUIT\r\n")
				io.Copy(io.Discard, conn)
				return nil
			}
			return fmt.Errorf("no greeting on %s: %q, %v\n%s", c.Socket, greeting[:n], err, c.Trouble())
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return fmt.Errorf("culver ended before it was ready: %w\n%s", exitError(c.err), c.Trouble())
		case <-end:
			return fmt.Errorf("no socket %s after %v: %w\n%s", c.Socket, limit, err, c.Trouble())
		}
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit 0")
	}
	return err
}

// PID is the master's.
func (c *Culver) PID() int { return c.cmd.Process.Pid }

// Ended is closed when the master has ended.
func (c *Culver) Ended() <-chan struct{} { return c.ended }

// Signal sends the master a signal.
func (c *Culver) Signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// Stop ends the system as an administrator would, and waits for it.
func (c *Culver) Stop() error {
	c.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		return c.err
	case <-time.After(40 * time.Second):
		c.Signal(syscall.SIGKILL)
		<-c.ended
		return errors.New("the master was still there 40 s after SIGTERM")
	}
}

// Lines is the log so far.
func (c *Culver) Lines() []string {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// Trouble is what the master said on standard error, and the log.
func (c *Culver) Trouble() string {
	return c.stderr.String() + strings.Join(c.Lines(), "\n")
}

// lockedBuffer keeps what a process says, and passes it on.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
	copy io.Writer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.copy != nil {
		b.copy.Write(p)
	}
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Running tells whether the master was started and has not ended.
func (c *Culver) Running() bool {
	if c.ended == nil {
		return false
	}
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}
