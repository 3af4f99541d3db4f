package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

const day = 24 * time.Hour

// letter is one message of a mailbox that a test made.
type letter struct {
	received time.Time // its file's time
	saved    time.Time // by our record; zero: there is none
}

// fill gives a folder these messages, with UIDs from 1, in new/ or cur/ in turn.
// It returns their base names.
func fill(u system.Users, i int, folder string, all []letter) error {
	dir := u.Maildir(i)
	if folder != "" {
		dir = filepath.Join(dir, "."+folder)
		for _, d := range []string{dir, dir + "/cur", dir + "/new", dir + "/tmp"} {
			if err := os.Mkdir(d, 0o700); err != nil {
				return err
			}
			if err := os.Chown(d, u.UID(i), u.GID(i)); err != nil {
				return err
			}
		}
	}
	list := fmt.Sprintf("3 V1700000000 N%d G%032x\n", len(all)+1, i)
	saved := "1 1700000000\n"
	same := folder == "" // nobody will change them: one file with many names is made faster
	first := ""
	for n, l := range all {
		text := fmt.Sprintf("From: a@example.com\nSubject: letter %d\nMessage-ID: <%d.%d.%s@x>\n\nHello.\n", n+1, i, n+1, folder)
		name := base(n)
		file := dir + "/new/" + name
		if n%2 == 1 {
			file = dir + "/cur/" + name + ":2,S"
		}
		var err error
		if same && n > 0 {
			err = os.Link(first, file)
		} else {
			first, err = file, l.write(u, i, file, text)
		}
		if err != nil {
			return err
		}
		list += fmt.Sprintf("%d :%s\n", n+1, name)
		if !l.saved.IsZero() {
			saved += fmt.Sprintf("%010d %012d\n", n+1, l.saved.Unix())
		}
	}
	for file, text := range map[string]string{"/dovecot-uidlist": list, "/culver-saved": saved} {
		if err := os.WriteFile(dir+file, []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Chown(dir+file, u.UID(i), u.GID(i)); err != nil {
			return err
		}
	}
	return nil
}

func (l letter) write(u system.Users, i int, file, text string) error {
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Chown(file, u.UID(i), u.GID(i)); err != nil || l.received.IsZero() {
		return err
	}
	return os.Chtimes(file, l.received, l.received)
}

// base is the name of message n, from 0, of every folder that fill made.
func base(n int) string { return fmt.Sprintf("1600000000.M%dP1.host", n+1) }

// each does something for all users, two at a time.
func each(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for i := 1 + half; i <= n; i += 2 {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// left are the messages of fill's that a folder still has, by number from 0.
func left(u system.Users, i int, folder string) (all []int, err error) {
	dir := u.Maildir(i)
	if folder != "" {
		dir = filepath.Join(dir, "."+folder)
	}
	for _, sub := range []string{"/new", "/cur"} {
		list, err := os.ReadDir(dir + sub)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			n := 0
			if _, err := fmt.Sscanf(e.Name(), "1600000000.M%dP1.host", &n); err != nil {
				return nil, fmt.Errorf("%s/%s is none of ours", dir+sub, e.Name())
			}
			all = append(all, n-1)
		}
	}
	slices.Sort(all)
	return all, nil
}

// The founding case: every user's Trash is cleaned by a process that is that user
// and nobody else.
func TestAThousandTrashesAreCleaned(t *testing.T) {
	t.Parallel()
	needs(t)
	const n = 1000
	dir, users := someUsers(t, n)
	now := time.Now()
	young, old := now.Add(-20*day), now.Add(-40*day)
	trash := make([]letter, 50)
	for k := range trash {
		l := &trash[k]
		l.received = []time.Time{old, young, {}}[k%3]
		l.saved = []time.Time{old, young, {}}[k/3%3] // none: the file is there since now
	}
	inbox := slices.Repeat([]letter{{received: old, saved: old}}, 50)
	w, err := system.NewWitness()
	mailtest.Need(t, "fanotify with permission events", err)
	each(t, n, func(i int) error {
		if err := fill(users, i, "", inbox); err != nil {
			return err
		}
		return fill(users, i, "Trash", trash)
	})
	for i := 1; i <= n; i++ {
		for _, d := range []string{"", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/.Trash", "/Maildir/.Trash/cur", "/Maildir/.Trash/new"} {
			if err := w.Watch(users.HomeOf(i)+d, users.Name(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := startCulver(t, dir, users, "")
	w.Begin()
	for _, run := range []struct {
		name, query string
		now         time.Time
		gone        func(letter) bool
	}{
		{"by the day they were saved", "savedbefore", now, func(l letter) bool { return l.saved.Equal(old) }},
		{"by the day they were received", "before", now, func(l letter) bool { return l.received.Equal(old) }},
		{"by the day they were saved, in a week", "savedbefore", now.Add(11 * day), func(l letter) bool { return l.saved.Equal(young) }},
		{"by the day they were received, in five weeks", "before", now.Add(35 * day), func(letter) bool { return true }},
	} {
		var want []int
		gone := 0
		for k := range trash {
			if trash[k].received.Equal(gonePast) {
				continue
			}
			if run.gone(trash[k]) {
				trash[k].received, trash[k].saved = gonePast, gonePast
				gone++
			} else {
				want = append(want, k)
			}
		}
		began := time.Now()
		said, err := c.Doveadm("", "--now", fmt.Sprint(run.now.Unix()), "expunge", "-A", "mailbox", "Trash", run.query, "30d")
		if err != nil || said.Code != 0 || said.Out != "" {
			t.Fatalf("%s: %.3000s (%v)", run.name, fmt.Sprint(said), err)
		}
		t.Logf("%s: %v: %s", run.name, time.Since(began).Round(time.Millisecond), said.Err)
		if sum := fmt.Sprintf("%d users ok, 0 failed, 0 skipped; %d messages", n, n*gone); gone == 0 || !strings.Contains(said.Err, sum) {
			t.Errorf("%s: got %q, want %q", run.name, said.Err, sum)
		}
		each(t, n, func(i int) error {
			got, err := left(users, i, "Trash")
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("%s: %s: left are %v, want %v", run.name, users.Name(i), got, want)
			}
			all, err2 := left(users, i, "")
			if err2 == nil && len(all) != len(inbox) {
				err2 = fmt.Errorf("%s: %s: INBOX has %d messages, want %d", run.name, users.Name(i), len(all), len(inbox))
			}
			if err == nil {
				err = err2
			}
			return err
		})
	}
	seen, err := w.End()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]int{}
	for p, whose := range seen {
		if len(whose) != 1 {
			t.Errorf("%+v opened the mail of %v", p, whose)
		}
		for who := range whose {
			var i int
			fmt.Sscanf(who, "user%d@", &i)
			if p.UIDs != system.UIDs(users.UID(i)) {
				t.Errorf("%+v opened the mail of %s, whose uid is %d", p, who, users.UID(i))
			}
			served[who]++
		}
	}
	if len(served) != n {
		t.Errorf("%d users were seen to be served, want %d", len(served), n)
	}
	for who, times := range served {
		if times != 4 {
			t.Errorf("%s was served by %d processes in 4 runs", who, times)
		}
	}
	t.Logf("%d processes, each of one user", len(seen))
	checkOwners(t, users)
}

// gonePast marks a letter that is gone.
var gonePast = time.Unix(1, 0)

// checkOwners looks at what the workers wrote: all of it is its user's alone.
func checkOwners(t *testing.T, users system.Users) {
	t.Helper()
	each(t, users.N, func(i int) error {
		return filepath.WalkDir(users.HomeOf(i), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != users.UID(i) || info.Mode().Perm()&0o077 != 0 {
				return fmt.Errorf("%s: owner %d, mode %v", path, st.Uid, info.Mode())
			}
			return nil
		})
	})
}
