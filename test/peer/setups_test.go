package peer

import (
	"cmp"
	"strings"
	"testing"

	"culver/test/system"
)

// setup is one way to keep mail, told to both servers.
type setup struct {
	name    string
	dovecot string // settings of 2.3
	culver  string
	fs      bool
	// work and trash are names of mailboxes, if not Work and Trash; sep stands
	// between levels.
	work, trash, sep string
}

var setups = []setup{
	{name: "prefix INBOX. and separator .", dovecot: "namespace inbox {\n inbox = yes\n prefix = INBOX.\n separator = .\n}\n",
		culver: "namespace \"inbox\" {\n inbox = yes\n prefix = \"INBOX.\"\n separator = \".\"\n}\n",
		work:   "INBOX.Work", trash: "INBOX.Trash", sep: "."},
	{name: "separator /", dovecot: "namespace inbox {\n inbox = yes\n separator = /\n}\n",
		culver: "namespace \"inbox\" {\n inbox = yes\n separator = \"/\"\n}\n",
		sep:    "/"},
	{name: "prefix Mail/", dovecot: "namespace inbox {\n inbox = yes\n prefix = Mail/\n separator = /\n}\n",
		culver: "namespace \"inbox\" {\n inbox = yes\n prefix = \"Mail/\"\n separator = \"/\"\n}\n",
		work:   "Mail/Work", trash: "Mail/Trash", sep: "/"},
	{name: "LAYOUT=fs with separator .", fs: true,
		dovecot: "mail_location = maildir:~/Maildir:LAYOUT=fs\nnamespace inbox {\n inbox = yes\n separator = .\n}\n",
		culver:  "mail_location = \"maildir:~/Maildir:LAYOUT=fs\"\nnamespace \"inbox\" {\n inbox = yes\n separator = \".\"\n}\n", sep: "."},
	{name: "CONTROL and INDEX elsewhere", dovecot: "mail_location = maildir:~/Maildir:CONTROL=~/control:INDEX=~/index\n",
		culver: "mail_location = \"maildir:~/Maildir:CONTROL=~/control:INDEX=~/index\"\n", sep: "."},
	{name: "CONTROL and INDEX elsewhere with LAYOUT=fs", fs: true, dovecot: "mail_location = maildir:~/Maildir:LAYOUT=fs:CONTROL=~/control:INDEX=~/index\n",
		culver: "mail_location = \"maildir:~/Maildir:LAYOUT=fs:CONTROL=~/control:INDEX=~/index\"\n", sep: "/"},
}

// startSetup runs both servers on equal mailboxes kept that way.
func startSetup(t *testing.T, s setup, n int) (d *system.Dovecot, c *system.Culver, users, copies system.Users) {
	t.Helper()
	d, dir, users, copies := startDovecotOn(t, n, release{fs: s.fs, start: func(t *testing.T, dir string, u system.Users) *system.Dovecot {
		return startDovecotWith(t, dir, u, s.dovecot)
	}})
	return d, startCulver(t, dir, copies, s.culver), users, copies
}

// setupSteps are for mailboxes whose names begin and are separated otherwise.
func setupSteps(work, trash, prefix, sep string) []step {
	lists := prefix + "Lists" + sep
	return []step{
		unordered("mailbox", "list", prefix+"*"),
		unordered("mailbox", "list", prefix+"%"),
		unordered("mailbox", "list", prefix+"Lists"+sep+"%"),
		words("mailbox", "list", work, "Work", "nope"),
		words("search", "mailbox", "INBOX", "all"),
		words("search", "mailbox", work, "all"),
		words("search", "mailbox", "Work", "subject", "one"),
		unordered("search", "mailbox", prefix+"*", "subject", "work"),
		words("search", "mailbox", lists+"ö", "all"),
		words("search", "mailbox", lists+"*", "all"),
		unordered("fetch", "mailbox mailbox-guid uid guid flags", "mailbox", work, "all"),
		words("mailbox", "status", "messages uidnext unseen vsize guid", work),
		unordered("mailbox", "status", "messages uidnext", prefix+"*"),
		words("mailbox", "path", work),
		words("mailbox", "path", "-t", "control", "INBOX"),
		words("mailbox", "path", "-t", "index", work),
		words("mailbox", "create", prefix+"New"+sep+"Sub"),
		words("mailbox", "create", prefix+"New"),
		words("mailbox", "create", "-s", prefix+"Sent é"),
		words("mailbox", "create", "Outside"),
		unordered("mailbox", "list", "-s"),
		words("mailbox", "subscribe", work, prefix+"Gone"),
		unordered("mailbox", "list", "-s", prefix+"*"),
		words("copy", work, "mailbox", "INBOX", "uid", "1:2"),
		words("fetch", "uid guid flags date.received.unixtime", "mailbox", work, "all"),
		words("move", trash, "mailbox", "INBOX", "uid", "3"),
		words("fetch", "uid guid flags", "mailbox", trash, "all"),
		words("flags", "add", `\Flagged Home`, "mailbox", work, "uid", "2"),
		words("search", "mailbox", work, "keyword", "Home"),
		words("expunge", "mailbox", work, "subject", "first"),
		words("fetch", "uid flags", "mailbox", work, "all"),
		words("mailbox", "rename", prefix+"New", prefix+"Old"),
		unordered("mailbox", "list", prefix+"*"),
		{input: "Subject: saved\n\nsaved\n", args: []string{"save", "-m", prefix + "Old" + sep + "Sub"}},
		words("fetch", "uid flags hdr.subject size.physical", "mailbox", prefix+"Old"+sep+"Sub", "all"),
		words("expunge", "-d", "mailbox", prefix+"Old"+sep+"Sub", "all"),
		words("mailbox", "delete", prefix+"Old"),
		words("mailbox", "delete", "-e", work),
		words("force-resync", prefix+"*"),
		unordered("mailbox", "status", "messages uidnext unseen uidvalidity", "INBOX", work, trash),
		unordered("mailbox", "list", prefix+"*"),
	}
}

// Wherever mail is kept and whatever its mailboxes are called, ours answers as
// Dovecot's server, from within its box.
func TestNamespacesAndLayoutsAreDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, s := range setups {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			d, c, users, _ := startSetup(t, s, 1)
			work := cmp.Or(s.work, "Work")
			for _, st := range setupSteps(work, cmp.Or(s.trash, "Trash"), strings.TrimSuffix(work, "Work"), s.sep) {
				same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), st)
			}
		})
	}
}
