package mailtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The uids of a system's own services where root starts one on a machine that
// has no accounts for them.
const (
	uidInternal = 19000 + iota
	uidLog
	uidAuth
	uidLMTP
	uidDoveadm
)

// User is one mail user of a system.
type User struct {
	Name     string
	UID, GID int
	Home     string
}

// Culver is a whole system in a scratch folder.
type Culver struct {
	*Process        // nil before Start
	Dir      string // scratch; base_dir, log and users lie below it
	Bin      string // libexec_dir, with programs that a test may replace
	Conf     string // the configuration file
	Socket   string // LMTP, a UNIX socket
	Log      string // the log file
	Passwd   string // the users file
	Users    []User
}

// Options say what differs from the shipped settings.
type Options struct {
	Dir      string // a folder that every uid may pass through; it need not exist
	Names    []string
	FirstUID int    // of the first user; as root each has one of its own
	Single   bool   // all users have FirstUID, and mail_root is the folder of their homes
	Users    string // the text of a users file, instead of Names: their homes are the caller's
	Auth     string // another server's auth socket, instead of an auth service and its users
	Sandbox  string // "" keeps the setting's default
	Extra    string // text after everything else of the configuration; $DIR is Dir
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

// Scratch makes a folder that every uid may pass through, which a folder of
// testing.T is not: a delivery runs as its user. Its path is short, for the 107
// bytes of a socket's name. parent may be "".
func Scratch(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "culver-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// placePrograms fills a folder with what `make build` made. The tree itself may
// lie where no service can go, below /root.
func placePrograms(to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	from := filepath.Join(Repository(), "bin")
	list, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("make build comes first: %w", err)
	}
	for _, e := range list {
		if e.Type().IsRegular() {
			if err := PlaceProgram(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// PlaceProgram gives a program one more name, or a copy where that cannot be. What
// had the name before may run: it keeps its file.
func PlaceProgram(from, to string) error {
	fresh := to + ".new"
	if os.Link(from, fresh) != nil {
		text, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("make build comes first: %w", err)
		}
		if err := os.WriteFile(fresh, text, 0o755); err != nil {
			return err
		}
	}
	return os.Rename(fresh, to)
}

// StandIn is the program that takes the place of others (package test/standin).
func StandIn() string { return filepath.Join(Repository(), "bin", "test", "standin") }

// Play gives a user's next worker, where that is the stand-in, a role.
func Play(u User, role string, paths ...string) error {
	root := os.Geteuid() == 0
	dir := filepath.Join(u.Home, "Maildir")
	file := filepath.Join(dir, "play")
	text := strings.Join(append([]string{role}, paths...), "\n") + "\n"
	if err := own(os.MkdirAll(dir, 0o700), dir, u.UID, root); err != nil {
		return err
	}
	return own(os.WriteFile(file, []byte(text), 0o600), file, u.UID, root)
}

// Prepare makes the folders, users and configuration of a system. As root each
// user and each service gets a uid of its own, else all are the caller.
func Prepare(o Options) (*Culver, error) {
	c := &Culver{
		Dir:    o.Dir,
		Bin:    filepath.Join(o.Dir, "libexec"),
		Conf:   filepath.Join(o.Dir, "culver.conf"),
		Socket: filepath.Join(o.Dir, "run", "lmtp"),
		Log:    filepath.Join(o.Dir, "log", "culver.log"),
		Passwd: filepath.Join(o.Dir, "users"),
	}
	homes := filepath.Join(c.Dir, "home")
	for _, dir := range []string{filepath.Dir(c.Log), homes} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := placePrograms(c.Bin); err != nil {
		return nil, err
	}
	root := os.Geteuid() == 0
	for i, name := range o.Names {
		u := User{Name: name, UID: os.Getuid(), GID: os.Getgid(), Home: filepath.Join(homes, name)}
		switch {
		case root && o.Single:
			u.UID, u.GID = o.FirstUID, o.FirstUID
		case root:
			u.UID, u.GID = o.FirstUID+i, o.FirstUID+i
		}
		if err := own(os.Mkdir(u.Home, 0o700), u.Home, u.UID, root); err != nil {
			return nil, err
		}
		c.Users = append(c.Users, u)
		o.Users += fmt.Sprintf("%s:{PLAIN}secret:%d:%d::%s::\n", u.Name, u.UID, u.GID, u.Home)
	}
	return c, errors.Join(
		own(os.WriteFile(c.Passwd, []byte(o.Users), 0o600), c.Passwd, uidAuth, root),
		own(nil, filepath.Dir(c.Log), uidLog, root), // the log service opens its file itself
		own(nil, homes, o.FirstUID, root && o.Single),
		os.WriteFile(c.Conf, []byte(c.settings(o, homes, root)), 0o644),
		os.WriteFile(filepath.Join(o.Dir, "more.conf"), []byte(strings.ReplaceAll(o.Extra, "$DIR", o.Dir)), 0o644),
	)
}

// own gives a path to a uid, after whatever made it.
func own(err error, path string, uid int, root bool) error {
	if err != nil || !root {
		return err
	}
	return os.Chown(path, uid, uid)
}

// settings is the shipped configuration and what this machine has otherwise.
func (c *Culver) settings(o Options, homes string, root bool) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	shipped := "*.conf"
	if o.Auth != "" { // all but 20-auth.conf
		shipped = "*-[^a]*.conf"
	}
	say("include %q {}", filepath.Join(Repository(), "conf.d", shipped))
	say("base_dir = %q", filepath.Dir(c.Socket))
	say("libexec_dir = %q", c.Bin)
	say("log_path = %q", c.Log)
	say("hostname = \"demo.example.org\"")
	if o.Sandbox != "" {
		say("sandbox = %s", o.Sandbox)
	}
	first, last := [2]int{500, 1}, [2]int{}
	switch {
	case !root:
		first = [2]int{max(1, min(500, os.Getuid())), max(1, min(500, os.Getgid()))}
	case o.Single:
		first, last = [2]int{o.FirstUID, o.FirstUID}, [2]int{o.FirstUID, o.FirstUID}
	}
	for i, id := range []string{"uid", "gid"} {
		say("first_valid_%[1]s = %[2]d\nlast_valid_%[1]s = %[3]d", id, first[i], last[i])
	}
	if o.Single {
		say("mail_root = %q", homes)
	}
	if root {
		say("default_internal_user = %d\ndefault_internal_group = %[1]d", uidInternal)
		for _, s := range []struct {
			name string
			uid  int
		}{{"log", uidLog}, {"auth", uidAuth}, {"lmtp", uidLMTP}, {"doveadm", uidDoveadm}} {
			if s.name != "auth" || o.Auth == "" {
				say("service %s {\n  user = %d\n}", s.name, s.uid)
			}
		}
	}
	if o.Auth != "" {
		say("auth_socket_path = %q", o.Auth)
	} else {
		for _, kind := range []string{"passdb", "userdb"} {
			say("%s \"users\" {\n  path = %q\n}", kind, c.Passwd)
		}
	}
	if o.Extra != "" { // a file of its own: it may set again what stands above
		say("include \"more.conf\" {}")
	}
	return b.String()
}

// Start starts the master in the foreground and waits until an LMTP server
// answers. What it says goes to culver.out in Dir; with loud to our own standard
// error. A wrapper is a command that ends in running another.
func (c *Culver) Start(loud bool, wrapper ...string) error {
	out := filepath.Join(c.Dir, "culver.out")
	if loud {
		out = ""
	}
	var err error
	c.Process, err = Run(out, append(wrapper, filepath.Join(c.Bin, "culver"), "-F", "-c", c.Conf)...)
	if err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	err = c.Until("an LMTP greeting", 20*time.Second, func() bool { return Greets("unix", c.Socket) })
	if err != nil {
		err = errors.Join(err, errors.New(strings.Join(c.Lines(), "\n")), c.Stop())
	}
	return err
}

// Greets tells whether an LMTP server answers there.
func Greets(network, address string) bool {
	c, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReader(c)
	line, _ := in.ReadString('\n')
	io.WriteString(c, "QUIT\r\n")
	io.Copy(io.Discard, in)
	return strings.HasPrefix(line, "220 ")
}

// FreePort asks the kernel for a port of 127.0.0.1 that is free now. Another
// process may take it before a server does; nothing fixed is better.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Lines is the log so far.
func (c *Culver) Lines() []string {
	text, err := os.ReadFile(c.Log)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// AwaitLog waits until a line of the log has all of the parts, and returns it.
func (c *Culver) AwaitLog(limit time.Duration, parts ...string) (line string, err error) {
	has := func(l string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(l, part) })
	}
	err = c.Until(fmt.Sprintf("a log line with %q", parts), limit, func() bool {
		lines := c.Lines()
		i := slices.IndexFunc(lines, has)
		if i >= 0 {
			line = lines[i]
		}
		return i >= 0
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, c.Trouble())
	}
	return line, err
}

// Trouble is what the master said on standard error, and the log.
func (c *Culver) Trouble() string {
	if c.Process == nil {
		return ""
	}
	return c.output() + strings.Join(c.Lines(), "\n")
}
