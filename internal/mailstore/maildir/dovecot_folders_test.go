package maildir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folders gives what Dovecot lists, sorted.
func (p *peer) folders(args ...string) string {
	p.t.Helper()
	names := strings.Split(strings.TrimSpace(p.doveadm("", append([]string{"mailbox", "list"}, args...)...)), "\n")
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func names(list []Listed, err error) string {
	var all []string
	for _, l := range list {
		all = append(all, l.Name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// sameFolders compares both listings, and those of subscriptions.
func (p *peer) sameFolders(s *Store) {
	p.t.Helper()
	if ours, theirs := names(s.List()), p.folders(); ours != theirs {
		p.t.Errorf("we list %s, Dovecot %s", ours, theirs)
	}
	if ours, theirs := names(s.Subscribed()), p.folders("-s"); ours != theirs {
		p.t.Errorf("we are subscribed to %s, by Dovecot to %s", ours, theirs)
	}
}

// foldersBeside: each of the two makes, renames and removes folders, and the
// other finds them so, with the same UIDs.
func foldersBeside(t *testing.T, p *peer, s *Store) {
	p.doveadm("", "mailbox", "create", "-s", "A", "A.B", "Été", "Gone")
	p.save("A", "Subject: a\n\nText\n")
	p.save("A.B", "Subject: b\n\nText\n")
	p.sameFolders(s)
	was := strings.ReplaceAll(p.status("A"), "A ", "")
	must(t, s.Rename("A", "X.Y"), s.Rename("Été", "Ö & ü"))
	p.sameFolders(s)
	p.same(s, "X.Y")
	p.same(s, "X.Y.B")
	if is := strings.ReplaceAll(p.status("X.Y"), "X.Y ", ""); is != was {
		t.Errorf("after the rename %s, before %s", is, was)
	}
	must(t, s.Create("Ours.Own", NewFolder{Subscribe: true, GUID: someGUID}), s.Create("Plain", NewFolder{}))
	p.sameFolders(s)
	p.same(s, "Ours.Own")
	p.same(s, "Plain")
	p.save("Plain", "Subject: c\n\nText\n")
	old := open(t, s, "Plain").UIDValidity()
	must(t, s.remove("Gone", true), s.remove("Plain", false), s.Unsubscribe("Gone"), s.Subscribe("Ö & ü"))
	p.sameFolders(s)
	p.doveadm("", "mailbox", "create", "Plain")
	p.doveadm("", "mailbox", "subscribe", "Plain", "Ö & ü")
	p.doveadm("", "mailbox", "unsubscribe", "Ours.Own")
	p.sameFolders(s)
	if is := open(t, s, "Plain").UIDValidity(); is <= old {
		t.Errorf("UIDVALIDITY of the new folder is %d, that of the old was %d", is, old)
	}
	p.doveadm("", "mailbox", "rename", "X", "Z")
	p.doveadm("", "mailbox", "delete", "Z.Y")
	p.sameFolders(s)
	p.same(s, "Z.Y.B")
	if left := entries(t, s.c.Root); slices.Contains(left, trashFlat) {
		t.Errorf("left %s", trashFlat)
	}
}

// removedUnderSession: a session whose folder goes is told so, and the next one
// finds nothing amiss.
func removedUnderSession(t *testing.T, p *peer, s *Store) {
	p.doveadm("", "mailbox", "create", "A", "B")
	p.save("A", "Subject: a\n\nText\n")
	session := p.imap()
	session.do("SELECT A")
	must(t, s.remove("A", false), s.Rename("B", "A.C"))
	session.end()
	p.sameFolders(s)
	p.same(s, "A.C")
	p.same(s, "INBOX")
}

// identityBeside: Dovecot, which has an index of the folder, follows what we say
// of its identity.
func identityBeside(t *testing.T, p *peer, s *Store) {
	p.doveadm("", "mailbox", "create", "A")
	p.save("A", "Subject: a\n\nText\n")
	must(t, s.Identify("A", Identity{GUID: someGUID}))
	p.same(s, "A")
	must(t, s.Identify("A", Identity{MinNext: 100}))
	p.same(s, "A")
	p.save("A", "Subject: b\n\nText\n")
	if got := p.fetch("A"); len(got) != 2 || !strings.HasPrefix(got[1], "100 ") {
		t.Errorf("got %q, want UIDs 1 and 100", got)
	}
	// Of this Dovecot warns, once, and makes its index anew.
	must(t, s.Identify("A", Identity{Validity: 77}), p.command("doveadm", "search", "mailbox", "A").Run())
	p.same(s, "A")
}

// mendedBeside: where Dovecot would give all messages new UIDs, a mended list
// keeps those of the good lines, and Dovecot keeps to it.
func mendedBeside(t *testing.T, p *peer, s *Store) {
	for range 3 {
		p.save("INBOX", "Subject: a\n\nText\n")
	}
	before := p.fetch("INBOX")
	list := filepath.Join(s.c.Root, listName)
	text := read(t, list)
	lines := strings.SplitAfter(text, "\n")
	lines[2] = "garbage\n"
	must(t, os.WriteFile(list, []byte(strings.Join(lines, "")), 0o600))
	s.c.Warn = func(string) {}
	must(t, s.Resync("INBOX"))
	m := open(t, s, "INBOX")
	if m.Len() != 3 || m.Entry(0).UID != 1 || m.Entry(1).UID != 3 || m.Entry(2).UID <= 3 {
		t.Fatalf("got %q", ours(m))
	}
	after := p.fetch("INBOX")
	if !slices.Equal(after, ours(m)) || after[0] != before[0] || after[1] != before[2] {
		t.Errorf("Dovecot sees %q, we see %q, before %q", after, ours(m), before)
	}
}
