package peer

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culver/internal/mailtest"
	"culver/test/system"
)

// queries are those of the search language and of fetch that scripts seldom ask.
var queries = []step{
	// What has an order or a place.
	words("search", "mailbox", "INBOX", "*"),
	words("search", "mailbox", "INBOX", "3,1,2:2"),
	words("search", "mailbox", "INBOX", "5:2"),
	words("search", "mailbox", "INBOX", "8:*"),
	words("search", "mailbox", "INBOX", "99:*"),
	words("search", "mailbox", "INBOX", "100"),
	words("search", "mailbox", "INBOX", "uid", "99:*"),
	words("search", "mailbox", "INBOX", "uid", "*:3"),
	words("search", "mailbox", "INBOX", "uid", "4294967295"),
	words("search", "mailbox", "INBOX", "not", "1:8"),
	// Logic.
	words("search", "mailbox", "INBOX", "or", "seen", "flagged"),
	words("search", "mailbox", "INBOX", "(", "seen", "or", "flagged", ")"),
	words("search", "mailbox", "INBOX", "(", "1", "or", "(", "2", "not", "unseen", ")", "or", "4", ")"),
	words("search", "mailbox", "INBOX", "not", "(", "seen", "or", "subject", "first", ")"),
	words("search", "mailbox", "INBOX", "not", "not", "seen"),
	words("search", "mailbox", "INBOX", "!", "seen"),
	words("search", "mailbox", "INBOX", "-seen"),
	words("search", "mailbox", "INBOX", "NOT", "SEEN"),
	words("search", "mailbox", "INBOX", "(", ")"),
	words("search", "mailbox", "INBOX", "(", "seen"),
	words("search", "mailbox", "INBOX", "seen", ")"),
	unordered("search", "mailbox", "INBOX", "or", "seen"),
	words("search", "mailbox", "INBOX", "nosuch"),
	words("search", "mailbox"),
	words("search", "mailbox", "INBOX", "not"),
	unordered("search", "mailbox", "Work", "mailbox", "INBOX", "all"),
	unordered("search", "(", "mailbox", "Work", "or", "mailbox", "Trash", ")"),
	unordered("search", "not", "mailbox", "INBOX", "all"),
	unordered("search", "mailbox", "W?rk", "all"),
	unordered("search", "mailbox", "%rk", "all"),
	unordered("search", "mailbox", "inbox", "1"),
	words("search", "mailbox-guid", "0123456789abcdef0123456789abcdef", "all"),
	// Headers.
	words("search", "mailbox", "INBOX", "header", "subject", ""),
	words("search", "mailbox", "INBOX", "header", "X-MULTI", "ONE"),
	words("search", "mailbox", "INBOX", "header", "x-multi", "two folded"),
	words("search", "mailbox", "INBOX", "header", "nosuch", ""),
	words("search", "mailbox", "INBOX", "header", "message-id", "<1@x>"),
	words("search", "mailbox", "INBOX", "header", "references", "1@x"),
	words("search", "mailbox", "INBOX", "from", "Carol, C."),
	words("search", "mailbox", "INBOX", "from", "carol@example.com"),
	words("search", "mailbox", "INBOX", "from", ""),
	words("search", "mailbox", "INBOX", "bcc", "x"),
	words("search", "mailbox", "INBOX", "subject", "GRÜSSE"),
	words("search", "mailbox", "INBOX", "subject", "=?utf-8?"),
	words("search", "mailbox", "INBOX", "text", "x-multi"),
	words("search", "mailbox", "INBOX", "body", "x-multi"),
	words("search", "mailbox", "INBOX", "body", ""),
	words("search", "mailbox", "INBOX", "body", "weather", "body", "bob"),
	words("search", "mailbox", "INBOX", "body", "the weather is"),
	words("search", "mailbox", "INBOX", "body", "fine. hello"),
	words("search", "mailbox", "INBOX", "subject", "\xff\xfe"),
	// Sizes.
	words("search", "mailbox", "INBOX", "larger", "0"),
	words("search", "mailbox", "INBOX", "larger", "160", "smaller", "400"),
	words("search", "mailbox", "INBOX", "larger", "1KiB"),
	words("search", "mailbox", "INBOX", "smaller", "1 k"),
	words("search", "mailbox", "INBOX", "larger", "-1"),
	words("search", "mailbox", "INBOX", "larger", "1x"),
	// Dates, in the servers' zone.
	words("search", "mailbox", "INBOX", "on", "10-Jan-2022"),
	words("search", "mailbox", "INBOX", "on", "1-jan-2023"),
	words("search", "mailbox", "INBOX", "on", "31-Dec-2022"),
	words("search", "mailbox", "INBOX", "since", "01-Jan-2023"),
	words("search", "mailbox", "INBOX", "before", "1-Jan-2023"),
	words("search", "mailbox", "INBOX", "senton", "15-Jun-2022"),
	words("search", "mailbox", "INBOX", "senton", "1-Jan-2023"),
	words("search", "mailbox", "INBOX", "senton", "10-Feb-2022"),
	words("search", "mailbox", "INBOX", "sentsince", "16-Jun-2022"),
	words("search", "mailbox", "INBOX", "sentbefore", "10-Jan-2022"),
	words("search", "mailbox", "INBOX", "before", "1641808800"),
	words("search", "mailbox", "INBOX", "before", "1641808801"),
	words("search", "mailbox", "INBOX", "since", "1655287200"),
	words("search", "mailbox", "INBOX", "on", "1641808800"),
	words("search", "mailbox", "INBOX", "since", "1weeks"),
	words("search", "mailbox", "INBOX", "before", "1 week"),
	words("search", "mailbox", "INBOX", "before", "0"),
	words("search", "mailbox", "INBOX", "savedsince", "10m"),
	words("search", "mailbox", "INBOX", "savedbefore", "10m"),
	words("search", "mailbox", "INBOX", "younger", "3600"),
	words("search", "mailbox", "INBOX", "before", "1y"),
	better(64, "mailbox-guid\tuid\n", "search", "mailbox", "INBOX", "before", "30-Feb-2022"),
	words("search", "mailbox", "INBOX", "before", "2022-6-1"),
	as23("fetch", "uid date.received date.sent", "mailbox", "INBOX", "all"),
	// Fields and streams.
	words("fetch", "uid nosuch", "mailbox", "INBOX", "all"),
	words("fetch", "UID Hdr.Subject", "mailbox", "INBOX", "1"),
	words("fetch", "uid uid hdr", "mailbox", "INBOX", "1"),
	words("fetch", "body.99 uid body.1.99 binary.header", "mailbox", "INBOX", "1:2"),
	better(64, "[]", "fetch", "", "mailbox", "INBOX", "1"),
}

// changes are commands on messages in their corners, one after the other.
var changes = []step{
	// Flags.
	words("flags", "add", `\Answered New.Word $MDNSent a-b_c`, "mailbox", "INBOX", "uid", "2:3"),
	words("fetch", "uid flags", "mailbox", "INBOX", "all"),
	words("search", "mailbox", "INBOX", "keyword", "NEW.WORD"),
	words("search", "mailbox", "INBOX", "keyword", "Unheard"),
	words("search", "mailbox", "INBOX", "unkeyword", "Unheard", "1"),
	words("flags", "remove", `new.word \Nosuch`, "mailbox", "INBOX", "uid", "2"),
	words("flags", "remove", `new.word`, "mailbox", "INBOX", "uid", "2"),
	words("flags", "replace", `\seen`, "mailbox", "INBOX", "uid", "3"),
	words("flags", "replace", "", "mailbox", "INBOX", "uid", "1"),
	words("flags", "add", "a(b", "mailbox", "INBOX", "uid", "1"),
	words("flags", "add", "ä", "mailbox", "INBOX", "uid", "1"),
	words("flags", "add", strings.Repeat("long", 12), "mailbox", "INBOX", "uid", "1"),
	words("flags", "add", "k1 k2 k3 k4 k5 k6 k7 k8 k9 k10 k11 k12 k13 k14 k15 k16 k17 k18 k19 k20", "mailbox", "INBOX", "uid", "1"),
	words("fetch", "uid flags", "mailbox", "INBOX", "all"),
	better(65, "", "flags", "add", "a b c d e f g h i j k l m n o p q r s t u v w x y z one", "mailbox", "Lists.ö", "all"), // no letter is left
	// What a message may be.
	{input: "Subject: crlf\r\n\r\none\r\ntwo\r\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: nul\n\na\x00b\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: no end\n\nno line end", args: []string{"save", "-m", "Work"}},
	{input: "Subject: dots\n\n.\n..\n.a\n\n.\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: header alone\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: bare header", args: []string{"save", "-m", "Work"}},
	{input: "\nno header\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: mixed\r\n\nlf\ncrlf\r\ncr\rend\r\n\r\n\r\n", args: []string{"save", "-m", "Work"}},
	{input: "From sender@example.org Mon Jan  1 00:00:00 2022\nSubject: mbox\n\nx\n", args: []string{"save", "-m", "Work"}},
	{input: "Subject: mega\n\n" + strings.Repeat(strings.Repeat("y", 127)+"\n", 8192), args: []string{"save", "-m", "Work"}},
	words("fetch", "uid size.physical size.virtual flags", "mailbox", "Work", "all"),
	words("fetch", "uid hdr", "mailbox", "Work", "all"),
	words("fetch", "uid body", "mailbox", "Work", "all"),
	words("fetch", "text", "mailbox", "Work", "not", "subject", "mega"),
	words("search", "mailbox", "Work", "larger", "1M"),
	words("search", "mailbox", "Work", "body", "yyyyyyyyyy"),
	words("search", "mailbox", "Work", "body", "no line end"),
	// Copies.
	words("copy", "Trash", "mailbox", "Work", "uid", "1:2"),
	words("copy", "Trash", "mailbox", "Work", "uid", "1"),
	words("fetch", "uid flags hdr.message-id date.received.unixtime", "mailbox", "Trash", "all"),
	words("deduplicate", "mailbox", "Trash", "all"),
	words("search", "mailbox", "Trash", "all"),
	words("deduplicate", "-m", "mailbox", "Trash", "all"),
	words("search", "mailbox", "Trash", "all"),
	words("copy", "INBOX", "mailbox", "INBOX", "uid", "1"),
	words("move", "INBOX", "mailbox", "INBOX", "uid", "2"),
	words("search", "mailbox", "INBOX", "all"),
	words("move", "Work", "mailbox", "INBOX", "99"),
	words("expunge", "mailbox", "Trash"),
	words("expunge", "all"),
	words("expunge", "mailbox", "Trash", "or", "mailbox", "Work", "all"),
	words("expunge", "-d", "mailbox", "Trash", "uid", "1"),
	unordered("mailbox", "list"),
	words("expunge", "-d", "mailbox", "Trash", "all"),
	words("expunge", "-d", "mailbox", "INBOX", "uid", "1:3"),
	unordered("mailbox", "list"),
	as23("batch", ",", "search", "mailbox", "INBOX", "1", ",", "search", "mailbox", "Work", "1"),
	as23("batch", ",", "copy", "Nope", "mailbox", "INBOX", "1", ",", "expunge", "mailbox", "INBOX", "1"),
	as23("batch", ",", "copy", "Trash", "mailbox", "Nope", "1", ",", "expunge", "mailbox", "INBOX", "1"),
	as23("batch", ",", "flags", "add", "Batched", "mailbox", "INBOX", "1", ",", "expunge", "mailbox", "Work", "2"),
	as23("batch", ",", "search", "mailbox", "Nope", "1", ",", "search", "mailbox", "Work", "1"),
	as23("batch", ",", "nosuch", "1"),
	words("fetch", "uid flags", "mailbox", "INBOX", "all"),
	// Many users.
	unordered("search", "-A", "mailbox", "INBOX", "1:2"),
	unordered("search", "-u", "user*", "mailbox", "INBOX", "1"),
	unordered("search", "-u", "nobody*", "mailbox", "INBOX", "1"),
	unordered("mailbox", "status", "-A", "messages", "INBOX", "Work"),
	unordered("mailbox", "list", "-A", "W*"),
	as23("search", "-u", "user?@example.org", "mailbox", "Nonexist", "all"),
}

// inZone gives Dovecot that zone, and a wrapper that gives it Culver.
func inZone(posix, name string) (dovecot string, wrapper []string) {
	return "import_environment = TZ=" + posix + "\n",
		[]string{"unshare", "--mount", "sh", "-euc", `mount --bind "$1" /etc/localtime; shift; exec "$@"`, "sh", "/usr/share/zoneinfo/" + name}
}

// startCulverUnder runs it by a command that ends in running another.
func startCulverUnder(t *testing.T, dir string, users system.Users, wrapper ...string) *system.Culver {
	t.Helper()
	c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), users.Passwd(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(false, wrapper...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

// Both servers live east of here: days begin earlier there.
func TestCornersAreDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	mailtest.NeedProgram(t, "unshare", "util-linux")
	more, wrapper := inZone("JST-9", "Asia/Tokyo")
	for _, tt := range []struct {
		release
		steps []step
		under []string
	}{
		{release{name: "2.3", start: func(t *testing.T, dir string, u system.Users) *system.Dovecot {
			return startDovecotWith(t, dir, u, more)
		}}, slices.Concat(queries, changes), wrapper},
		{release{name: "2.4", start: startDovecot24}, changes, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, dir, users, copies := startDovecotOn(t, 2, tt.release)
			c := startCulverUnder(t, dir, copies, tt.under...)
			for _, s := range tt.steps {
				if !s.only23 || tt.name == "2.3" {
					same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), s)
				}
			}
		})
	}
}

// TestOurDoveadmInTheCorners: what our client makes of a Dovecot's answers is what
// Dovecot's makes of them.
func TestOurDoveadmInTheCorners(t *testing.T) {
	t.Parallel()
	needs(t)
	const quota = "mail_plugins = quota\nplugin {\n quota = maildir:User quota\n quota_rule = *:storage=10M:messages=100\n}\n"
	start := func(t *testing.T, dir string, u system.Users) *system.Dovecot {
		return startDovecotWith(t, dir, u, quota)
	}
	first, dir, users, copies := startDovecotOn(t, 2, release{start: start})
	second := start(t, dir, copies)
	client, err := system.Client(dir+"/client", second.Auth)
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := twin{first.Admin, first.Doveadm}, twin{second.Admin, client}
	for _, s := range slices.Concat([]step{words("quota", "get"), words("quota", "recalc"), unordered("quota", "get", "-A")}, queries, changes) {
		option := strings.HasPrefix(s.args[len(s.args)-1], "-") // each prints its own usage
		if !s.differs && !option {
			s.input = strings.ReplaceAll(s.input, "\x00", "0") // Dovecot's client cuts what it gets at a NUL
			same(t, theirs, ours, users.Name(1), s)
		}
	}
}
