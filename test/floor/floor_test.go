package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"culver/internal/mailtest"
	"culver/test/system"
)

// someUsers makes a scratch folder with n users, as root.
func someUsers(t *testing.T, n int) (dir string, users system.Users) {
	t.Helper()
	mailtest.NeedRoot(t)
	dir, err := mailtest.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if users, err = system.MakeUsers(dir, n, 20001); err != nil {
		t.Fatal(err)
	}
	return dir, users
}

// A floor that did not deliver, or not as the user, would be a floor for nothing.
func TestRootFloorDeliversAsTheUser(t *testing.T) {
	t.Parallel()
	dir, users := someUsers(t, 3)
	if err := system.Build(t.Context(), dir, "test/floor", "test/floor/worker"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, "floor"), "--homes="+users.Home, "--worker="+filepath.Join(dir, "worker"),
		"--users=3", fmt.Sprint("--first-uid=", users.FirstUID), "--total=4", "--recipients=3").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r Result
	if err := json.Unmarshal(out, &r); err != nil || r.Deliveries != 12 || r.CPUPer <= 0 {
		t.Errorf("got %s (%v), want 12 deliveries and their CPU time", out, err)
	}
	for i := 1; i <= 3; i++ {
		files, err := users.Files(i)
		if err != nil || len(files) != 4 {
			t.Errorf("user %d has %d messages (%v), want 4", i, len(files), err)
		}
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid != users.UID(i) || info.Size() != 4096 {
				t.Errorf("%s: got uid %d and %d bytes, want %d and 4096", f, uid, info.Size(), users.UID(i))
			}
		}
	}
}

// The box must hold: only the one program may run, so a script in its place, whose
// interpreter lies outside, does not.
func TestRootFloorIsBoxed(t *testing.T) {
	t.Parallel()
	dir, users := someUsers(t, 1)
	script := filepath.Join(dir, "worker")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread line <&3\necho 250 saved >&3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := system.Build(t.Context(), dir, "test/floor"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, "floor"), "--homes="+users.Home, "--worker="+script,
		"--users=1", fmt.Sprint("--first-uid=", users.FirstUID), "--total=1").CombinedOutput()
	if err == nil {
		t.Errorf("a program outside of the box ran: %s", out)
	}
}
