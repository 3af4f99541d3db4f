package peer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"culver/test/system"
)

var quotaSetup = setup{
	dovecot: `
mail_plugins = quota
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=20K:messages=17
  quota_rule2 = Trash:storage=+10K
  quota_rule3 = Lists*:ignore
  quota_grace = 0
}
`,
	culver: `
quota_rule = ["*:storage=20K:messages=17", "Trash:storage=+10K", "Lists*:ignore"]
quota_grace = "0"
`,
}

// overQuota is what ours says where Dovecot's server knows no name for it:
// 73, as both do on their own machine.
func overQuota(input string, args ...string) step {
	return step{input: input, args: args, differs: true, code: 73}
}

// ofBytes is a message of about n bytes. Dovecot's client fails to send one of
// many short lines.
func ofBytes(n int) string {
	return "Subject: big\n\n" + strings.Repeat(strings.Repeat("x", 99)+"\n", n/100)
}

var quotaSteps = []step{
	words("quota", "get"),
	words("quota", "recalc"),
	words("quota", "get"),
	{input: ofBytes(1000), args: []string{"save"}},
	words("quota", "get"),
	overQuota(ofBytes(30000), "save"),
	overQuota(ofBytes(16000), "save", "-m", "Work"),
	words("quota", "get"),
	{input: ofBytes(8000), args: []string{"save", "-m", "Work"}},
	words("quota", "get"),
	{args: []string{"copy", "INBOX", "mailbox", "Work", "subject", "big"}, differs: true, alone: true, code: 73},
	words("fetch", "uid hdr.subject", "mailbox", "INBOX", "all"),
	{input: ofBytes(9000), args: []string{"save", "-m", "Trash"}}, // where more is allowed
	words("quota", "get"),
	{input: ofBytes(50000), args: []string{"save", "-m", "Lists.ö"}}, // where nothing counts
	words("quota", "get"),
	words("move", "Trash", "mailbox", "Work", "subject", "big"), // takes no more room
	words("quota", "get"),
	words("flags", "add", `\Seen`, "mailbox", "INBOX", "all"),
	words("expunge", "mailbox", "Trash", "subject", "big"),
	words("quota", "get"),
	words("copy", "Work", "mailbox", "INBOX", "uid", "1"),
	words("quota", "get"),
	words("move", "Lists.ö", "mailbox", "INBOX", "uid", "1"),        // leaves what counts
	words("copy", "Work", "mailbox", "Lists.ö", "subject", "first"), // and enters it
	words("quota", "get"),
	words("expunge", "-d", "mailbox", "Trash", "all"),
	words("quota", "get"),
	{input: ofBytes(100), args: []string{"save"}},
	{input: ofBytes(200), args: []string{"save"}},
	{input: ofBytes(300), args: []string{"save"}},
	words("quota", "get"),
	words("quota", "recalc"),
	words("quota", "get"),
	words("mailbox", "delete", "Work"),
	words("quota", "get"),
	words("quota", "recalc"),
	words("quota", "get"),
	words("quota", "get", "-u", "nosuch@example.org"),
	unordered("quota", "get", "-A"),
}

// maildirSize gives the sums of a user's maildirsize.
func maildirSize(t *testing.T, u system.Users, i int) (bytes, messages int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(u.Maildir(i), "maildirsize"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, l := range lines[1:] {
		b, m, _ := strings.Cut(l, " ")
		n, err1 := strconv.Atoi(b)
		k, err2 := strconv.Atoi(m)
		if err1 != nil || err2 != nil {
			t.Fatalf("maildirsize: %q", text)
		}
		bytes, messages = bytes+n, messages+k
	}
	return bytes, messages
}

// Both keep the same numbers in maildirsize, whatever is done to mail, and
// Dovecot reads what ours has written there.
func TestQuotaIsDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	d, c, users, copies := startSetup(t, quotaSetup, 1)
	reader := startDovecotWith(t, filepath.Dir(copies.Home), copies, quotaSetup.dovecot)
	for _, s := range quotaSteps {
		same(t, twin{d.Admin, d.Doveadm}, twin{c.Admin, d.Doveadm}, users.Name(1), s)
		if s.args[0] == "quota" {
			continue
		}
		b, m := maildirSize(t, users, 1)
		if ours, n := maildirSize(t, copies, 1); ours != b || n != m {
			t.Errorf("after %q maildirsize says %d bytes in %d messages, Dovecot's %d in %d", s.args, ours, n, b, m)
		}
		same(t, twin{d.Admin, d.Doveadm}, twin{reader.Admin, d.Doveadm}, users.Name(1), words("quota", "get"))
	}
	t.Run("2.4 is told too", func(t *testing.T) {
		d := startDovecot24(t, filepath.Dir(copies.Home), copies)
		said, err := d.Doveadm(ofBytes(30000), "save", "-S", c.Admin, "-u", users.Name(1))
		if err != nil || said.Code == 0 || !strings.Contains(said.Err, "Quota exceeded") {
			t.Errorf("got %+v (%v)", said, err)
		}
		t.Logf("%+v", said)
	})
}
