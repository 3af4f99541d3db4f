package brain

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/doveadmproto"
)

// atFirst answers the first run so that users of several fates are left.
func atFirst(interrupt chan<- struct{}) func(a *asked) int {
	return func(a *asked) int {
		switch a.User {
		case "nosuch":
			return doveadmproto.NoUser
		case "lost":
			return hangUp
		case "broken":
			return doveadmproto.TempFail
		case "last":
			interrupt <- struct{}{}
			<-a.stop
			return 0
		}
		return 0
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words []string
		again []string // who is sent in the second run
		bad   []string // who fails in it
	}{
		{"what may be done twice is", []string{"expunge", "mailbox", "Trash", "savedbefore", "30d"},
			[]string{"broken", "late", "later", "lost", "nosuch"}, nil},
		{"what may not is listed", []string{"copy", "Old", "mailbox", "Trash", "savedbefore", "30d"},
			[]string{"late", "later", "nosuch"}, []string{"broken", "lost"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			users, file := filepath.Join(dir, "users"), filepath.Join(dir, "journal")
			os.WriteFile(users, []byte("alice\nnosuch\nlost\nbroken\nlast\nlate\nlater\n"), 0o600)
			interrupt := make(chan struct{}, 1)
			s := newFakeServer(t, atFirst(interrupt))
			g := Global{Settings: Settings{Socket: s.socket, Workers: 1}, Interrupt: interrupt}
			words := append([]string{tt.words[0], "-F", users, "--journal", file}, tt.words[1:]...)
			got := doveadm(t, g, words...)
			if got.code != 75 || !strings.Contains(got.errs, "go on with: culver-doveadm resume "+file) {
				t.Fatalf("got %+v", got)
			}
			if again := doveadm(t, g, words...); again.code != 64 {
				t.Errorf("the same journal again: got %+v", again)
			}
			// A line cut off by the end of the machine.
			f, _ := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
			f.WriteString("=late")
			f.Close()

			next := newFakeServer(t, func(a *asked) int { return 0 })
			g = Global{Settings: Settings{Socket: next.socket, Workers: 1}, Now: testNow.Add(100 * 24 * time.Hour)}
			got = doveadm(t, g, "resume", "-S", next.socket, file)
			slices.Sort(next.users)
			if !slices.Equal(next.users, tt.again) {
				t.Errorf("sent for %v, want %v", next.users, tt.again)
			}
			for _, u := range tt.bad {
				if line := "doveadm(" + u + "): Error: " + unknown + "\n"; !strings.Contains(got.errs, line) {
					t.Errorf("standard error lacks %q: %q", line, got.errs)
				}
			}
			if (got.code == 0) != (tt.bad == nil) {
				t.Errorf("status %d", got.code)
			}
			before := fmt.Sprint(testNow.Add(-30 * 24 * time.Hour).Unix())
			for _, args := range append(s.args, next.args...) {
				if !strings.HasSuffix(args, "savedbefore "+before) {
					t.Errorf("sent %q, want the first run's moment %s", args, before)
				}
			}
		})
	}
}

func TestResumeOfAFinishedRunDoesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal")
	s := newFakeServer(t, oneRow)
	g := Global{Settings: Settings{Socket: s.socket, Auth: fakeAuth(t, names("alice", "bob"))}}
	doveadm(t, g, "search", "-A", "--journal", file, "all")
	got := doveadm(t, g, "resume", file)
	if got.code != 0 || got.out != "" || !strings.HasPrefix(got.errs, "doveadm: 0 users ok, 0 failed, 2 skipped;") || len(s.users) != 2 {
		t.Errorf("got %+v, server was asked for %v", got, s.users)
	}
}

func TestTwoRunsOnOneJournal(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal")
	j, err := newJournal(file, header{Command: "search"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := resumeJournal(file); err == nil || !strings.Contains(err.Error(), "in use by another run") {
		t.Errorf("got %v", err)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

func TestJournalSyncsWhatMustNotBeForgotten(t *testing.T) {
	t.Parallel()
	j, err := newJournal(filepath.Join(t.TempDir(), "journal"), header{Command: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := j.begin(fmt.Sprint("u", i), true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	j.mu.Lock()
	if j.synced != j.written || j.written != 51 {
		t.Errorf("%d of %d lines are on disk", j.synced, j.written)
	}
	j.mu.Unlock()
	j.begin("x", false)
	if err := j.close(); err != nil || j.synced != 52 {
		t.Errorf("closed with %d of 52 lines on disk: %v", j.synced, err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add("{\"doveadm-journal\":1,\"command\":\"expunge\"}\n+alice\n=alice\t0\n+bob\n")
	f.Add("{\"doveadm-journal\":2}\n")
	f.Add("{\"doveadm-journal\":1}\n+a\n=a\t67\n=a")
	f.Add("\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, p, whole, err := readJournal(strings.NewReader(text))
		if err != nil {
			return
		}
		if whole > int64(len(text)) || whole > 0 && text[whole-1] != '\n' {
			t.Errorf("whole up to byte %d of %q", whole, text)
		}
		again, q, more, err := readJournal(strings.NewReader(text[:whole]))
		if err != nil || more != whole || len(q.done) != len(p.done) || len(q.open) != len(p.open) {
			t.Errorf("the whole lines read differently: %+v %v", again, err)
		}
	})
}
