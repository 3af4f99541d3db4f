package brain

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"culver/services/doveadm/format"
)

// tally counts what became of the users, and keeps the list of those who failed.
type tally struct {
	began  time.Time
	failed *failedFile

	mu       sync.Mutex
	numbers  int64
	ok       int64
	bad      int64
	skipped  int64
	touched  int64
	vanished int64
	bytes    int64
	exit     int
}

// plus adds counts, which servers name: the most there is stays the most.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// number gives the next job its place.
func (t *tally) number() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.numbers++
	return t.numbers - 1
}

func (t *tally) add(user string, res *result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touched = plus(t.touched, res.touched)
	t.bytes = plus(t.bytes, res.bytes)
	switch {
	case res.skipped:
		t.skipped++
	case res.code == 0:
		t.ok++
		return
	default:
		t.bad++
	}
	t.exit = worse(t.exit, res.code)
	t.failed.add(user, res.reason)
}

// skip counts a user who was not begun; "" is one who needs not be.
func (t *tally) skip(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
	if user != "" {
		t.failed.add(user, leftAlone)
	}
}

// leave notes a user of whom nobody waits to hear.
func (t *tally) leave(user string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed.add(user, unknown)
}

func (t *tally) vanish(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.vanished = plus(t.vanished, n)
}

// sum is a summary of the run so far.
type sum struct {
	ok, bad, skipped, touched, vanished, bytes int64
	exit                                       int
	took                                       time.Duration
}

func (t *tally) sum() sum {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sum{t.ok, t.bad, t.skipped, t.touched, t.vanished, t.bytes, t.exit, time.Since(t.began)}
}

// close ends the list of those who failed.
func (t *tally) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed.close()
}

// failedFile is a list for a later -F: the name, TAB, the reason. It takes its
// name at the end, so that -F and --failed-file may be the same file.
type failedFile struct {
	name string
	f    *os.File
	w    *bufio.Writer
	err  error
}

func newFailedFile(name string) (*failedFile, error) {
	f, err := createAside(name, name+".new")
	if err != nil {
		return nil, fmt.Errorf("failed file: %w", err)
	}
	return &failedFile{name: name, f: f, w: bufio.NewWriter(f)}, nil
}

func (f *failedFile) add(user, reason string) {
	if f == nil || f.err != nil || f.f == nil {
		return
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	// A name of the list that is no user name would become two lines.
	_, f.err = f.w.WriteString(strings.NewReplacer("\n", "?", "\r", "?", "\t", "?").Replace(user) + "\t" + format.Safe(reason) + "\n")
}

func (f *failedFile) close() error {
	if f == nil || f.f == nil {
		return nil
	}
	for _, step := range []func() error{f.w.Flush, f.f.Close, func() error { return os.Rename(f.name+".new", f.name) }} {
		if err := step(); f.err == nil {
			f.err = err
		}
	}
	f.f = nil
	if f.err != nil {
		return fmt.Errorf("failed file: %w", f.err)
	}
	return nil
}

// discard leaves the file of that name as it was.
func (f *failedFile) discard() {
	if f != nil && f.f != nil {
		f.f.Close()
		os.Remove(f.name + ".new")
		f.f = nil
	}
}
