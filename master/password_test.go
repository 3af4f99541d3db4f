package master

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPasswordIsTheFirstLineOfAFileThatIsOursAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want, bad  string
	}{
		{"one line", "secret word\n", 0o600, "secret word", ""},
		{"without its end", "secret", 0o400, "secret", ""},
		{"as an editor of another system left it", "secret\r\n", 0o600, "secret", ""},
		{"what follows is a note", "secret\nfor the panel\n", 0o600, "secret", ""},
		{"the longest", strings.Repeat("x", maxPassword) + "\n", 0o600, strings.Repeat("x", maxPassword), ""},
		{"one longer", strings.Repeat("x", maxPassword+1) + "\n", 0o600, "", "longer than"},
		{"empty", "", 0o600, "", "it is empty"},
		{"an empty first line", "\nsecret\n", 0o600, "", "first line is empty"},
		{"a NUL", "a\x00b\n", 0o600, "", "NUL"},
		{"its group may read it", "secret\n", 0o640, "", "mode 0640"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			got, err := readPassword(path)
			if got != tt.want || (err != nil) != (tt.bad != "") {
				t.Fatalf("got %q, %v, want %q", got, err, tt.want)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.bad) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %v, want %q and no password", err, tt.bad)
			}
		})
	}
}

func TestPasswordFileThatIsNone(t *testing.T) {
	t.Parallel()
	if got, err := readPassword(""); got != "" || err != nil {
		t.Errorf("no file: got %q, %v", got, err)
	}
	dir := t.TempDir()
	fifo, link, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link, dir, filepath.Join(dir, "missing")} {
		if got, err := readPassword(path); err == nil {
			t.Errorf("%s: got %q, want an error", path, got)
		}
	}
}

func TestSecretOfAuthOutlivesTheMaster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := authSecret(dir)
	if err != nil || len(first) < 20 {
		t.Fatalf("got %q, %v, want a key", first, err)
	}
	again, err := authSecret(dir)
	if err != nil || again != first {
		t.Errorf("got %q, %v, want %q once more", again, err, first)
	}
	path := filepath.Join(dir, "auth-secret")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("got %d files, want 1", len(files))
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if key, err := authSecret(dir); err == nil {
		t.Errorf("got %q of a file that others may read", key)
	}
}
