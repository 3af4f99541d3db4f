package peer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"culver/test/system"
)

// step is a command for user 1, unless another follows -u already.
type step struct {
	input string
	args  []string

	unordered bool // lines may come in any order: that of mailboxes is a directory's

	// differs: ours is better, see docs/compatibility.md, and gives out and code.
	differs bool
	alone   bool // Dovecot's server is not asked: it crashes, and leaves something half done
	only23  bool // 2.4's server answers otherwise
	out     string
	code    int
}

// as23 answers as 2.3 does, whatever release asks.
func as23(args ...string) step { return step{args: args, only23: true} }

func words(args ...string) step { return step{args: args} }

func unordered(args ...string) step { return step{args: args, unordered: true} }

func better(code int, out string, args ...string) step {
	return step{args: args, differs: true, out: out, code: code}
}

// steps are run one after the other on both twins: what the earlier ones change
// the later ones show.
var steps = []step{
	words("search", "mailbox", "INBOX", "all"),
	unordered("search", "all"),
	words("search", "mailbox", "INBOX", "seen"),
	words("search", "mailbox", "INBOX", "unseen", "not", "flagged"),
	words("search", "mailbox", "INBOX", "2:3"),
	words("search", "mailbox", "INBOX", "uid", "2:4,9:*"),
	words("search", "mailbox", "INBOX", "(", "from", "alice", "or", "from", "CAROL", ")"),
	words("search", "mailbox", "INBOX", "subject", "grüße aus wien"),
	words("search", "mailbox", "INBOX", "subject", "third tabbed"),
	unordered("search", "mailbox", "*", "subject", "first"),
	words("search", "mailbox", "INBOX", "body", "SCHÖNE"),
	words("search", "mailbox", "INBOX", "body", "inner body"),
	words("search", "mailbox", "INBOX", "body", "binary"),
	words("search", "mailbox", "INBOX", "text", "wörld"),
	words("search", "mailbox", "INBOX", "header", "x-multi", "two"),
	words("search", "mailbox", "INBOX", "header", "in-reply-to", ""),
	words("search", "mailbox", "INBOX", "to", "dave@example.org"),
	words("search", "mailbox", "INBOX", "cc", "eve"),
	words("search", "mailbox", "INBOX", "larger", "1k"),
	words("search", "mailbox", "INBOX", "smaller", "300"),
	words("search", "mailbox", "INBOX", "since", "10-Mar-2022", "before", "1-Jul-2022"),
	words("search", "mailbox", "INBOX", "on", "2022-06-15"),
	words("search", "mailbox", "INBOX", "senton", "15-Jun-2022"),
	words("search", "mailbox", "INBOX", "sentbefore", "1-Feb-2022"),
	words("search", "mailbox", "INBOX", "before", "30d"),
	words("search", "mailbox", "INBOX", "savedsince", "1d"),
	words("search", "mailbox", "INBOX", "older", "60"),
	words("search", "mailbox", "INBOX", "guid", "1641808800.M0P1.host"),
	as23("search", "mailbox", "Nonexist", "all"),
	words("search", "mailbox", "No*", "all"),
	words("search", "mailbox", "Lists*", "all"),
	words("search", "mailbox", "Lists.ö", "all"),
	unordered("fetch", "mailbox uid seq flags guid", "mailbox", "*", "all"),
	words("fetch", "mailbox-guid uid size.physical size.virtual", "mailbox", "INBOX", "all"),
	as23("fetch", "user uid date.received date.sent date.received.unixtime date.sent.unixtime", "mailbox", "INBOX", "all"),
	words("fetch", "uid hdr", "mailbox", "INBOX", "uid", "1:3"),
	words("fetch", "uid body", "mailbox", "INBOX", "all"),
	words("fetch", "text", "mailbox", "INBOX", "uid", "2:3"),
	words("fetch", "uid hdr.subject hdr.subject.utf8 hdr.x-multi hdr.nosuch", "mailbox", "INBOX", "all"),
	words("fetch", "hdr.from.address hdr.from.address_name hdr.from.address_name.utf8 hdr.to.address", "mailbox", "INBOX", "all"),
	words("fetch", "uid imap.envelope", "mailbox", "INBOX", "uid", "1:4,7:*"),
	as23("fetch", "uid imap.body imap.bodystructure", "mailbox", "INBOX", "all"),
	words("fetch", "uid body.snippet", "mailbox", "INBOX", "all"),
	words("fetch", "uid body.1 body.header body.text binary.1", "mailbox", "INBOX", "all"),
	words("fetch", "uid body.1.mime body.3.header body.3.text", "mailbox", "INBOX", "subject", "folded"),
	words("fetch", "text.utf8", "mailbox", "INBOX", "uid", "1:4"),
	words("fetch", "refcount storageid pop3.order", "mailbox", "INBOX", "all"),
	words("fetch", "uid", "mailbox", "Nonexist", "all"),

	words("flags", "add", `\Seen $Label1 Work`, "mailbox", "INBOX", "uid", "1"),
	words("flags", "remove", `\Flagged`, "mailbox", "INBOX", "uid", "3"),
	words("flags", "replace", `\Draft Work`, "mailbox", "INBOX", "uid", "4:5"),
	better(68, "", "flags", "add", "Work", "mailbox", "Nonexist", "all"), // Dovecot's server crashes
	words("fetch", "uid flags", "mailbox", "INBOX", "all"),
	words("search", "mailbox", "INBOX", "keyword", "work"),
	words("search", "mailbox", "INBOX", "unkeyword", "$Label1"),

	words("copy", "Work", "mailbox", "INBOX", "uid", "1:2"),
	words("fetch", "uid guid flags date.received.unixtime size.physical", "mailbox", "Work", "all"),
	words("copy", "Nonexist", "mailbox", "INBOX", "all"),
	words("move", "Trash", "mailbox", "INBOX", "uid", "3"),
	words("fetch", "uid guid flags", "mailbox", "Trash", "all"),
	words("search", "mailbox", "INBOX", "all"),
	as23("move", "Trash", "mailbox", "Nonexist", "uid", "1"),

	words("expunge", "mailbox", "Trash", "uid", "1"),
	words("expunge", "mailbox", "Trash", "uid", "99"),
	as23("expunge", "mailbox", "Nonexist", "all", "seen"),
	words("expunge", "mailbox", "Trash", "savedbefore", "1d"),
	words("search", "mailbox", "Trash", "all"),

	{input: "Subject: saved\n\n.dot\nend\n", args: []string{"save"}},
	{input: "Subject: saved\r\n\r\nno end", args: []string{"save", "-m", "Work"}},
	{input: "x", args: []string{"save", "-m", "Nonexist"}},
	words("fetch", "uid flags hdr body size.physical size.virtual", "mailbox", "INBOX", "subject", "saved"),
	words("fetch", "uid hdr body size.physical size.virtual", "mailbox", "Work", "subject", "saved"),

	unordered("mailbox", "list", "*"),
	unordered("mailbox", "list", "-s"),
	unordered("mailbox", "list", "-7", "Lists*"),
	words("mailbox", "list", "Lists%"),
	words("mailbox", "list", "one"),
	words("mailbox", "list", "Work", "Nonexist"),
	words("mailbox", "create", "New", "New.Sub"),
	words("mailbox", "create", "New"),
	words("mailbox", "create", "-s", "Subscribed"),
	words("mailbox", "subscribe", "Work", "Gone"),
	unordered("mailbox", "list", "-s"),
	words("mailbox", "unsubscribe", "Gone"),
	words("mailbox", "rename", "New", "Newer"),
	words("mailbox", "rename", "Nonexist", "X"),
	unordered("mailbox", "list"),
	words("mailbox", "delete", "-e", "Work"),
	words("mailbox", "delete", "-r", "Newer"),
	words("mailbox", "delete", "Nonexist"),
	unordered("mailbox", "list", "*"),
	unordered("mailbox", "status", "messages unseen", "INBOX", "Work"),
	words("mailbox", "status", "uidnext vsize", "INBOX"),
	words("mailbox", "status", "-t", "messages unseen vsize", "INBOX", "Work"),
	words("mailbox", "status", "messages", "Nonexist"),
	words("mailbox", "status", "messages", "No*"),
	words("mailbox", "create", "../x"),
	words("deduplicate", "-m", "mailbox", "Work"),
	words("force-resync", "*"),
	words("purge"),
	as23("index", "INBOX"),
	words("search", "-u", "nosuch@example.org", "all"),
	words("fetch", "uid flags", "mailbox", "INBOX", "all"),
	words("fetch", "uid flags", "mailbox", "Work", "all"),
	unordered("search", "-A", "mailbox", "INBOX", "uid", "1"),
	words("search", "-u", "user2*", "mailbox", "INBOX", "uid", "1"),
}

// at puts the server, and the user where none is named, behind the command's name.
func (s step) at(server, user string) []string {
	n := 1
	if slices.Contains([]string{"mailbox", "flags", "quota"}, s.args[0]) {
		n = 2
	}
	var args []string
	switch name := strings.Join(s.args[:n], " "); {
	case name == "fetch" && !s.unordered:
		args = []string{"-f", "json"} // tab puts its separator into a long value, wherever a piece of it ends
	case name == "fetch", name == "search", name == "mailbox list", name == "mailbox status", name == "quota get":
		args = []string{"-f", "tab"}
	}
	args = append(args, s.args[:n]...)
	args = append(args, "-S", server)
	if rest := s.args[n:]; len(rest) == 0 || rest[0] != "-u" && rest[0] != "-A" {
		args = append(args, "-u", user)
	}
	return append(args, s.args[n:]...)
}

// TestDovecotsDoveadmDrivesOurs: what Dovecot's client gets of our server is what
// it gets of its own.
func TestDovecotsDoveadmDrivesOurs(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, r := range releases {
		for _, tcp := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s tcp=%v", r.name, tcp), func(t *testing.T) {
				t.Parallel()
				d, dir, users, copies := startDovecotOn(t, 2, r)
				c := startCulver(t, dir, copies, "")
				theirs := twin{at(d.Admin, d.AdminPort, tcp), d.Doveadm}
				ours := twin{at(c.Admin, c.AdminPort, tcp), d.Doveadm}
				for _, s := range steps {
					if !s.only23 || r.name == "2.3" {
						same(t, theirs, ours, users.Name(1), s)
					}
				}
			})
		}
	}
}

// TestOurDoveadmDrivesDovecot: what our client gets of Dovecot's server is what
// Dovecot's gets.
func TestOurDoveadmDrivesDovecot(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, r := range releases {
		for _, tcp := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s tcp=%v", r.name, tcp), func(t *testing.T) {
				t.Parallel()
				first, dir, users, copies := startDovecotOn(t, 2, r)
				second := r.start(t, dir, copies)
				client, err := system.Client(dir+"/client", second.Auth)
				if err != nil {
					t.Fatal(err)
				}
				theirs := twin{at(first.Admin, first.AdminPort, tcp), first.Doveadm}
				ours := twin{at(second.Admin, second.AdminPort, tcp), client}
				for _, s := range steps {
					if !s.differs { // Dovecot's answer to it is a crash, to either
						same(t, theirs, ours, users.Name(1), s)
					}
				}
			})
		}
	}
}
