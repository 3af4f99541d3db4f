package peer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
	"culver/test/system"
)

// said is what a program says while it runs.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

var summary = regexp.MustCompile(`doveadm: (\d+) users ok, (\d+) failed, (\d+) skipped; (\d+) messages`)

// sums gives the numbers of a run's summary.
func sums(t *testing.T, stderr string) (n [4]int) {
	t.Helper()
	m := summary.FindStringSubmatch(stderr)
	if m == nil {
		t.Fatalf("no summary in %q", stderr)
	}
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	return n
}

// Ctrl-C while a worker is at a user's mail: what the summary says is what is gone,
// and the resumed run does the rest, no message more and none less.
func TestCtrlCInTheMiddleOfACleaning(t *testing.T) {
	t.Parallel()
	needs(t)
	const n, few, fifth = 12, 100, 5_000 // enough that the worker is still at it when it is told
	has := func(i int) int {
		if i == 5 {
			return fifth
		}
		return few
	}
	dir, users := someUsers(t, n)
	each(t, n, func(i int) error { return fill(users, i, "", make([]letter, has(i))) })
	w, err := system.NewWitness()
	mailtest.Need(t, "fanotify with permission events", err)
	for _, d := range []string{"", "/cur", "/new"} { // each message is looked at, too
		if err := w.Watch(users.Maildir(5)+d, users.Name(5)); err != nil {
			t.Fatal(err)
		}
	}
	c := startCulver(t, dir, users, "")
	journal, failed := filepath.Join(dir, "journal"), filepath.Join(dir, "failed")
	cmd := exec.Command(system.Program("doveadm"), "-c", c.Conf, "-o", "doveadm_worker_count=2",
		"expunge", "-A", "--journal", journal, "--failed-file", failed, "mailbox", "INBOX", "uid", "2:*", "header", "Subject", "letter")
	var stderr said
	cmd.Stderr = &stderr
	var once sync.Once
	w.See = func(int, string) { // the worker goes on when the brain has heard of it
		once.Do(func() {
			err := cmd.Process.Signal(os.Interrupt)
			if err == nil {
				err = mailtest.Await("the answer to Ctrl-C", 20*time.Second, func() bool { return strings.Contains(stderr.String(), "stopping at the next message") })
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Begin()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != doveadmproto.TempFail {
		t.Errorf("it ended with %v, want 75", err)
	}
	if _, err := w.End(); err != nil {
		t.Error(err)
	}
	first := sums(t, stderr.String())
	if ok, bad, skipped := first[0], first[1], first[2]; ok == 0 || ok+bad+skipped != n || bad > 2 || skipped == 0 || !strings.Contains(stderr.String(), "stopped before the end") {
		t.Errorf("a run of two workers that was stopped at its fifth user says:\n%s", stderr.String())
	}
	gone, whole, cut := 0, 0, 0
	for i := 1; i <= n; i++ {
		have, err := left(users, i, "")
		if err != nil {
			t.Fatal(err)
		}
		switch gone += has(i) - len(have); len(have) {
		case 1:
			whole++
		case has(i):
		default:
			cut++
		}
	}
	if gone != first[3] || whole < first[0] || cut > first[1] {
		t.Errorf("%d messages are gone, %d users are done and %d cut short; the summary says\n%s", gone, whole, cut, stderr.String())
	}
	if !strings.Contains(stderr.String(), "doveadm("+users.Name(5)+"): Error: ") {
		t.Errorf("the worker of the fifth user went on to its end:\n%s", stderr.String())
	}
	t.Logf("%s%d users cut short", stderr.String(), cut)
	text, err := os.ReadFile(failed)
	if lines := strings.Count(string(text), "\n"); err != nil || lines != n-first[0] {
		t.Errorf("the failed file has %d users (%v), want %d", lines, err, n-first[0])
	}
	again, err := c.Doveadm("", "resume", journal)
	if err != nil || again.Code != 0 {
		t.Errorf("resume: %+v (%v)", again, err)
	}
	second := sums(t, again.Err)
	if second[0]+first[0] != n || second[1] != 0 || second[2] != first[0] || first[3]+second[3] != (n-1)*(few-1)+fifth-1 {
		t.Errorf("the first run says\n%sand the resumed one\n%s", stderr.String(), again.Err)
	}
	for i := 1; i <= n; i++ {
		if have, err := left(users, i, ""); err != nil || len(have) != 1 || have[0] != 0 {
			t.Errorf("%s has %v (%v), want the first message alone", users.Name(i), have, err)
		}
	}
}
