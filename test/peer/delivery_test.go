// Package peer speaks with other people's software: a real Postfix hands mail
// over, a real Dovecot reads what was delivered. Our own client is no proof of
// the standard.
//
// Runs as:   root, to give each user a uid; without root it skips.
// Trusts:    Postfix and Dovecot from Debian's packages.
// Distrusts: Culver, which must not lose, double or show anybody's mail.
// Speaks:    LMTP through Postfix, IMAP through Dovecot.
package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// The uids of the users of all tests begin here; nothing else on a test machine
// should be theirs.
const firstUID = 20001

// needs skips the test where a peer is missing.
func needs(t *testing.T) {
	t.Helper()
	mailtest.NeedRoot(t)
	mailtest.NeedProgram(t, "postfix", "postfix")
	mailtest.NeedProgram(t, "dovecot", "dovecot-lmtpd")
}

// someUsers makes a scratch folder with n users.
func someUsers(t *testing.T, n int) (dir string, users system.Users) {
	t.Helper()
	dir, err := mailtest.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if users, err = system.MakeUsers(dir, n, firstUID); err != nil {
		t.Fatal(err)
	}
	return dir, users
}

func startDovecot(t *testing.T, dir string, users system.Users) *system.Dovecot {
	t.Helper()
	return startDovecotWith(t, dir, users, "")
}

// startDovecotWith gives it more configuration text.
func startDovecotWith(t *testing.T, dir string, users system.Users, more string) *system.Dovecot {
	t.Helper()
	d, err := system.StartDovecot(filepath.Join(dir, "dovecot"), users, system.DovecotLimits{ProcessLimit: 100, More: more})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	return d
}

// The harness must hold against a server that is known to be right before it
// judges ours.
func TestPostfixToDovecot(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 20)
	d := startDovecot(t, dir, users)
	p := startPostfix(t, "lmtp:unix:"+d.Socket)
	all := mails(7, 20, 10, users.N)
	p.submit(t, users, all)
	p.drain(t, time.Minute)
	if n := checkMail(t, users, all); n != 0 {
		t.Errorf("got %d duplicates, want 0", n)
	}
	checkPrivate(t, users)
	checkIMAP(t, d, users)
}

// checkMail fails the test for each copy that is missing, or that came to
// somebody it was not for, and returns how many came twice or more.
func checkMail(t *testing.T, users system.Users, all []mail) (duplicates int) {
	t.Helper()
	want := make([]map[string]bool, users.N+1)
	for i := range want {
		want[i] = map[string]bool{}
	}
	copies := 0
	for _, m := range all {
		for _, u := range m.to {
			want[u][m.id] = true
			copies++
		}
	}
	missing, strange := 0, 0
	for u := 1; u <= users.N; u++ {
		got, err := users.MessageIDs(u)
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range got {
			if !want[u][id] {
				strange++
				t.Logf("%s has %s, which was not for them", users.Name(u), id)
			}
			duplicates += n - 1
		}
		for id := range want[u] {
			if got[id] == 0 {
				missing++
			}
		}
	}
	if missing > 0 || strange > 0 {
		t.Errorf("of %d copies got %d missing and %d misdirected, want none", copies, missing, strange)
	}
	t.Logf("%d messages, %d copies: %d missing, %d duplicates", len(all), copies, missing, duplicates)
	return duplicates
}

// checkPrivate looks at owner and mode of every message, and has one user try to
// open another's mail.
func checkPrivate(t *testing.T, users system.Users) {
	t.Helper()
	last := ""
	for u := 1; u <= users.N; u++ {
		files, err := users.Files(u)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			st := info.Sys().(*syscall.Stat_t)
			if int(st.Uid) != users.UID(u) || int(st.Gid) != users.GID(u) || info.Mode().Perm()&0o077 != 0 {
				t.Fatalf("%s: got owner %d:%d mode %v, want %d:%d and nothing for others",
					f, st.Uid, st.Gid, info.Mode(), users.UID(u), users.GID(u))
			}
			last = f
		}
	}
	if last == "" {
		t.Fatal("no mail at all")
	}
	other := fmt.Sprint(users.UID(1))
	if strings.HasPrefix(last, users.HomeOf(1)+"/") {
		other = fmt.Sprint(users.UID(2))
	}
	if out, err := exec.Command("setpriv", "--reuid", other, "--regid", other, "--clear-groups", "cat", last).CombinedOutput(); err == nil {
		t.Errorf("uid %s read %s: %.60q", other, last, out)
	} else if !strings.Contains(string(out), "Permission denied") {
		t.Errorf("uid %s was kept from %s by %v: %s", other, last, err, out)
	}
}

// checkIMAP has Dovecot list and fetch every message of some users.
func checkIMAP(t *testing.T, d *system.Dovecot, users system.Users) {
	t.Helper()
	for u := 1; u <= users.N; u += max(1, users.N/20) {
		have, err := users.MessageIDs(u)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, c := range have {
			n += c
		}
		commands := []string{`LIST "" "*"`, "SELECT INBOX"}
		if n > 0 {
			commands = append(commands, "FETCH 1:* (RFC822.SIZE BODY.PEEK[])")
		}
		out, err := d.IMAP(users.Name(u), commands...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, fmt.Sprintf("* %d EXISTS", n)) {
			t.Errorf("%s: got no \"* %d EXISTS\": %.600s", users.Name(u), n, out)
		}
		for id := range have {
			if !strings.Contains(out, "Message-ID: "+id) {
				t.Errorf("%s: IMAP did not show %s", users.Name(u), id)
			}
		}
	}
	// Dovecot logs what it finds wrong with names, sizes and lists of others.
	for line := range strings.Lines(d.Log()) {
		if strings.Contains(line, "Error:") || strings.Contains(line, "Warning:") {
			t.Errorf("Dovecot says: %s", line)
		}
	}
}
