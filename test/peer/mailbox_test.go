package peer

import "testing"

// mailboxSteps are the mailbox commands in more corners than the steps that all
// clients take.
var mailboxSteps = []step{
	unordered("mailbox", "list"),
	words("mailbox", "status", "messages unseen vsize guid uidnext uidvalidity", "Work"),
	words("mailbox", "status", "-t", "messages unseen vsize", "*"),
	unordered("mailbox", "status", "guid uidvalidity", "*"),
	words("mailbox", "status", "foo", "*"),
	better(0, "mailbox\nINBOX\n", "mailbox", "list", "inbox", "nope"), // INBOX has no case
	unordered("mailbox", "list", "%"),
	unordered("mailbox", "list", "inb*"),
	words("mailbox", "path", "-t", "alt-dir", "Work"),
	words("mailbox", "create", "A.B.C", "é & x"),
	words("mailbox", "create", "a..b", "ok"),
	words("mailbox", "create", "inbox"),
	words("mailbox", "create", "-g", "0123456789abcdef0123456789abcdef", "G"),
	words("mailbox", "status", "guid messages uidnext", "G"),
	unordered("mailbox", "list"),
	words("mailbox", "status", "messages", "A"),
	words("mailbox", "status", "messages", "A", "A.B.C"),
	words("mailbox", "status", "messages", "A*"),
	words("mailbox", "delete", "A"),
	words("mailbox", "rename", "A", "Z"),
	words("mailbox", "rename", "Z.B.C", "Z.B.C"),
	words("mailbox", "rename", "INBOX", "Old"),
	words("mailbox", "rename", "G", "ok"),
	words("mailbox", "rename", "G", "INBOX"),
	words("mailbox", "rename", "-s", "ok", "fine"),
	unordered("mailbox", "list", "-s"),
	unordered("mailbox", "list"),
	words("mailbox", "delete", "-e", "Work", "fine"),
	words("mailbox", "delete", "-s", "G", "nope"),
	words("mailbox", "update", "-N", "500", "Work"),
	words("mailbox", "status", "uidnext uidvalidity guid", "Work"),
	words("mailbox", "update", "-V", "x", "Work"),
	words("mailbox", "update", "-V", "77", "nope"),
	words("mailbox", "update", "-g", "fedcba9876543210fedcba9876543210", "-N", "20", "A.B.C"),
	words("mailbox", "subscribe", "a..b"),
	words("mailbox", "unsubscribe", "never"),
	words("mailbox", "list", "-s", "%"),
	words("mailbox", "list", "-s", "one"),
	words("force-resync", "nope"),
	words("force-resync", "a..b"),
	words("index", "nope"),
	words("index", "-n", "5", "*"),
	unordered("mailbox", "list"),
	unordered("mailbox", "status", "messages uidnext unseen vsize", "*"),
	// Dovecot refuses too, but has expunged all messages before it does.
	words("mailbox", "delete", "INBOX"),
	better(0, "messages\n10\n", "mailbox", "status", "-t", "messages", "INBOX"),
}

func TestMailboxCommandsAreDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	d, dir, users, copies := startDovecotOn(t, 1, releases[0])
	c := startCulver(t, dir, copies, "")
	for _, s := range mailboxSteps {
		same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), s)
	}
}
