package peer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culver/internal/mailtest"
	"culver/test/system"
)

// between are the commands that take another user's mail. In Dovecot one process
// does it, as root; here two, a user each.
var between = []step{
	words("flags", "add", "-u", "user2@example.org", `\Answered Theirs`, "mailbox", "INBOX", "uid", "2:4"),
	words("flags", "add", "-u", "user2@example.org", "Other $Label1", "mailbox", "Work", "all"),
	words("copy", "INBOX", "user", "user2@example.org", "mailbox", "INBOX", "uid", "1:3"),
	words("fetch", "uid flags hdr.subject date.received.unixtime date.sent.unixtime size.physical size.virtual body", "mailbox", "INBOX", "all"),
	words("fetch", "guid", "mailbox", "INBOX", "not", "uid", "11:*"),
	words("copy", "Trash", "user", "user2@example.org", "mailbox", "*", "subject", "work"),
	unordered("fetch", "flags hdr.subject date.received.unixtime", "mailbox", "Trash", "all"),
	words("move", "Work", "user", "user2@example.org", "mailbox", "INBOX", "flagged"),
	words("fetch", "uid flags hdr.subject date.received.unixtime size.physical", "mailbox", "Work", "all"),
	words("search", "-u", "user2@example.org", "mailbox", "INBOX", "all"),
	words("search", "-u", "user2@example.org", "mailbox", "INBOX", "flagged"),
	words("copy", "Nonexist", "user", "user2@example.org", "mailbox", "INBOX", "1"),
	words("copy", "INBOX", "user", "user2@example.org", "mailbox", "Nonexist", "1"),
	words("move", "Nonexist", "user", "user2@example.org", "mailbox", "INBOX", "1"),
	words("search", "-u", "user2@example.org", "mailbox", "INBOX", "all"),
	words("copy", "INBOX", "user", "user1@example.org", "mailbox", "Work", "1"), // one's own
	words("search", "mailbox", "INBOX", "all"),
	{args: []string{"copy", "INBOX", "user", "nosuch@example.org", "mailbox", "INBOX", "1"}, differs: true, alone: true, code: 67},
	{args: []string{"move", "INBOX", "user", "nosuch@example.org", "mailbox", "INBOX", "1"}, differs: true, alone: true, code: 67},
	words("copy", "-u", "nosuch@example.org", "INBOX", "user", "user2@example.org", "mailbox", "INBOX", "1"),
	words("search", "mailbox", "INBOX", "all"),
	words("search", "-u", "user2@example.org", "mailbox", "INBOX", "all"),
}

// The users have one uid where Dovecot serves them: between two its server can
// open no mailbox. Here they have two.
func TestMailOfAnotherUserIsDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, err := mailtest.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	users, err := system.MakeSingle(dir, 2, firstUID)
	if err != nil {
		t.Fatal(err)
	}
	d, copied, users, copies := startDovecotFor(t, dir, users, releases[0])
	copies.Single = false
	ownAll(t, copies, 2)
	c := startCulver(t, copied, copies, "")
	for _, s := range between {
		same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), s)
	}
	checkPrivate(t, copies)
}

// A message leaves its owner when it is with the other, and not before.
func TestAMoveThatFailsLeavesMailWhereItWas(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 2)
	c := startCulver(t, dir, users, "quota_rule = [\"*:messages=3\"]\nquota_grace = \"0\"\n")
	run := func(want int, input string, args ...string) string {
		t.Helper()
		said, err := c.Doveadm(input, append([]string{"-f", "tab"}, args...)...)
		if err != nil || said.Code != want {
			t.Fatalf("%q: %+v (%v), want %d", args, said, err, want)
		}
		return said.Out
	}
	for i := range 3 {
		for u := 1; u <= 2; u++ {
			run(0, fmt.Sprintf("Subject: %d of user%d\n\nx\n", i, u), "save", "-u", users.Name(u))
		}
	}
	run(0, "", "expunge", "-u", users.Name(1), "mailbox", "INBOX", "1")
	run(73, "", "move", "-u", users.Name(1), "INBOX", "user", users.Name(2), "mailbox", "INBOX", "all") // there is room for one
	all := run(0, "", "fetch", "-u", "*", "user hdr.subject", "all")
	for i := range 3 {
		if i > 0 && !strings.Contains(all, fmt.Sprintf("%d of user1", i)) || strings.Count(all, fmt.Sprintf("%d of user2", i)) != 1 {
			t.Errorf("there are %q", all)
		}
	}
	if n := strings.Count(all, " of user"); n != 5 {
		t.Errorf("there are %d messages, want 5", n)
	}
	if n, err := users.MessageIDs(1); err != nil || n[""] > 3 {
		t.Errorf("user1 has %v (%v), and may have 3", n, err)
	}
	checkPrivate(t, users)
}

// ownAll gives a user what is in the home.
func ownAll(t *testing.T, u system.Users, i int) {
	t.Helper()
	err := filepath.WalkDir(u.HomeOf(i), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, u.UID(i), u.GID(i)))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Dovecot's server leaves what it imports to root. Ours, asked by its client,
// makes it the user's, and equal.
func TestImport(t *testing.T) {
	t.Parallel()
	needs(t)
	d, dir, users, copies := startDovecotOn(t, 1, releases[0])
	if out, err := exec.Command("cp", "-a", copies.Maildir(1), filepath.Join(copies.HomeOf(1), "old")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	c := startCulver(t, dir, copies, "")
	user := users.Name(1)
	run := func(args ...string) string {
		t.Helper()
		n := 1
		if args[0] == "mailbox" {
			n = 2
		}
		said, err := d.Doveadm("", append(append([]string{"-f", "tab"}, args[:n]...), append([]string{"-S", c.Admin, "-u", user}, args[n:]...)...)...)
		if err != nil || said.Code != 0 {
			t.Fatalf("%q: %+v (%v)", args, said, err)
		}
		return recent.ReplaceAllString(said.Out, "")
	}
	run("import", "maildir:~/old", "", "mailbox", "Work", "uid", "1")
	if got, want := run("search", "mailbox", "Work", "subject", "one"), 3; strings.Count(got, "\n") != want {
		t.Errorf("Work has %q, want two messages", got)
	}
	run("import", "-s", "maildir:~/old", "Old", "all")
	if got := run("mailbox", "list", "-s"); got != "mailbox\nOld.INBOX\nOld.Lists.ö\nOld.Trash\nOld.Work\n" {
		t.Errorf("subscribed are %q", got)
	}
	const fields = "flags text date.received.unixtime size.physical"
	for _, box := range []string{"INBOX", "Trash", "Lists.ö"} {
		if got, want := run("fetch", fields, "mailbox", "Old."+box, "all"), run("fetch", fields, "mailbox", box, "all"); got != want {
			t.Errorf("%s is\n%q\nwant\n%q", box, got, want)
		}
	}
	checkPrivate(t, copies)
}

// unreadable wants a command to fail because of how the mail is stored: a fetch
// cannot be done, a search cannot know.
func unreadable(t *testing.T, c *system.Culver, code int, args []string) {
	t.Helper()
	said, err := c.Doveadm("", args...)
	if err != nil || said.Code != code || !strings.Contains(said.Err, "compressed in an unsupported way: zstd") {
		t.Errorf("%q: got %d, %.300q, %.300q (%v), want the reason", args, said.Code, said.Out, said.Err, err)
	}
}

// What Dovecot has compressed is read as what it says, and what nobody can
// decompress here is refused.
func TestCompressedMail(t *testing.T) {
	t.Parallel()
	needs(t)
	const plain = "uid flags guid size.physical size.virtual date.received.unixtime" // needs no text
	for _, kind := range []string{"gz", "zstd"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, 1)
			d := startDovecotWith(t, dir, users, "mail_plugins = zlib\nplugin {\n zlib_save = "+kind+"\n}\n")
			c := startCulver(t, dir, users, "")
			for _, s := range append(seeds[:4:4], seed{text: "Subject: large\n\n" + strings.Repeat("Much that is alike makes a small file.\n", 30000)}) {
				if said, err := d.Doveadm(s.text, "save", "-u", users.Name(1)); err != nil || said.Code != 0 {
					t.Fatalf("%+v (%v)", said, err)
				}
			}
			if said, err := d.Doveadm("", "flags", "add", "-u", users.Name(1), `\Seen`, "mailbox", "INBOX", "all"); err != nil || said.Code != 0 {
				t.Fatalf("%+v (%v)", said, err)
			}
			for _, s := range []step{
				words("fetch", plain, "mailbox", "INBOX", "all"),
				words("fetch", "uid hdr body text", "mailbox", "INBOX", "all"),
				words("fetch", "uid hdr.subject.utf8 body.1 body.snippet imap.envelope text.utf8", "mailbox", "INBOX", "uid", "1:4"),
				words("search", "mailbox", "INBOX", "subject", "wien"),
				words("search", "mailbox", "INBOX", "body", "schöne"),
				words("search", "mailbox", "INBOX", "text", "weather"),
				words("search", "mailbox", "INBOX", "body", "a small file.\nMuch"),
				words("search", "mailbox", "INBOX", "header", "from", "list@example.com"),
				words("search", "mailbox", "INBOX", "larger", "1M"),
				words("search", "mailbox", "INBOX", "senton", "15-Jun-2022"),
				words("mailbox", "status", "messages unseen vsize", "INBOX"),
			} {
				if kind == "zstd" && !slices.Contains(s.args, "larger") && !slices.Contains(s.args, plain) && s.args[0] != "mailbox" {
					code := 75
					if s.args[0] == "fetch" {
						code = 65
					}
					unreadable(t, c, code, s.at(c.Admin, users.Name(1)))
					continue
				}
				same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), s)
			}
		})
	}
}
