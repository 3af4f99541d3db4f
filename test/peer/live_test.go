package peer

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// identities are what each UID of each folder was ever seen to be. A UID that is
// seen to be another message was reused, or given anew.
type identities struct {
	mu    sync.Mutex
	all   map[string]string // folder and UID: Message-ID
	wrong []string
}

func (d *identities) see(folder string, uid int, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := fmt.Sprint(folder, " ", uid)
	if was, ok := d.all[key]; ok && was != id {
		d.wrong = append(d.wrong, fmt.Sprintf("UID %s was %s and is %s", key, was, id))
	}
	d.all[key] = id
}

var fetchedID = regexp.MustCompile(`(?i)\* \d+ FETCH \(UID (\d+)[^\r]*\r\nMessage-ID: (<[^>]*>)`)

// imapIDs are the messages of the folder that is selected: UID by Message-ID, and
// every message once.
func (d *identities) imapIDs(s *system.IMAPSession, folder string) (map[string]int, error) {
	said, err := s.Command("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
	if err != nil {
		return nil, err
	}
	ids := map[string]int{}
	for _, m := range fetchedID.FindAllStringSubmatch(said, -1) {
		uid, _ := strconv.Atoi(m[1])
		d.see(folder, uid, m[2])
		if ids[m[2]] != 0 {
			return nil, fmt.Errorf("%s is in %s twice: %d and %d", m[2], folder, ids[m[2]], uid)
		}
		ids[m[2]] = uid
	}
	return ids, nil
}

// A mailbox that Dovecot's IMAP server has open and changes, while mail comes in
// and our doveadm searches, marks, copies, moves and expunges: every message is
// where it belongs, under the UID that it was first seen with.
func TestDovecotsIMAPAtTheSameTime(t *testing.T) {
	t.Parallel()
	needs(t)
	const seeds, arrivals, rounds = 90, 40, 10
	dir, users := someUsers(t, 1)
	user := users.Name(1)
	if err := fill(users, 1, "Work", nil); err != nil {
		t.Fatal(err)
	}
	if err := fill(users, 1, "Trash", nil); err != nil {
		t.Fatal(err)
	}
	c := startCulver(t, dir, users, "")
	d := startDovecot(t, dir, users)
	text := func(id string) string {
		return "From: a@example.com\nSubject: live\nMessage-ID: " + id + "\n\nHello.\n"
	}
	old := func(n int) string { return fmt.Sprintf("<old%d.@x>", n) }
	fresh := func(n int) string { return fmt.Sprintf("<new%d.@x>", n) }
	for n := range seeds {
		if said, err := c.Doveadm(text(old(n)), "save", "-u", user); err != nil || said.Code != 0 {
			t.Fatalf("save: %+v (%v)", said, err)
		}
	}
	ids := &identities{all: map[string]string{}}
	open := func() *system.IMAPSession {
		s, err := d.OpenIMAP(user)
		if err == nil {
			_, err = s.Command("SELECT INBOX")
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	validity := func() string {
		said, err := d.IMAP(user, "STATUS INBOX (UIDVALIDITY)", "STATUS Work (UIDVALIDITY)", "STATUS Trash (UIDVALIDITY)")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(regexp.MustCompile(`STATUS \w+ \(UIDVALIDITY \d+\)`).FindAllString(said, -1), ", ")
	}
	before := validity()

	var wg sync.WaitGroup
	idler := open()
	tag, err := idler.Send("IDLE")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := idler.Until("+ "); err != nil {
		t.Fatal(err)
	}
	var idled string
	idle := make(chan error, 1)
	go func() {
		said, err := idler.Until(tag + "OK")
		idled = said
		idle <- err
	}()

	storer := open()
	over := make(chan struct{}) // the others are done: the storer may end
	stored := make(chan struct{})
	wg.Go(func() { // deliveries
		for n := range arrivals {
			s, err := mailtest.Dial(c.Socket, func(string) {})
			if err == nil {
				var replies []string
				replies, err = s.Deliver("sender@example.org", []string{user}, text(fresh(n)))
				if err == nil && !strings.HasPrefix(replies[0], "250 ") {
					err = fmt.Errorf("%q", replies)
				}
			}
			if err != nil {
				t.Errorf("delivery: %v", err)
				return
			}
		}
	})
	go func() {
		defer close(stored)
		for k := 0; ; k++ {
			select {
			case <-over:
				return
			default:
			}
			have, err := ids.imapIDs(storer, "INBOX")
			if err == nil {
				for _, uid := range have {
					_, err = storer.Command(fmt.Sprintf("UID STORE %d %cFLAGS (\\Flagged $Live%d)", uid, "+-"[k%2], k%5))
					if err != nil {
						break
					}
				}
			}
			if err == nil {
				_, err = storer.Command("NOOP")
			}
			if err != nil {
				t.Errorf("storing: %v", err)
				return
			}
		}
	}()
	run := func(args ...string) string {
		at := 1
		if args[0] == "flags" {
			at = 2
		}
		said, err := c.Doveadm("", append(append(append([]string{"-f", "tab", "-h"}, args[:at]...), "-u", user), args[at:]...)...)
		if err != nil || said.Code != 0 || said.Err != "" {
			t.Errorf("%q: %+v (%v)", args, said, err)
		}
		return said.Out
	}
	id := func(n int) []string { return []string{"mailbox", "INBOX", "header", "Message-ID", old(n)} }
	wg.Go(func() {
		for r := range rounds { // of each nine: two are moved, one of those goes; two are copied; one is expunged
			n := 9 * r
			run(append([]string{"move", "Trash"}, id(n)...)...)
			run("search", "all")
			run("flags", "add", `\Seen Ours`, "mailbox", "INBOX", "all")
			run(append([]string{"move", "Trash"}, id(n+1)...)...)
			run(append([]string{"copy", "Work"}, id(n+2)...)...)
			run(append([]string{"copy", "Work"}, id(n+3)...)...)
			run(append([]string{"expunge"}, id(n+4)...)...)
			run("expunge", "mailbox", "Trash", "header", "Message-ID", old(n))
			run("flags", "remove", "Ours", "mailbox", "INBOX", "uid", fmt.Sprintf("%d:%d", n+6, n+9))
			for line := range strings.Lines(run("fetch", "mailbox uid hdr.message-id", "all")) {
				f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
				uid, err := strconv.Atoi(f[1])
				if err != nil || len(f) != 3 {
					t.Errorf("fetch: %q", line)
					continue
				}
				ids.see(f[0], uid, f[2])
			}
		}
	})
	wg.Wait()
	close(over)
	<-stored

	if err := idler.Line("DONE"); err != nil {
		t.Error(err)
	}
	select {
	case err := <-idle:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("IDLE did not end")
	}
	if !strings.Contains(idled, " EXISTS") || !strings.Contains(idled, " EXPUNGE") {
		t.Errorf("the client in IDLE was told nothing: %.500q", idled)
	}
	for _, s := range []*system.IMAPSession{idler, storer} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	want := map[string]map[string]bool{"INBOX": {}, "Work": {}, "Trash": {}}
	for n := range seeds {
		switch n % 9 {
		case 0, 4:
		case 1:
			want["Trash"][old(n)] = true
		case 2, 3:
			want["Work"][old(n)] = true
			fallthrough
		default:
			want["INBOX"][old(n)] = true
		}
	}
	for n := range arrivals {
		want["INBOX"][fresh(n)] = true
	}
	for folder, w := range want {
		s, err := d.OpenIMAP(user)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Command("SELECT " + folder); err != nil {
			t.Fatal(err)
		}
		have, err := ids.imapIDs(s, folder)
		if err != nil {
			t.Errorf("%s: %v", folder, err)
		}
		got := map[string]bool{}
		for id := range have {
			got[id] = true
		}
		if !maps.Equal(got, w) {
			t.Errorf("%s has %v, want %v", folder, got, w)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	ids.mu.Lock()
	for _, w := range ids.wrong {
		t.Error(w)
	}
	t.Logf("%d UIDs were seen", len(ids.all))
	// A message that leaves under one UID and comes under another was renumbered.
	places := map[string]string{}
	for key, id := range ids.all {
		folder, uid, _ := strings.Cut(key, " ")
		if was, ok := places[folder+id]; ok {
			t.Errorf("%s in %s had the UIDs %s and %s", id, folder, was, uid)
		}
		places[folder+id] = uid
	}
	ids.mu.Unlock()
	if after := validity(); after != before {
		t.Errorf("UIDVALIDITY: %s, and before: %s", after, before)
	}
	for line := range strings.Lines(d.Log()) {
		if strings.Contains(line, "Error:") || strings.Contains(line, "Warning:") {
			t.Errorf("Dovecot says: %s", line)
		}
	}
}
