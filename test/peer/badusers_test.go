package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
	"culver/test/system"
)

// badUser is what may be wrong with one user of a run.
type badUser struct {
	what   string
	spoil  func(u system.Users, i int) error
	line   func(u system.Users, i int) string // of the users file, where it is another one
	strike syscall.Signal                     // when the worker first opens the mail
	reason string                             // in the failed file
	hidden bool                               // auth does not list a user whose line has no usable ids
}

func root(path string) error { return os.Chown(path, 0, 0) }

var badUsers = []badUser{
	{what: "uid 0", line: func(u system.Users, i int) string {
		return fmt.Sprintf("%s:{PLAIN}pass:0:0::%s::", u.Name(i), u.HomeOf(i))
	}, reason: "^no worker: ", hidden: true},
	{what: "a uid of no account", line: func(u system.Users, i int) string {
		return fmt.Sprintf("%s:{PLAIN}pass:nosuchaccount:nosuchaccount::%s::", u.Name(i), u.HomeOf(i))
	}, reason: "^no worker: ", hidden: true},
	{what: "a uid below first_valid_uid", line: func(u system.Users, i int) string {
		return fmt.Sprintf("%s:{PLAIN}pass:7:7::%s::", u.Name(i), u.HomeOf(i))
	}, reason: "^no worker: "},
	{what: "no home in the users file", line: func(u system.Users, i int) string {
		return fmt.Sprintf("%s:{PLAIN}pass:%d:%d::::", u.Name(i), u.UID(i), u.GID(i))
	}, reason: "^no worker: "},
	{what: "a home below what is not there", line: func(u system.Users, i int) string {
		return fmt.Sprintf("%s:{PLAIN}pass:%d:%d::%s/missing/home::", u.Name(i), u.UID(i), u.GID(i), u.HomeOf(i))
	}, reason: "^no worker: "},
	{what: "a home that is root's", spoil: func(u system.Users, i int) error {
		return root(u.HomeOf(i))
	}, reason: "permission denied"},
	{what: "a Maildir that is root's", spoil: func(u system.Users, i int) error {
		return root(u.Maildir(i))
	}, reason: "permission denied"},
	{what: "a Maildir that is a file", spoil: func(u system.Users, i int) error {
		return errors.Join(os.RemoveAll(u.Maildir(i)), os.WriteFile(u.Maildir(i), nil, 0o600), os.Chown(u.Maildir(i), u.UID(i), u.GID(i)))
	}, reason: "not a directory"},
	{what: "a uid list that is garbage", spoil: func(u system.Users, i int) error {
		return os.WriteFile(filepath.Join(u.Maildir(i), "dovecot-uidlist"), []byte("\x00\xff garbage\n1 2 3\n"), 0o600)
	}, reason: "uid list is damaged"},
	{what: "a worker that is killed", strike: syscall.SIGKILL, reason: "^worker ended before it answered$"},
	{what: "a worker that hangs", strike: syscall.SIGSTOP, reason: "^worker gave no sign of work for 2s"},
}

// One bad user of each kind among a thousand: the others are done, and of the bad
// ones it is said who they are and why.
func TestBadUsersDoNotEndARun(t *testing.T) {
	t.Parallel()
	needs(t)
	const n = 1000
	for _, list := range []string{"-A", "-F"} {
		t.Run("users from "+list, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, n)
			w, err := system.NewWitness()
			mailtest.Need(t, "fanotify with permission events", err)
			each(t, n, func(i int) error { return fill(users, i, "", make([]letter, 2)) })
			// They are spread over the list.
			bad, spoiled := map[string]badUser{}, map[int]bool{}
			lines := strings.Split(strings.TrimSuffix(users.Passwd(), "\n"), "\n")
			for k, b := range badUsers {
				i := 50 + 90*k
				spoiled[i] = true
				if list == "-F" || !b.hidden {
					bad[users.Name(i)] = b
				}
				if b.line != nil {
					lines[i-1] = b.line(users, i)
				}
				if b.spoil != nil {
					if err := b.spoil(users, i); err != nil {
						t.Fatal(err)
					}
				}
				if b.strike != 0 {
					if err := w.Watch(users.Maildir(i), users.Name(i)); err != nil {
						t.Fatal(err)
					}
				}
			}
			const fast = "doveadm_worker_timeout = \"2s\"\n"
			var mu sync.Mutex
			struck := map[string]bool{}
			w.See = func(pid int, who string) {
				mu.Lock()
				defer mu.Unlock()
				if struck[who] {
					return // the second time it may live
				}
				struck[who] = true
				if err := syscall.Kill(pid, bad[who].strike); err != nil {
					t.Error(err)
				}
			}
			c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), strings.Join(lines, "\n")+"\n", fast)
			if err == nil {
				err = c.Start(false)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Stop() })
			w.Begin()
			which := []string{"-A"}
			if list == "-F" {
				names := "nosuch@example.org\n\nuser 1\n"
				for i := 1; i <= n; i++ {
					names += users.Name(i) + "\n"
				}
				file := filepath.Join(dir, "list")
				if err := os.WriteFile(file, []byte(names), 0o600); err != nil {
					t.Fatal(err)
				}
				which = []string{"-F", file}
				bad["nosuch@example.org"] = badUser{what: "nobody", reason: "^User doesn't exist$"}
				bad[""] = badUser{what: "an empty line", reason: "^this is no user name$"}
				bad["user 1"] = badUser{what: "a name with a space", reason: "^User doesn't exist$"}
			}
			failures := len(bad)
			failed := filepath.Join(dir, "failed")
			args := append([]string{"expunge", "--failed-file", failed}, which...)
			said, err := c.Doveadm("", append(args, "mailbox", "INBOX", "uid", "1")...)
			if err != nil || said.Code != doveadmproto.TempFail {
				t.Errorf("exit %d (%v), want 75: some may do better another time\n%s", said.Code, err, said.Err)
			}
			ok := n - len(badUsers)
			if sum := fmt.Sprintf("%d users ok, %d failed, 0 skipped; %d messages", ok, len(bad), ok); !strings.Contains(said.Err, sum) {
				t.Errorf("got %s\nwant %q", said.Err, sum)
			}
			text, err := os.ReadFile(failed)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				name, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				b, ok := bad[name]
				if !ok {
					t.Errorf("%s failed too: %s", name, reason)
					continue
				}
				if !regexp.MustCompile(b.reason).MatchString(reason) {
					t.Errorf("%s, %s: got %q, want %s", name, b.what, reason, b.reason)
				}
				if !strings.Contains(said.Err, "doveadm("+name+"): Error: ") {
					t.Errorf("%s, %s: not on standard error", name, b.what)
				}
				delete(bad, name)
			}
			for name, b := range bad {
				t.Errorf("%s, %s, is not in the failed file", name, b.what)
			}
			each(t, n, func(i int) error {
				if _, isBad := spoiled[i]; isBad {
					return nil
				}
				got, err := left(users, i, "")
				if err == nil && !slices.Equal(got, []int{1}) {
					err = fmt.Errorf("%s has %v, want the second message alone", users.Name(i), got)
				}
				return err
			})
			// Who failed is tried again: now two of them have nothing wrong.
			said, err = c.Doveadm("", "expunge", "-F", failed, "--failed-file", failed, "mailbox", "INBOX", "uid", "1")
			if sum := fmt.Sprintf("doveadm: 2 users ok, %d failed, 0 skipped; 2 messages;", failures-2); err != nil || !strings.Contains(said.Err, sum) {
				t.Errorf("again: got %+v (%v), want %q", said, err, sum)
			}
			if _, err := w.End(); err != nil {
				t.Error(err)
			}
			if len(struck) != 2 {
				t.Errorf("%d workers were killed or stopped, want 2", len(struck))
			}
		})
	}
}
