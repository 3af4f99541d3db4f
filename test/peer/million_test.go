package peer

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/test/system"
)

// runEvent is a line of --progress=ndjson.
type runEvent struct {
	Event   string
	User    string
	Status  int
	Of      int
	OK      int
	Failed  int
	Skipped int // stopped before their turn
	Stopped bool
}

// doveadmRun runs our doveadm over many users until enough says so, and then stops
// it by Ctrl-C. It gives the users whose results were printed, the events, and the
// most memory that it had.
func doveadmRun(t *testing.T, c *system.Culver, enough func(runEvent) bool, args ...string) (printed []string, events []runEvent, memory int64) {
	t.Helper()
	cmd := exec.Command(system.Program("doveadm"), append([]string{"-c", c.Conf, "-f", "tab", "-h"}, args...)...)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(errs)
	stopped := false
	for lines.Scan() {
		var e runEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
		if e.Event == "line" || e.Event == "log" {
			t.Log(lines.Text())
		}
		events = append(events, e)
		memory = max(memory, highWater(cmd.Process.Pid))
		if !stopped && enough(e) {
			stopped = true
			cmd.Process.Signal(os.Interrupt)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != doveadmproto.TempFail {
		t.Errorf("it ended with %v, want 75", err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, "\t")
		printed = append(printed, name)
	}
	return printed, events, memory
}

// highWater is the most memory that a process had, in bytes, and 0 when it has
// ended. (What wait4 tells begins with the test's own.)
func highWater(pid int) (kib int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\nVmHWM:")
	fmt.Sscan(rest, &kib)
	return kib << 10
}

// A million users whom the real auth lists: the first ones are served while it
// does, in little memory; the run is stopped and goes on, and nobody is served twice.
func TestAMillionUsersOfAuth(t *testing.T) {
	t.Parallel()
	needs(t)
	const n, homes, memory, more = 1_000_000, 20, 64 << 20, 300
	dir, users := someUsers(t, homes)
	each(t, homes, func(i int) error { return fill(users, i, "", make([]letter, 1)) })
	var passwd strings.Builder
	for i := range n { // fifty thousand share a home: it is names that are many
		u := i%homes + 1
		fmt.Fprintf(&passwd, "u%07d:{PLAIN}pass:%d:%d::%s::\n", i, users.UID(u), users.GID(u), users.HomeOf(u))
	}
	c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), passwd.String(), "service auth {\n  vsz_limit = \"2G\"\n}\n")
	passwd.Reset()
	if err == nil {
		err = c.Start(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Log(tail(c.Trouble(), 30))
		}
	})
	// Auth reads its file at the first question; that is not the run's time.
	if said, err := c.Doveadm("", "search", "-u", "u0999999", "all"); err != nil || said.Code != 0 {
		t.Fatalf("the last one: %+v (%v)", said, err)
	}
	journal := filepath.Join(dir, "journal")
	began := time.Now()
	done, counted := 0, false
	first, events, rss := doveadmRun(t, c, func(e runEvent) bool {
		if e.Event == "user" {
			if done++; done == 1 {
				t.Logf("the first user after %v", time.Since(began))
			}
		}
		counted = counted || e.Of == n
		return counted && done >= more
	}, "search", "-A", "--progress=ndjson", "--journal", journal, "all")
	t.Logf("%d users after %v, %d KiB resident", len(first), time.Since(began), rss>>10)
	if rss == 0 || rss > memory {
		t.Errorf("%d bytes resident, want at most %d", rss, memory)
	}
	if !counted {
		t.Errorf("it never knew that there are %d users", n)
	}
	for _, e := range events {
		if e.Event == "user" {
			break
		}
		if e.Of == n {
			t.Errorf("the users were counted before the first was done")
		}
	}
	cut := map[string]bool{} // begun, and not done: they are to be done again
	for _, e := range events {
		if e.Event == "user" && e.Status != 0 {
			cut[e.User] = true
		}
	}
	if end := events[len(events)-1]; end.Event != "summary" || !end.Stopped || end.OK != len(first) || end.Failed+end.Skipped != len(cut) || len(cut) > 2*runtime.NumCPU()+4 {
		t.Errorf("summary %+v, want %d users, %v cut short, and that it was stopped", end, len(first), cut)
	}
	again := 0
	second, _, rss := doveadmRun(t, c, func(e runEvent) bool {
		if e.Event == "user" {
			again++
		}
		return again >= more
	}, "resume", "--progress=ndjson", journal)
	t.Logf("%d users more, %d KiB resident", len(second), rss>>10)
	if rss == 0 || rss > memory {
		t.Errorf("resume: %d bytes resident, want at most %d", rss, memory)
	}
	if len(first) < more || len(second) < more {
		t.Errorf("%d and %d users were done, want %d at least", len(first), len(second), more)
	}
	once := map[string]bool{}
	for _, name := range append(first, second...) {
		if once[name] {
			t.Errorf("%s was done twice", name)
		}
		once[name] = true
	}
	for name := range cut {
		if !once[name] {
			t.Errorf("%s was cut short, and not done by the resumed run", name)
		}
	}
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if ends := len(regexp.MustCompile(`(?m)^=u\d+\t0$`).FindAll(text, -1)); ends != len(once) {
		t.Errorf("the journal has %d users done, and %d were", ends, len(once))
	}
}
