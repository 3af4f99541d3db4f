package maildir

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deadPID gives the number of a process that has ended.
func deadPID(t *testing.T) int {
	c := exec.Command("true")
	must(t, c.Run())
	return c.Process.Pid
}

func TestLockOfAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		age        time.Duration
		waits      time.Duration // 0: it is never taken over
	}{
		{"of a dead process on this host is taken over", fmt.Sprint(deadPID(t), ":", nodeName()), 5 * time.Second, time.Millisecond},
		{"of a dead process, but just made, is waited for", fmt.Sprint(deadPID(t), ":", nodeName()), 0, lockDeadPID},
		{"of a live process stays until it is stale", fmt.Sprint(os.Getpid(), ":", nodeName()), time.Hour, lockStale},
		{"of another host stays until it is stale", fmt.Sprintf("%d:elsewhere", deadPID(t)), time.Hour, lockStale},
		{"with garbage stays until it is stale", "garbage", time.Hour, lockStale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			now, warned := begin, ""
			s := newStore(t, Config{Now: func() time.Time { return now }, Warn: func(text string) { warned = text }})
			s.sleep = func(d time.Duration) { now = now.Add(d) }
			f := inbox(t, s)
			path := filepath.Join(s.c.Root, lockName)
			must(t, os.WriteFile(path, []byte(tt.text), 0o600), os.Chtimes(path, begin.Add(-tt.age), begin.Add(-tt.age)))
			lock, err := s.lockList(f.dir)
			must(t, err)
			waited := now.Sub(begin)
			if waited < tt.waits-time.Second || waited > tt.waits+time.Second {
				t.Errorf("waited %v, want %v", waited, tt.waits)
			}
			if !strings.Contains(warned, tt.text) {
				t.Errorf("warned %q", warned)
			}
			if got := read(t, path); got != fmt.Sprint(os.Getpid(), ":", nodeName()) {
				t.Errorf("the lock says %q", got)
			}
			lock.release()
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("the lock is still there: %v", err)
			}
		})
	}
}

func TestLockThatIsTouchedIsNeverTaken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := newStore(t, Config{Now: func() time.Time { return now }})
	f := inbox(t, s)
	path := filepath.Join(s.c.Root, lockName)
	must(t, os.WriteFile(path, []byte("1:elsewhere"), 0o600))
	beats := 0
	s.c.Beat = func() { beats++ }
	s.sleep = func(d time.Duration) {
		now = now.Add(d)
		must(t, os.Chtimes(path, now, now))
	}
	if _, err := s.lockList(f.dir); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if beats < int(lockWait/lockMaxSleep) {
		t.Errorf("%d beats in %v", beats, lockWait)
	}
}

func TestLockThatWasLostIsNoticed(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	f := inbox(t, s)
	lock, err := s.lockList(f.dir)
	must(t, err)
	path := filepath.Join(s.c.Root, lockName)
	must(t, os.Remove(path), os.WriteFile(path, []byte("1:elsewhere"), 0o600))
	if err := lock.held(); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	lock.release()
	if got := read(t, path); got != "1:elsewhere" {
		t.Errorf("another's lock was removed: %q", got)
	}
}

func TestLockBecomesAFile(t *testing.T) {
	t.Parallel()
	const text = "a short text"
	s := newStore(t, Config{})
	f := inbox(t, s)
	lock, err := s.lockList(f.dir)
	must(t, err)
	must(t, lock.become("list", []byte(text)))
	path := filepath.Join(s.c.Root, lockName)
	if got := read(t, filepath.Join(s.c.Root, "list")); got != text {
		t.Errorf("the file says %q", got)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the lock is still there: %v", err)
	}
	must(t, os.WriteFile(path, []byte("1:elsewhere"), 0o600))
	lock.release()
	if got := read(t, path); got != "1:elsewhere" {
		t.Errorf("another's lock was removed: %q", got)
	}
}

func TestLockThatWasLostBecomesNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	f := inbox(t, s)
	lock, err := s.lockList(f.dir)
	must(t, err)
	path, list := filepath.Join(s.c.Root, lockName), filepath.Join(s.c.Root, "list")
	must(t, os.Remove(path), os.WriteFile(path, []byte("1:elsewhere"), 0o600), os.WriteFile(list, []byte("another's"), 0o600))
	if err := lock.become("list", []byte("ours")); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if got := read(t, list); got != "another's" {
		t.Errorf("the list is %q", got)
	}
}
