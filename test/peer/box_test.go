package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cells are the last column of what a doveadm says with -f tab.
func cells(out string) (last []string) {
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		last = append(last, f[len(f)-1])
	}
	return last[min(1, len(last)):]
}

// Our own records live where the box lets them: beside the uid list, also where
// CONTROL is elsewhere, and a lock that a dead process left stops nobody.
func TestSavedDatesAndLocksInTheBox(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, s := range []setup{
		{name: "Maildir"},
		{name: "CONTROL and INDEX elsewhere", dovecot: "mail_location = maildir:~/Maildir:CONTROL=~/control:INDEX=~/index\n",
			culver: "mail_location = \"maildir:~/Maildir:CONTROL=~/control:INDEX=~/index\"\n"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			d, c, users, copies := startSetup(t, s, 1)
			user := users.Name(1)
			run := func(args ...string) string {
				t.Helper()
				said, err := c.Doveadm("Subject: new\n\nnew\n", append([]string{"-f", "tab"}, args...)...)
				if err != nil || said.Code != 0 {
					t.Fatalf("%q: %+v (%v)", args, said, err)
				}
				return said.Out
			}
			saved := func(box string) []string {
				t.Helper()
				return cells(run("fetch", "-u", user, "uid date.saved.unixtime", "mailbox", box, "all"))
			}
			// A rename, as each change of flags is one, must not make mail younger.
			first := saved("INBOX")
			past := strconv.FormatInt(time.Now().Unix()+60, 10)
			for _, at := range first {
				if at == "0" || at > past {
					t.Errorf("saved at %q", at)
				}
			}
			control := copies.Maildir(1)
			if strings.Contains(s.culver, "CONTROL") {
				control = filepath.Join(copies.HomeOf(1), "control", ".INBOX")
			}
			second := time.Now().Unix()
			waitFor(3*time.Second, func() bool { return time.Now().Unix() > second })
			run("flags", "add", "-u", user, `\Answered`, "mailbox", "INBOX", "all")
			if again := saved("INBOX"); fmt.Sprint(again) != fmt.Sprint(first) {
				t.Errorf("saved dates were %v and are %v", first, again)
			}
			run("copy", "-u", user, "Work", "mailbox", "INBOX", "uid", "1")
			work := saved("Work")
			if n := len(work); n != 3 || work[2] <= first[0] {
				t.Fatalf("the copy in Work is from %v, its original from %s", work, first[0])
			}
			if got := cells(run("search", "-u", user, "mailbox", "Work", "savedsince", work[2])); fmt.Sprint(got) != "[3]" {
				t.Errorf("saved since %s are %q", work[2], got)
			}

			list, err := os.ReadFile(filepath.Join(control, "dovecot-uidlist"))
			if err != nil {
				t.Fatal(err)
			}
			// Whoever had this pid is gone; and its lock is old.
			lock := filepath.Join(control, "dovecot-uidlist.lock")
			host, err := os.Hostname()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(lock, []byte("4194304:"+host), 0o600); err != nil {
				t.Fatal(err)
			}
			own(t, copies, 1, lock)
			old := time.Now().Add(-10 * time.Minute)
			if err := os.Chtimes(lock, old, old); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			run("save", "-u", user)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("a dead process's lock was waited for %v", took)
			}
			now, err := os.ReadFile(filepath.Join(control, "dovecot-uidlist"))
			if err != nil || len(now) <= len(list) {
				t.Errorf("the uid list has %d bytes, had %d (%v)", len(now), len(list), err)
			}
			if _, err := os.Stat(lock); err == nil {
				t.Error("the lock is still there")
			}
			// Dovecot reads the same afterwards.
			reader := startDovecotWith(t, filepath.Dir(copies.Home), copies, s.dovecot)
			said, err := d.Doveadm("", "-f", "tab", "search", "-S", reader.Admin, "-u", user, "mailbox", "INBOX", "all")
			if want := run("search", "-u", user, "mailbox", "INBOX", "all"); err != nil || said.Out != want {
				t.Errorf("Dovecot finds %q, ours %q (%v)", said.Out, want, err)
			}
		})
	}
}
