package peer

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// startCulver runs the system under test with its defaults and more.
func startCulver(t *testing.T, dir string, users system.Users, more string) *system.Culver {
	t.Helper()
	c, err := system.StartCulver(filepath.Join(dir, "culver"), users, more)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, c)
	return c
}

// stopAfter has a Culver stopped with the test, and its log shown where the test failed.
func stopAfter(t *testing.T, c *system.Culver) {
	t.Helper()
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("end of Culver's log:\n%s", tail(c.Trouble(), 30))
		}
	})
}

// A real Postfix and both kinds of sockets: every copy once, at its owner and
// nobody else, and visible in IMAP.
func TestPostfixToCulver(t *testing.T) {
	t.Parallel()
	needs(t)
	for _, tt := range []struct {
		name      string
		seed      uint64
		transport func(*system.Culver) string
	}{
		{"over a unix socket", 11, func(c *system.Culver) string { return "lmtp:unix:" + c.Socket }},
		{"over TCP", 12, func(c *system.Culver) string { return fmt.Sprintf("lmtp:inet:127.0.0.1:%d", c.Port) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, 200)
			c := startCulver(t, dir, users, "")
			p := startPostfix(t, tt.transport(c))
			all := mails(tt.seed, 200, 50, users.N)
			p.submit(t, users, all)
			p.drain(t, 2*time.Minute)
			if n := checkMail(t, users, all); n != 0 {
				t.Errorf("got %d duplicates, want 0: nothing was killed", n)
			}
			checkPrivate(t, users)
			checkIMAP(t, startDovecot(t, dir, users), users)
		})
	}
}

// Dovecot 2.3 with process_limit 100 resets nearly half of such sessions. Here
// the sessions wait for a worker, and all are delivered.
func TestThousandSessionsTwentyWorkers(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	const sessions = 1000
	dir, users := someUsers(t, 200)
	c := startCulver(t, dir, users, "service lmtp {\n  process_limit = 20\n}\n")
	out, err := exec.Command(system.Program("lmtp-load"), "--json", "--together", "--target=unix:"+c.Socket,
		fmt.Sprint("--sessions=", sessions), fmt.Sprint("--total=", sessions), fmt.Sprint("--users=", users.N)).Output()
	var r struct {
		Deliveries int
		Errors     map[string]int
		First      []string `json:"first_failures"`
	}
	if jerr := json.Unmarshal(out, &r); jerr != nil {
		t.Fatalf("lmtp-load: %v, %v: %s", err, jerr, out)
	}
	if err != nil || r.Deliveries != sessions || len(r.Errors) != 0 {
		t.Errorf("got %d deliveries, errors %v, first %q (%v); want %d and none", r.Deliveries, r.Errors, r.First, err, sessions)
	}
	if n, err := users.Count(); err != nil || n != sessions {
		t.Errorf("the Maildirs hold %d messages (%v), want %d", n, err, sessions)
	}
}
