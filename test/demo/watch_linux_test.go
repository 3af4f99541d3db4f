package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"culver/internal/mailtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("PLAY_CREATE"); path != "" {
		os.WriteFile(path, nil, 0o600)
		return
	}
	os.Exit(m.Run())
}

func TestRootWatcherSeesWhoMadeAFile(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	dir, err := os.MkdirTemp("", "culver-watch-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	os.Chmod(dir, 0o777)
	w, err := watch([]string{dir})
	mailtest.Need(t, "a kernel that holds a process when it opens a file", err)
	cmd := exec.Command(os.Args[0])
	cmd.Args[0] = "child"
	self, _ := os.Open("/proc/self/exe")
	defer self.Close()
	// The test binary may lie where that uid cannot go; its descriptor is open.
	cmd.Path, cmd.ExtraFiles = "/proc/self/fd/3", []*os.File{self}
	cmd.Env = []string{"PLAY_CREATE=" + filepath.Join(dir, "file")}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: firstUID, Gid: firstUID}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := w.result()[cmd.Process.Pid]
	if want := fmt.Sprintf("%d %d %d %d", firstUID, firstUID, firstUID, firstUID); got.uids != want {
		t.Errorf("got %+v, want the uids %s", got, want)
	}
	if filepath.Base(got.path) != "file" {
		t.Errorf("got the file %q", got.path)
	}
}
