// Package script runs the stories of this folder, one file each, against the
// programs in bin/.
//
// Runs as:   whoever runs the tests; as root each user and service has a uid.
// Trusts:    bin/, which `make test` builds first.
// Distrusts: the programs.
// Speaks:    LMTP; signals; the text of a story (package testscript).
package script

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
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

// The commands of a story, beside those of testscript:
//
//	system NAME,NAME... [FILE]   prepare a system with these users; FILE is more configuration
//	start                        start it and wait for its greeting
//	lmtp NAME,NAME... RE...      deliver one message; the recipients' replies must match, in order
//	mail NAME N                  NAME has N messages, all his own and nobody else's
//	log RE                       wait for a line of the log
//	signal NAME                  HUP, USR1: send it to the master
//	kill-service PROGRAM         SIGKILL to the master's child of that name, and wait for the next
//	stop                         SIGTERM; must end with 0
func TestScripts(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(mailtest.Repository(), "bin")
	if _, err := os.Stat(filepath.Join(bin, "culver")); err != nil {
		t.Fatalf("%v: make build comes first", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: ".",
		Setup: func(env *testscript.Env) error {
			s := &story{}
			env.Values[key{}] = s
			env.Setenv("PATH", bin+":"+env.Getenv("PATH"))
			env.Defer(s.clean)
			return s.prepare(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"system": command((*story).system),
			"start":  command((*story).start),
			"lmtp":   command((*story).lmtp),
			"mail":   command((*story).mail),
			"log":    command((*story).log),
			"signal": command((*story).signal),
			"stop":   command((*story).stop),

			"kill-service": command((*story).killService),
		},
	})
}

type key struct{}

// story is the state of one file.
type story struct {
	dir    string // a scratch folder that every uid may pass through
	culver *mailtest.Culver
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
			if s.culver != nil {
				ts.Logf("[culver]\n%s", s.culver.Trouble())
			}
			ts.Fatalf("%v", err)
		case err != nil:
			ts.Logf("%v", err)
		}
	}
}

func (s *story) prepare(env *testscript.Env) error {
	// Not below the test's own folder, which is 0700: a delivery runs as its user.
	dir, err := os.MkdirTemp("", "culver-script-")
	if err != nil {
		return err
	}
	s.dir = dir
	env.Setenv("DIR", dir)
	return os.Chmod(dir, 0o755)
}

func (s *story) clean() {
	if s.culver != nil && s.culver.Running() {
		s.culver.Stop()
	}
	os.RemoveAll(s.dir)
}

func (s *story) system(ts *testscript.TestScript, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return fmt.Errorf("usage: system NAME,NAME... [FILE]")
	}
	o := mailtest.Options{Dir: filepath.Join(s.dir, "system"), Names: strings.Split(args[0], ","), FirstUID: firstUID}
	if len(args) == 2 {
		o.Extra = ts.ReadFile(args[1])
	}
	var err error
	s.culver, err = mailtest.Prepare(o)
	if err == nil {
		ts.Setenv("CONF", s.culver.Conf)
		ts.Setenv("SOCKET", s.culver.Socket)
		ts.Setenv("LOG", s.culver.Log)
		ts.Setenv("BASE", filepath.Join(s.culver.Dir, "run"))
	}
	return err
}

func (s *story) start(*testscript.TestScript, []string) error { return s.culver.Start(io.Discard) }

func (s *story) stop(*testscript.TestScript, []string) error { return s.culver.Stop() }

func (s *story) lmtp(ts *testscript.TestScript, args []string) error {
	names := strings.Split(args[0], ",")
	if len(args) != 1+len(names) {
		return fmt.Errorf("usage: lmtp NAME,NAME... RE..., an expression for each name")
	}
	c, err := mailtest.Dial(s.culver.Socket, func(line string) { ts.Logf("%s", line) })
	if err != nil {
		return err
	}
	replies, err := c.Deliver("sender@example.org", names, "Subject: a story\nMessage-ID: <story@example.org>\n\nHello.\n")
	if err != nil {
		return err
	}
	for i, got := range replies {
		if ok, err := regexp.MatchString("^(?:"+args[1+i]+")", got); err != nil || !ok {
			return fmt.Errorf("%s got %q, want %s (%v)", names[i], got, args[1+i], err)
		}
	}
	return nil
}

func (s *story) mail(_ *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for _, u := range s.culver.Users {
		if u.Name != args[0] {
			continue
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
	return fmt.Errorf("no user %s", args[0])
}

func (s *story) log(_ *testscript.TestScript, args []string) error {
	re, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	end := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, line := range s.culver.Lines() {
			if re.MatchString(line) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("no line of the log matches %s", re)
		}
	}
}

func (s *story) signal(_ *testscript.TestScript, args []string) error {
	switch args[0] {
	case "HUP":
		return s.culver.Signal(syscall.SIGHUP)
	case "USR1":
		return s.culver.Signal(syscall.SIGUSR1)
	}
	return fmt.Errorf("unknown signal %s", args[0])
}

// killService kills one of the master's children by its program's name, and
// waits until another process has its place.
func (s *story) killService(_ *testscript.TestScript, args []string) error {
	victim := s.child(args[0])
	if victim == 0 {
		return fmt.Errorf("the master has no child %s", args[0])
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		return err
	}
	end := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if next := s.child(args[0]); next != 0 && next != victim {
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("no new %s after %v", args[0], patience)
		}
	}
}

// child finds the master's living child of that name in /proc.
func (s *story) child(name string) int {
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
		if command == name && len(f) > 1 && f[0] != "Z" && f[1] == strconv.Itoa(s.culver.PID()) {
			n, _ := strconv.Atoi(pid)
			return n
		}
	}
	return 0
}
