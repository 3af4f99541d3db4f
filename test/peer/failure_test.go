package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/test/system"
)

// failure is one way in which a delivery cannot succeed.
type failure struct {
	name string
	user int // of the system's users
	// prepare breaks something and returns the user's line of the users file, or
	// "" to leave it as it is.
	prepare func(t *testing.T, dir string, u system.Users, user int) string
	address string // default: the user's
	size    int    // bytes of text; default 100
	reply   string // how the final reply begins
	log     []string
}

// A 5xx only where trying again cannot help. All rows share one system; each has
// users of its own.
var failures = []failure{
	{name: "a delivery that works", user: 1, reply: "250 2.0.0 ", log: []string{"Info: msgid=", ": saved mail to INBOX"}},
	{name: "a home without a Maildir", user: 8, prepare: bareHome, reply: "250 2.0.0 ", log: []string{"lmtp(user8@example.org)", ": saved mail to INBOX"}},
	{name: "disk full", user: 2, prepare: smallDisk, size: 300 << 10,
		reply: "451 4.2.0 ", log: []string{"lmtp(user2@example.org)", "Error: ", "no space left on device"}},
	{name: "quota full", user: 3, prepare: withField("userdb_quota_rule=*:storage=10K"), size: 30 << 10,
		reply: "552 5.2.2 ", log: []string{"lmtp(user3@example.org)", "Quota exceeded"}},
	{name: "a home that its user may not enter", user: 4, prepare: foreignHome,
		reply: "451 4.", log: []string{"user4@example.org", "ermission denied"}},
	{name: "a home whose parent is missing", user: 5, prepare: orphanHome,
		reply: "451 4.3.0 ", log: []string{"user5@example.org", "missing"}},
	{name: "a uid below first_valid_uid", user: 6, prepare: withIDs(499, 20006),
		reply: "451 4.3.0 ", log: []string{"user6@example.org", "first_valid_uid"}},
	{name: "uid 0", user: 7, prepare: withIDs(0, 20007),
		reply: "451 4.3.0 ", log: []string{"auth(user7@example.org)", "Error: ", "users:7: ", "uid 0 is not allowed"}},
	{name: "a user whom no line names", address: "nobody@example.org",
		reply: "550 5.1.1 ", log: []string{"lmtp(", "nobody@example.org"}},
}

func TestFailures(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	dir, users := someUsers(t, 8)
	lines := strings.SplitAfter(users.Passwd(), "\n")
	for _, f := range failures {
		if f.prepare != nil {
			if line := f.prepare(t, dir, users, f.user); line != "" {
				lines[f.user-1] = line + "\n"
			}
		}
	}
	c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), strings.Join(lines, ""), "quota_grace = \"0\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			address := f.address
			if address == "" {
				address = users.Name(f.user)
			}
			got, err := deliver(c.Socket, address, max(100, f.size))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got, f.reply) {
				t.Errorf("got reply %q, want %q...", got, f.reply)
			}
			line, err := c.AwaitLog(5*time.Second, f.log...)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s | %s", got, line)
		})
	}
}

// What is wrong with the users file is no user's fault: mail waits.
func TestUsersFileUnusable(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	for _, tt := range []struct {
		name string
		ruin func(path string) error
		log  string
	}{
		{"missing", os.Remove, "no such file"},
		{"a folder in its place", func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o755)
		}, "not a regular file"},
		{"unreadable for auth", func(p string) error { return os.Chmod(p, 0) }, "ermission denied"},
		{"without any line that can be read", func(p string) error { return os.WriteFile(p, []byte("\x00\xff\x00"), 0o644) }, "users"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, users := someUsers(t, 1)
			c, err := system.ConfigureCulver(filepath.Join(dir, "culver"), users.Passwd(), "")
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.ruin(c.Passwd); err != nil {
				t.Fatal(err)
			}
			if err := c.Start(false); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Stop() })
			got, err := deliver(c.Socket, users.Name(1), 100)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(got, "451 4.3.0 ") {
				t.Errorf("got %q, want 451 4.3.0", got)
			}
			line, err := c.AwaitLog(5*time.Second, c.Passwd, tt.log)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%s | %s", got, line)
		})
	}
}

// deliver sends one message to one address and returns the final reply: that to RCPT
// where it was refused, or the one after the dot.
func deliver(socket, address string, size int) (string, error) {
	s, err := mailtest.Dial(socket, func(string) {})
	if err != nil {
		return "", err
	}
	text := "Message-ID: <failure@test.example.net>\n\n" +
		strings.Repeat("This line is fifty bytes long with its line end.\n", size/50)
	replies, err := s.Deliver("sender@example.net", []string{address}, text)
	if err != nil {
		return "", err
	}
	return replies[0], nil
}

// entry is a user's line of the users file with some of it replaced.
func entry(u system.Users, user, uid, gid int, home, fields string) string {
	return fmt.Sprintf("%s:{PLAIN}pass:%d:%d::%s::%s", u.Name(user), uid, gid, home, fields)
}

func withField(f string) func(*testing.T, string, system.Users, int) string {
	return func(_ *testing.T, _ string, u system.Users, i int) string {
		return entry(u, i, u.UID(i), u.GID(i), u.HomeOf(i), f)
	}
}

func withIDs(uid, gid int) func(*testing.T, string, system.Users, int) string {
	return func(_ *testing.T, _ string, u system.Users, i int) string {
		return entry(u, i, uid, gid, u.HomeOf(i), "")
	}
}

// smallDisk mounts a file system of 128 KiB over the user's home.
func smallDisk(t *testing.T, _ string, u system.Users, i int) string {
	t.Helper()
	home := u.HomeOf(i)
	options := fmt.Sprintf("size=128k,mode=0700,uid=%d,gid=%d", u.UID(i), u.GID(i))
	if err := syscall.Mount("small", home, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(home, syscall.MNT_DETACH) })
	return ""
}

// foreignHome gives the home to another uid.
func foreignHome(t *testing.T, _ string, u system.Users, i int) string {
	t.Helper()
	if err := os.Chown(u.HomeOf(i), u.UID(i)+1000, u.GID(i)+1000); err != nil {
		t.Fatal(err)
	}
	return ""
}

// orphanHome is a home below a folder that does not exist: an unmounted disk.
func orphanHome(_ *testing.T, dir string, u system.Users, i int) string {
	return entry(u, i, u.UID(i), u.GID(i), filepath.Join(dir, "missing", "user5"), "")
}

// bareHome is a home without a Maildir, as useradd makes it.
func bareHome(t *testing.T, _ string, u system.Users, i int) string {
	t.Helper()
	if err := os.RemoveAll(u.Maildir(i)); err != nil {
		t.Fatal(err)
	}
	return ""
}
