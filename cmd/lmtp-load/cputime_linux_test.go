package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"culver/internal/mailtest"
)

func TestTreeCPU(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	stat := func(pid int, name string, parent, u, s, cu, cs int) {
		t.Helper()
		dir := filepath.Join(proc, fmt.Sprint(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%d (%s) S %d 1 1 0 -1 0 9 9 9 9 %d %d %d %d 20 0 1\n", pid, name, parent, u, s, cu, cs)
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stat(1, "init", 0, 1000, 1000, 1000, 1000)
	stat(10, "master", 1, 1, 2, 30, 40)
	stat(11, "a) S 1 (b", 10, 5, 0, 0, 0) // a name that looks like fields
	stat(12, "grandchild", 11, 0, 7, 0, 0)
	stat(13, "stranger", 1, 500, 0, 0, 0)
	got, err := treeCPU(proc, 10)
	if want := (1 + 2 + 30 + 40 + 5 + 7) * tick; err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := treeCPU(proc, 99); err == nil {
		t.Error("got no error for a process that is not there")
	}
}

// What a child spent must show after it was waited for: that is where nearly
// all of the time of a server with one process per user is.
func TestTreeCPUCountsTheDead(t *testing.T) {
	t.Parallel()
	before, err := treeCPU("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	mailtest.Need(t, "a shell", c.Run())
	spent := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	after, err := treeCPU("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := after - before; got < spent-3*tick {
		t.Errorf("got %v more, want at least %v", got, spent)
	}
}

func TestCgroupCPU(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file, text string
		want             time.Duration
	}{
		{"version 1", "cpuacct.usage", "12000000\n", 12 * time.Millisecond},
		{"version 2", "cpu.stat", "usage_usec 12000\nuser_usec 1\n", 12 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if got, err := cgroupCPU(dir); err != nil || got != tt.want {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}
