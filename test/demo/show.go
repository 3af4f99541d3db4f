package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"culver/internal/mailtest"
)

const message = `From: demo@example.org
To: alice, bob, carol
Subject: one message, three processes
Message-ID: <demo@example.org>

Hello.
`

// patience is how long the log service may take to write what was logged.
const patience = 10 * time.Second

// show sends the message and tells what became of it. Its error is about the
// first promise that was not kept.
func show(c *mailtest.Culver) error {
	if err := makeMaildirs(c); err != nil {
		return err
	}
	var folders []string
	for _, u := range c.Users {
		folders = append(folders, filepath.Join(u.Home, "Maildir", "tmp"))
	}
	w, err := watch(folders)
	if err != nil {
		fmt.Printf("(The workers cannot be looked at while they run: %v. Their uids are those of their files.)\n", err)
	}
	fmt.Println("\nOne LMTP session, three recipients:")
	s, err := mailtest.Dial(c.Socket, func(line string) { fmt.Println("  " + line) })
	if err != nil {
		return err
	}
	replies, err := s.Deliver("demo@example.org", names, message)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.Trouble())
	}
	for i, r := range replies {
		if r[0] != '2' {
			return fmt.Errorf("%s: %s\n%s", names[i], r, c.Trouble())
		}
	}
	var live map[int]seen
	if w != nil {
		live = w.result()
	}
	return errors.Join(copies(c, live), oneUserEach(c), refused(c))
}

// makeMaildirs makes the folders in which the watcher waits; a missing Maildir
// the master would make itself.
func makeMaildirs(c *mailtest.Culver) error {
	for _, u := range c.Users {
		for _, sub := range []string{"", "tmp", "new", "cur"} {
			dir := filepath.Join(u.Home, "Maildir", sub)
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			if err := os.Chown(dir, u.UID, u.GID); err != nil {
				return err
			}
		}
	}
	return nil
}

// spec/maildir.md: the name of a new message has P and the pid of its writer.
var writer = regexp.MustCompile(`P([0-9]+)`)

// copies shows each user's copy, its owner, and who wrote it.
func copies(c *mailtest.Culver, live map[int]seen) error {
	fmt.Println("\nThe copies (the pid is in the file's name)")
	if live != nil {
		fmt.Println("and /proc/PID/status of their writers, each held while it opened its file:")
	}
	pids := map[int]string{}
	for _, u := range c.Users {
		files, err := filepath.Glob(filepath.Join(u.Home, "Maildir", "new", "*"))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("%s has %d copies, want 1", u.Name, len(files))
		}
		var st syscall.Stat_t
		if err := syscall.Stat(files[0], &st); err != nil {
			return err
		}
		m := writer.FindStringSubmatch(filepath.Base(files[0]))
		if m == nil {
			return fmt.Errorf("no pid in the name %s", files[0])
		}
		pid, _ := strconv.Atoi(m[1])
		fmt.Printf("  %-6s owner %d mode %04o  written by pid %d", u.Name, st.Uid, st.Mode&0o7777, pid)
		if s, ok := live[pid]; ok {
			fmt.Printf(", program %s, uids %s, groups [%s], no_new_privs %s, seccomp %s",
				s.name, s.uids, s.groups, s.noPrivs, s.seccomp)
			if want := strings.Repeat(strconv.Itoa(u.UID)+" ", 4); s.uids+" " != want {
				return fmt.Errorf("pid %d had the uids %s, want %d", pid, s.uids, u.UID)
			}
		} else if live != nil {
			return fmt.Errorf("the writer %d of %s was not seen", pid, u.Name)
		}
		fmt.Printf("\n         %s\n", files[0])
		if int(st.Uid) != u.UID || st.Mode&0o077 != 0 {
			return fmt.Errorf("%s: owner %d, mode %04o; want %d and nobody else's", files[0], st.Uid, st.Mode&0o7777, u.UID)
		}
		if other, twice := pids[pid]; twice {
			return fmt.Errorf("process %d wrote for %s and for %s", pid, other, u.Name)
		}
		pids[pid] = u.Name
	}
	return nil
}

var logged = regexp.MustCompile(`lmtp\(([^)]+)\)<([0-9]+)>(?:<[^>]*>)?: Info: .*saved mail to`)

// oneUserEach reads in the log, whose user and pid are the master's word and
// not the worker's, that no process served two users.
func oneUserEach(c *mailtest.Culver) error {
	served := map[string]string{}
	fmt.Println("\nThe log:")
	if err := mailtest.Await("a line for each recipient", patience, func() bool {
		n := 0
		for _, line := range c.Lines() {
			if logged.MatchString(line) {
				n++
			}
		}
		return n == len(names)
	}); err != nil {
		return fmt.Errorf("%w\n%s", err, c.Trouble())
	}
	for _, line := range c.Lines() {
		m := logged.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		fmt.Println("  " + line)
		if other, ok := served[m[2]]; ok && other != m[1] {
			return fmt.Errorf("process %s served %s and %s", m[2], other, m[1])
		}
		served[m[2]] = m[1]
	}
	fmt.Printf("No process served two users: %d users, %d processes.\n", len(names), len(served))
	if len(served) != len(names) {
		return fmt.Errorf("%d processes for %d users", len(served), len(names))
	}
	return nil
}

// refused has a hostile worker of the first user try to read the second's copy.
func refused(c *mailtest.Culver) error {
	victim, err := filepath.Glob(filepath.Join(c.Users[1].Home, "Maildir", "new", "*"))
	if err != nil || len(victim) != 1 {
		return fmt.Errorf("%s has no copy to try", c.Users[1].Name)
	}
	if err := mailtest.Play(c.Users[0], "steals", victim[0]); err != nil {
		return err
	}
	if err := mailtest.PlaceProgram(mailtest.StandIn(), filepath.Join(c.Bin, "lmtp-deliver")); err != nil {
		return err
	}
	fmt.Printf("\nA hostile program in the place of lmtp-deliver, born as %s:\n", c.Users[0].Name)
	s, err := mailtest.Dial(c.Socket, func(string) {})
	if err != nil {
		return err
	}
	replies, err := s.Deliver("demo@example.org", names[:1], message)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.Trouble())
	}
	if err := mailtest.Await("the probe's lines", patience, func() bool { return len(probeLines(c)) >= 3 }); err != nil {
		return fmt.Errorf("%w\n%s", err, c.Trouble())
	}
	for _, line := range probeLines(c) {
		fmt.Println("  " + line)
		if !strings.Contains(line, ": refused: ") {
			return fmt.Errorf("a worker reached another user's mail: %s", line)
		}
	}
	fmt.Printf("  and the client was told to try again: %s\n", replies[0])
	if replies[0][0] != '4' {
		return fmt.Errorf("a worker that says nothing got %q, want 4xx", replies[0])
	}
	return nil
}

func probeLines(c *mailtest.Culver) (lines []string) {
	for _, line := range c.Lines() {
		if strings.Contains(line, "Info: probe: ") {
			lines = append(lines, line)
		}
	}
	return lines
}
