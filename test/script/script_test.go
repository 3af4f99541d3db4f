// Package script runs the stories of this folder, one file each, against the
// programs in bin/.
//
// Runs as:   whoever runs the tests; as root each user and service has a uid.
// Trusts:    bin/, which `make test` builds first.
// Distrusts: the programs.
// Speaks:    LMTP; signals; the text of a story (package testscript).
package script

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
)

// firstUID is the uid of the first user of a story as root.
const firstUID = 22001

// patience bounds how long a story waits for what must come.
const patience = 20 * time.Second

// The commands of a story, beside those of testscript; its one condition is [root].
// More configuration (FILE) knows $DIR, the system's folder, and $UID, the first
// user's uid.
//
//	system [-single] NAME,NAME... [FILE]  prepare a system with these users, with -single all of one uid
//	stand-in PROGRAM...          the stand-in takes the place of these programs (package test/standin)
//	play NAME ROLE PATH...       what a stand-in does as NAME's worker
//	shut NAME, open NAME         the stand-in waits as NAME's worker; it goes on
//	append FILE MORE             write what is in MORE behind FILE
//	start                        start it and wait for its greeting
//	lmtp NAME,NAME... RE...      deliver one message; the recipients' replies must match, in order
//	begin NAME,NAME...           the same up to DATA and the text of the message
//	dot                          end that message
//	finish RE...                 the same, unless it was done, and the replies
//	farewell RE                  the server ends that session with these words
//	mail NAME N                  NAME has N messages, all his own and nobody else's
//	writer NAME is|isnt WHO      the process that wrote NAME's last message also wrote WHO's, or is a child of that name
//	children PROGRAM N           wait until the master has so many
//	log RE                       wait for a line of the log
//	signal NAME                  HUP, USR1, TERM, KILL: send it to the master
//	kill-one PROGRAM             SIGKILL to the master's child of that name
//	kill-service PROGRAM         the same, and wait for the next
//	listens PATH MODE            a socket of that mode answers; remembered: it must not become another one
//	appears PATH, gone PATH      wait until something is there, until nothing is
//	empty                        wait until no process of the system is left
//	stop                         SIGTERM; must end with 0
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, params("."))
}

// params are for the stories in dir.
func params(dir string) testscript.Params {
	bin := filepath.Join(mailtest.Repository(), "bin")
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			s := &story{inodes: map[string]uint64{}}
			env.Values[key{}] = s
			env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
			env.Defer(s.clean)
			return s.prepare(env)
		},
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("unknown condition %s", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"system":       command((*story).system),
			"stand-in":     command((*story).standIn),
			"play":         command((*story).play),
			"shut":         command((*story).shut),
			"open":         command((*story).open),
			"append":       command((*story).append),
			"start":        command((*story).start),
			"lmtp":         command((*story).lmtp),
			"begin":        command((*story).begin),
			"dot":          command((*story).dot),
			"finish":       command((*story).finish),
			"farewell":     command((*story).farewell),
			"mail":         command((*story).mail),
			"writer":       command((*story).writer),
			"children":     command((*story).children),
			"log":          command((*story).log),
			"signal":       command((*story).signal),
			"kill-one":     command((*story).killOne),
			"kill-service": command((*story).killService),
			"listens":      command((*story).listens),
			"appears":      command((*story).appears),
			"gone":         command((*story).gone),
			"empty":        command((*story).empty),
			"stop":         command((*story).stop),
		},
	}
}

type key struct{}

// story is the state of one file.
type story struct {
	dir     string // a scratch folder that every uid may pass through
	culver  *mailtest.Culver
	session *mailtest.Session // between begin and finish or farewell
	inodes  map[string]uint64 // of sockets that were seen
}

// command lets a method be a command; neg is for the method to understand.
func command(f func(*story, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		s := ts.Value(key{}).(*story)
		err := f(s, ts, args)
		switch {
		case err == nil && neg:
			ts.Fatalf("succeeded, and should not have")
		case err != nil && !neg:
			if s.culver != nil && s.culver.Process != nil {
				ts.Logf("[culver]\n%s", s.culver.Trouble())
			}
			ts.Fatalf("%v", err)
		case err != nil:
			ts.Logf("%v", err)
		}
	}
}

func (s *story) prepare(env *testscript.Env) (err error) {
	s.dir, err = mailtest.Scratch("")
	env.Setenv("DIR", s.dir)
	return err
}

func (s *story) clean() {
	if s.culver != nil && s.culver.Running() {
		s.culver.Stop()
	}
	os.RemoveAll(s.dir)
}

func (s *story) system(ts *testscript.TestScript, args []string) error {
	o := mailtest.Options{Dir: filepath.Join(s.dir, "system"), FirstUID: firstUID}
	if len(args) > 0 && args[0] == "-single" {
		o.Single, args = true, args[1:]
	}
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("usage: system [-single] NAME,NAME... [FILE]")
	}
	o.Names = strings.Split(args[0], ",")
	uid := firstUID
	if os.Geteuid() != 0 {
		uid = os.Getuid()
	}
	if len(args) == 2 {
		o.Extra = strings.ReplaceAll(ts.ReadFile(args[1]), "$UID", strconv.Itoa(uid))
	}
	var err error
	s.culver, err = mailtest.Prepare(o)
	if err == nil {
		ts.Setenv("CONF", s.culver.Conf)
		ts.Setenv("SOCKET", s.culver.Socket)
		ts.Setenv("LOG", s.culver.Log)
		ts.Setenv("BASE", filepath.Join(s.culver.Dir, "run"))
		ts.Setenv("HOMES", filepath.Join(s.culver.Dir, "home"))
	}
	return err
}

func (s *story) standIn(_ *testscript.TestScript, args []string) error {
	for _, name := range args {
		if err := mailtest.PlaceProgram(mailtest.StandIn(), filepath.Join(s.culver.Bin, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) play(_ *testscript.TestScript, args []string) error {
	u, err := s.user(args[0])
	if err != nil {
		return err
	}
	return mailtest.Play(u, args[1], args[2:]...)
}

// gate is a FIFO in the user's Maildir: it opens for reading when it is opened for
// writing.
func gate(u mailtest.User) string { return filepath.Join(u.Home, "Maildir", "gate") }

func (s *story) shut(_ *testscript.TestScript, args []string) error {
	u, err := s.user(args[0])
	if err != nil {
		return err
	}
	if err := mailtest.Play(u, "waits", gate(u)); err != nil {
		return err
	}
	return errors.Join(unix.Mkfifo(gate(u), 0o600), os.Chown(gate(u), u.UID, u.GID))
}

func (s *story) open(_ *testscript.TestScript, args []string) error {
	u, err := s.user(args[0])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(gate(u), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func (s *story) append(ts *testscript.TestScript, args []string) error {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(ts.ReadFile(args[1]))
	return errors.Join(err, f.Close())
}

func (s *story) user(name string) (mailtest.User, error) {
	for _, u := range s.culver.Users {
		if u.Name == name {
			return u, nil
		}
	}
	return mailtest.User{}, fmt.Errorf("no user %s", name)
}

func (s *story) start(*testscript.TestScript, []string) error { return s.culver.Start(false) }

func (s *story) stop(*testscript.TestScript, []string) error { return s.culver.Stop() }

const message = "Subject: a story\nMessage-ID: <story@example.org>\n\nHello.\n"

func (s *story) lmtp(ts *testscript.TestScript, args []string) error {
	c, err := mailtest.Dial(s.culver.Socket, func(line string) { ts.Logf("%s", line) })
	if err != nil {
		return err
	}
	replies, err := c.Deliver("sender@example.org", strings.Split(args[0], ","), message)
	if err != nil {
		return err
	}
	return match(replies, args[1:])
}

// match holds replies against expressions for their beginnings.
func match(replies, want []string) error {
	if len(replies) != len(want) {
		return fmt.Errorf("%d replies, want %d", len(replies), len(want))
	}
	for i, got := range replies {
		if ok, err := regexp.MatchString("^(?:"+want[i]+")", got); err != nil || !ok {
			return fmt.Errorf("got %q, want %s (%v)", got, want[i], err)
		}
	}
	return nil
}

func (s *story) begin(ts *testscript.TestScript, args []string) (err error) {
	s.session, err = mailtest.Dial(s.culver.Socket, func(line string) { ts.Logf("%s", line) })
	if err != nil {
		return err
	}
	return s.session.Begin("sender@example.org", strings.Split(args[0], ","), message)
}

func (s *story) dot(*testscript.TestScript, []string) error { return s.session.Dot() }

func (s *story) finish(_ *testscript.TestScript, args []string) error {
	replies, err := s.session.End()
	if err != nil {
		return err
	}
	return match(replies, args)
}

func (s *story) farewell(_ *testscript.TestScript, args []string) error {
	words, err := s.session.Farewell()
	if err != nil {
		return err
	}
	return match([]string{words}, args)
}

func (s *story) mail(_ *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	u, err := s.user(args[0])
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(u.Home, "Maildir", "new", "*"))
	if err != nil || len(files) != want {
		return fmt.Errorf("%s has %d messages, want %d", u.Name, len(files), want)
	}
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Stat(f, &st); err != nil || int(st.Uid) != u.UID || st.Mode&0o077 != 0 {
			return fmt.Errorf("%s: owner %d, mode %04o (%v); want %d and nobody else's", f, st.Uid, st.Mode&0o7777, err, u.UID)
		}
	}
	return nil
}

// spec/maildir.md: the name of a message begins with its time, and has P and the
// pid of its writer.
var named = regexp.MustCompile(`^(\d+)\.M(\d+)P(\d+)`)

// wrote is the pid of the process that wrote the user's last message.
func (s *story) wrote(u mailtest.User) (pid int, err error) {
	files, err := os.ReadDir(filepath.Join(u.Home, "Maildir", "new"))
	last := 0
	for _, f := range files {
		if m := named.FindStringSubmatch(f.Name()); m != nil {
			seconds, _ := strconv.Atoi(m[1])
			micros, _ := strconv.Atoi(m[2])
			if at := seconds*1e6 + micros; at > last {
				last = at
				pid, _ = strconv.Atoi(m[3])
			}
		}
	}
	if pid == 0 && err == nil {
		err = fmt.Errorf("%s has no message whose name tells its writer", u.Name)
	}
	return pid, err
}

func (s *story) writer(_ *testscript.TestScript, args []string) error {
	u, err := s.user(args[0])
	if err != nil {
		return err
	}
	pid, err := s.wrote(u)
	if err != nil {
		return err
	}
	others := s.living(args[2])
	if u, err := s.user(args[2]); err == nil {
		other, err := s.wrote(u)
		if err != nil {
			return err
		}
		others = []int{other}
	}
	if slices.Contains(others, pid) != (args[1] == "is") {
		return fmt.Errorf("%s's was written by %d; %s: %d", args[0], pid, args[2], others)
	}
	return nil
}

func (s *story) children(_ *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return s.await(fmt.Sprintf("the moment with %d %s", want, args[0]), func() bool { return len(s.living(args[0])) == want })
}

// await is for what a running system does soon.
func (s *story) await(what string, ok func() bool) error { return s.culver.Until(what, patience, ok) }

func (s *story) log(_ *testscript.TestScript, args []string) error {
	re, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	return mailtest.Await("a line of the log that matches "+args[0], patience, func() bool {
		return slices.ContainsFunc(s.culver.Lines(), re.MatchString)
	})
}

func (s *story) signal(_ *testscript.TestScript, args []string) error {
	sig := unix.SignalNum("SIG" + args[0])
	if sig == 0 {
		return fmt.Errorf("unknown signal %s", args[0])
	}
	return s.culver.Signal(sig)
}

func (s *story) listens(ts *testscript.TestScript, args []string) error {
	mode, err := strconv.ParseUint(args[1], 8, 32)
	if err != nil {
		return err
	}
	path := ts.MkAbs(args[0])
	var st unix.Stat_t
	if err := s.await("the socket "+path, func() bool {
		return unix.Stat(path, &st) == nil && uint64(st.Mode&0o7777) == mode && mailtest.Greets("unix", path)
	}); err != nil {
		return fmt.Errorf("mode %04o, want %04o: %w", st.Mode&0o7777, mode, err)
	}
	if old, ok := s.inodes[path]; ok && old != st.Ino {
		return fmt.Errorf("%s is another socket now", path)
	}
	s.inodes[path] = st.Ino
	return nil
}

func (s *story) appears(ts *testscript.TestScript, args []string) error {
	path := ts.MkAbs(args[0])
	return s.await(path, func() bool {
		_, err := os.Lstat(path)
		return err == nil
	})
}

func (s *story) gone(ts *testscript.TestScript, args []string) error {
	path := ts.MkAbs(args[0])
	return s.await("the end of "+path, func() bool {
		_, err := os.Lstat(path)
		return os.IsNotExist(err)
	})
}

// empty looks for every process whose program lies in the system's folder.
func (s *story) empty(*testscript.TestScript, []string) error {
	return mailtest.Await("the end of all processes", patience, func() bool {
		all, _ := filepath.Glob("/proc/[0-9]*/exe")
		return !slices.ContainsFunc(all, func(link string) bool {
			exe, _ := os.Readlink(link)
			return strings.HasPrefix(exe, s.culver.Bin+"/")
		})
	})
}

func (s *story) killOne(_ *testscript.TestScript, args []string) error {
	victims := s.living(args[0])
	if len(victims) != 1 {
		return fmt.Errorf("the master's children %s are %d, want one", args[0], victims)
	}
	return syscall.Kill(victims[0], syscall.SIGKILL)
}

func (s *story) killService(ts *testscript.TestScript, args []string) error {
	victims := s.living(args[0])
	if err := s.killOne(ts, args); err != nil {
		return err
	}
	return s.await("a new "+args[0], func() bool {
		next := s.living(args[0])
		return len(next) == 1 && next[0] != victims[0]
	})
}

// living finds the master's children of that name in /proc.
func (s *story) living(name string) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// proc(5): PID (NAME) STATE PPID ...
		pid, rest, _ := strings.Cut(string(text), " (")
		command, rest, _ := strings.Cut(rest, ") ")
		f := strings.Fields(rest)
		if command == name && len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(s.culver.PID) {
			n, _ := strconv.Atoi(pid)
			pids = append(pids, n)
		}
	}
	return pids
}
