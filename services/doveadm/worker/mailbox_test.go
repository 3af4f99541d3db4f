package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/doveadmproto"
)

// list names the mailboxes that there are.
func (u *user) list() string {
	u.t.Helper()
	return strings.Join(u.run("mailbox list").values, " ")
}

func TestMailboxCommands(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		have  string // folders, each with one message where it ends with !
		lines string // commands; all but the last must be ok
		code  int
		rows  string
		says  string // in the first log line
		left  string // mailboxes besides INBOX
	}{
		{name: "list with masks", have: "a.b c", lines: "mailbox list a* c", rows: "a a.b c", left: "a a.b c"},
		{name: "one name is printed unchecked", lines: "mailbox list nope", rows: "nope"},
		{name: "two names are looked up", have: "c", lines: "mailbox list nope c", rows: "c", left: "c"},
		{name: "list in modified UTF-7", have: "&AMk-", lines: "mailbox list -7 É*", rows: "&AMk-", left: "É"},
		{name: "list subscribed ones", have: "a b", lines: "mailbox subscribe b gone; mailbox list -s", rows: "b gone", left: "a b"},

		{name: "create several, of which one is there", have: "a", lines: "mailbox create a b", code: 65, says: "Can't create mailbox a: Mailbox already exists", left: "a b"},
		{name: "create and subscribe", lines: "mailbox create -s a.b; mailbox list -s", rows: "a.b", left: "a a.b"},
		{name: "create with a GUID", lines: "mailbox create -g 0123456789abcdef0123456789abcdef a; mailbox status guid a", rows: "a 0123456789abcdef0123456789abcdef", left: "a"},
		{name: "create with half a GUID", lines: "mailbox create -g 0123 a", code: 64, says: "-g:"},
		{name: "create a way out", lines: "mailbox create ../x", code: 64, says: "Can't create mailbox ../x: Invalid mailbox name: Begins with hierarchy separator"},
		{name: "create nothing for now", have: "a", lines: "mailbox create --dry-run a b", code: 65, rows: "b create", says: "Can't create mailbox a: Mailbox already exists", left: "a"},

		{name: "delete", have: "a! a.b", lines: "mailbox delete a", left: "a a.b"},
		{name: "delete what is not there, and go on", have: "b", lines: "mailbox delete a b", code: 68, says: "Can't delete mailbox a: Mailbox doesn't exist: a"},
		{name: "delete only if empty", have: "a! b", lines: "mailbox delete -e a b", code: 65, says: "Can't delete mailbox a: Mailbox isn't empty", left: "a"},
		{name: "delete with all below", have: "a a.b a.b.c!", lines: "mailbox delete -r a"},
		{name: "delete a level with all below", have: "a.b.c!", lines: "mailbox delete -r a"},
		{name: "delete a level", have: "a.b", lines: "mailbox delete a", code: 68, left: "a a.b"},
		{name: "delete and unsubscribe", have: "a b", lines: "mailbox subscribe a b; mailbox delete -s a; mailbox list -s", rows: "b", left: "b"},
		{name: "delete the INBOX", lines: "mailbox delete INBOX", code: 65, says: "Can't delete mailbox INBOX: INBOX can't be deleted."},
		{name: "delete nothing for now", have: "a!", lines: "mailbox delete --dry-run a", rows: "a GUID 9 1 2 expunge a delete", left: "a"},

		{name: "rename with all below", have: "a a.b", lines: "mailbox rename a x", left: "x x.b"},
		{name: "rename what is not there", lines: "mailbox rename a b", code: 68, says: "Can't rename mailbox a to b: Mailbox doesn't exist: a"},
		{name: "rename onto another", have: "a b", lines: "mailbox rename a b", code: 65, says: "Can't rename mailbox a to b: Target mailbox already exists", left: "a b"},
		{name: "rename with subscriptions", have: "a a.b", lines: "mailbox subscribe a a.b; mailbox rename -s a x; mailbox list -s", rows: "x x.b", left: "x x.b"},
		{name: "rename nothing for now", have: "a a.b", lines: "mailbox rename --dry-run a x", rows: "a rename a.b rename", left: "a a.b"},

		{name: "subscribe to a name that is none", lines: "mailbox subscribe a..b", code: 64, says: "Can't subscribe to mailbox a..b: Invalid mailbox name: Has adjacent hierarchy separators"},
		{name: "unsubscribe from what was never subscribed to", lines: "mailbox unsubscribe a"},
		{name: "subscribe to nothing for now", lines: "mailbox subscribe --dry-run a", rows: "a subscribe"},

		{name: "status has its own order", have: "a!", lines: "mailbox status vsize_messages_unseen a", rows: "a 1 1 3", left: "a"},
		{name: "status of all", have: "a! b", lines: "mailbox status messages *", rows: "INBOX 0 a 1 b 0", left: "a b"},
		{name: "status of one that is missing", lines: "mailbox status messages a", code: 68, says: "Mailbox a: Failed to lookup mailbox status: Mailbox doesn't exist: a"},
		{name: "status of two of which one is missing", have: "a", lines: "mailbox status messages a b", rows: "a 0", left: "a"},
		{name: "status of a mask that matches none", lines: "mailbox status messages x*"},
		{name: "the sum", have: "a! b!", lines: "mailbox status -t all *", rows: "2 0 2 6", left: "a b"},
		{name: "the sum without the one that is missing", lines: "mailbox status -t messages a", code: 68, rows: "0"},
		{name: "nothing was ever saved", have: "a", lines: "mailbox status firstsaved a", rows: "a never", left: "a"},
		{name: "a field that is none", lines: "mailbox status foo *", code: 64},
		{name: "modseqs are not ours", have: "a", lines: "mailbox status highestmodseq_messages a", rows: "a 0 ", left: "a"},

		{name: "update", have: "a!", lines: "mailbox update -V 77 -N 100 -R 1 -H 5 -P 5 a; mailbox status uidvalidity_uidnext a", rows: "a 100 77", left: "a"},
		{name: "update of what is missing", lines: "mailbox update -V 5 a", code: 68, says: "Cannot update a: Mailbox doesn't exist: a"},
		{name: "update with a number that is none", have: "a", lines: "mailbox update -V 4294967296 a", code: 64, left: "a"},
		{name: "update nothing for now", have: "a", lines: "mailbox update --dry-run -V 5 a", rows: "a update", left: "a"},

		{name: "resync", have: "a!", lines: "force-resync *; force-resync none; index *; index none; purge; mailbox status messages a", rows: "a 1", left: "a"},
		{name: "resync nothing for now", have: "a", lines: "force-resync --dry-run a*", rows: "a resync", left: "a"},
		{name: "no quota", lines: "quota get", code: 68},
		{name: "no way to a mailbox that is none", lines: "mailbox path ../x", code: 64},
		{name: "no path of that kind", lines: "mailbox path -t x a", code: 64},
		{name: "no alternative path", lines: "mailbox path -t alt-dir a"},
		{name: "batch", have: "a!", lines: "batch + mailbox status messages a + mailbox list a", rows: "a 1 a", left: "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			for i, name := range strings.Fields(tt.have) {
				folder, withMail := strings.CutSuffix(name, "!")
				u.folder(folder)
				if withMail {
					u.mail(folder, i, "", "x\n")
				}
				must(t, os.WriteFile(filepath.Join(u.path(folder), "dovecot-uidlist"), []byte("3 V9 N1 Gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"), 0o600))
			}
			lines := strings.Split(tt.lines, "; ")
			for _, line := range lines[:len(lines)-1] {
				if got := u.run(line); got.code != doveadmproto.OK {
					t.Fatalf("%s: got %+v", line, got)
				}
			}
			got := u.run(lines[len(lines)-1])
			var rows []string
			for _, v := range got.values {
				if v == strings.Repeat("a", 32) {
					v = "GUID"
				}
				if v != "" || !strings.Contains(tt.lines, "--dry-run") {
					rows = append(rows, v)
				}
			}
			if got.code != tt.code || strings.Join(rows, " ") != tt.rows || tt.code != 0 && len(got.logs) == 0 {
				t.Errorf("got %d, rows %q, logs %q, want %d, rows %q", got.code, strings.Join(rows, " "), got.logs, tt.code, tt.rows)
			}
			if tt.says != "" && (len(got.logs) == 0 || !strings.HasPrefix(got.logs[0], tt.says)) {
				t.Errorf("got logs %q, want %q", got.logs, tt.says)
			}
			if left := strings.TrimPrefix(strings.TrimPrefix(u.list(), "INBOX"), " "); left != tt.left {
				t.Errorf("left %q, want %q", left, tt.left)
			}
		})
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestMailboxPath(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for _, tt := range []struct{ line, want string }{
		{"mailbox path INBOX", ""},
		{"mailbox path -t control a.É", "/.a.&AMk-"},
		{"mailbox path -t mailbox a", "/.a"},
	} {
		if got := u.run(tt.line); got.code != 0 || len(got.values) != 1 || got.values[0] != u.dir+tt.want {
			t.Errorf("%s: got %+v, want %s", tt.line, got, u.dir+tt.want)
		}
	}
}

func TestQuotaCommands(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.settings["quota_enforce"], u.settings["quota_rule"] = "maildirsize", "*:storage=10M"
	u.mail("INBOX", 1, "", strings.Repeat("x", 1500))
	want := "User quota STORAGE 2 10240 0 User quota MESSAGE 1 - 0"
	if got := u.run("quota get"); got.code != 0 || strings.Join(got.values, " ") != want {
		t.Errorf("got %+v, want %s", got, want)
	}
	u.mail("INBOX", 2, "", strings.Repeat("x", 3<<20))
	if got := u.run("quota recalc"); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	want = "User quota STORAGE 3074 10240 30 User quota MESSAGE 2 - 0"
	if got := u.run("quota get"); got.code != 0 || strings.Join(got.values, " ") != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestQuotaThatCannotBeCounted(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.settings["quota_enforce"], u.settings["quota_rule"] = "maildirsize", "*:storage=10M"
	must(t, os.RemoveAll(u.dir), os.WriteFile(u.dir, nil, 0o600))
	want := "User quota STORAGE error error error User quota MESSAGE error error error"
	if got := u.run("quota get"); got.code == 0 || len(got.logs) == 0 || strings.Join(got.values, " ") != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

// A mailbox that was read by nobody yet cannot be opened where its list is
// damaged; force-resync mends that, and the mail keeps its UIDs.
func TestForceResyncMendsAList(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "x\n")
	list := filepath.Join(u.dir, "dovecot-uidlist")
	must(t, os.WriteFile(list, []byte("3 V9 N8 Gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n7 :1600000001.M1P1.host\ngarbage\n"), 0o600))
	if got := u.run("search mailbox INBOX all"); got.code != doveadmproto.TempFail {
		t.Errorf("got %+v", got)
	}
	if got := u.run("force-resync INBOX"); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	if got := u.run("search mailbox INBOX all"); got.uids() != "7" {
		t.Errorf("got %+v, want UID 7", got)
	}
}
