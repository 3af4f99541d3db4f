package maildir

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"culver/internal/mailtest"
)

// TestRootGroups saves as an ordinary user into mailboxes of other groups: the
// test binary runs itself again under that identity.
func TestRootGroups(t *testing.T) {
	if root := os.Getenv("MAILDIR_AS_USER"); root != "" {
		saveAsUser(t, root)
		return
	}
	t.Parallel()
	mailtest.NeedRoot(t)
	setpriv := mailtest.NeedProgram(t, "setpriv", "util-linux")
	for _, tt := range []struct {
		name, groups string
		mode         os.FileMode
		file         string // mode:gid of the message, "" when the save fails
		folder       string // mode:gid of a new folder, "" when it cannot be made
	}{
		{"the group is copied where the user is a member", "--groups=7002", 0o770, "660:7002", "770:7002"},
		{"no group is needed where it has no rights of its own", "--clear-groups", 0o755, "644:7001", "755:7001"},
		{"a message stays private where the group cannot be given, a folder is not made", "--clear-groups", 0o777 &^ 0o020, "600:7001", ""},
		{"setgid does it by itself", "--groups=7002", 0o770 | os.ModeSetgid, "660:7002", "770:7002"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "groups") // t.TempDir is closed to others
			must(t, err, os.Chmod(dir, 0o755))
			t.Cleanup(func() { os.RemoveAll(dir) })
			root := filepath.Join(dir, "Maildir")
			for _, d := range []string{"", "cur", "new", "tmp"} {
				must(t, os.Mkdir(filepath.Join(root, d), 0o700))
			}
			must(t, exec.Command("chown", "-R", "7001:7002", root).Run())
			for _, d := range []string{"", "cur", "new", "tmp"} {
				must(t, os.Chmod(filepath.Join(root, d), tt.mode))
			}
			self := copySelf(t, dir)
			cmd := exec.Command(setpriv, "--reuid=7001", "--regid=7001", tt.groups, self, "-test.run=^TestRootGroups$")
			cmd.Env, cmd.Dir = []string{"MAILDIR_AS_USER=" + root}, "/"
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := modeOf(t, filepath.Join(root, "new", entries(t, root, "new")[0])); got != tt.file {
				t.Errorf("message: got %s, want %s", got, tt.file)
			}
			if got := modeOf(t, filepath.Join(root, ".Sub")); got != tt.folder {
				t.Errorf("folder: got %s, want %s", got, tt.folder)
			}
		})
	}
}

func saveAsUser(t *testing.T, root string) {
	s := newStore(t, Config{Root: root, Warn: func(string) {}})
	_, err := inbox(t, s).Save(message("x\r\n"))
	must(t, err)
	if f, err := s.Folder("Sub", Create{Always: true}); err == nil {
		f.Close()
	}
}

// copySelf: the test binary lies in a folder that only root may enter. Another
// process copies it: a descriptor of ours, open for writing, could slip into a
// child that is just being forked, and the copy were "text file busy".
func copySelf(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	to := filepath.Join(dir, "self")
	must(t, err, exec.Command("cp", self, to).Run(), os.Chmod(to, 0o755))
	return to
}

func modeOf(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return ""
	}
	must(t, err)
	return fmt.Sprintf("%s:%d", strings.TrimLeft(fmt.Sprintf("%o", st.Mode().Perm()), "0"), st.Sys().(*syscall.Stat_t).Gid)
}
