package script

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
)

// scratch is a folder of the test's that every uid may pass through.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := mailtest.Scratch("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// deliver sends one message to alice over a session and wants it saved.
func deliver(t *testing.T, s *mailtest.Session) {
	t.Helper()
	replies, err := s.Deliver("sender@example.org", []string{"alice"}, message)
	if err == nil {
		err = match(replies, []string{"250 2.0.0 "})
	}
	if err != nil {
		t.Error(err)
	}
}

// The whole system as an ordinary user: the same programs and the same stories, all
// under one uid, and boxes all the same.
func TestRootStoriesOfAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	setpriv := mailtest.NeedProgram(t, "setpriv", "util-linux")
	const uid = "23001"
	// The tree may lie where only root can go.
	tree := scratch(t)
	for _, pattern := range []string{"go.mod", "conf.d/*", "bin/*", "bin/test/standin", "test/script/*.txt"} {
		files, err := filepath.Glob(filepath.Join(mailtest.Repository(), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s (%v): make build comes first", pattern, err)
		}
		for _, from := range files {
			place(t, from, filepath.Join(tree, strings.TrimPrefix(from, mailtest.Repository())))
		}
	}
	dir := filepath.Join(tree, "test", "script")
	place(t, os.Args[0], filepath.Join(dir, "stories"))
	const stories = "deliver|doveadm|thief|service-count|spares|listeners|term-in-data|reproxy-alone"
	cmd := exec.Command(setpriv, "--reuid="+uid, "--regid="+uid, "--clear-groups",
		"./stories", "-test.v", "-test.run=^TestScripts$/^("+stories+")$")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range strings.Split(stories, "|") {
		if !strings.Contains(string(out), "--- PASS: TestScripts/"+name+" ") {
			t.Errorf("the story %s did not pass: %s", name, out)
		}
	}
}

// place gives a file another name, its folder included.
func place(t *testing.T, from, to string) {
	t.Helper()
	if info, err := os.Stat(from); err != nil || info.IsDir() {
		return
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mailtest.PlaceProgram(from, to); err != nil {
		t.Fatal(err)
	}
}

// The system logger gets the lines with facility, level and the name of who speaks.
// /dev/log is the machine's: the system runs where /dev is a folder of ours.
func TestRootSyslog(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	unshare := mailtest.NeedProgram(t, "unshare", "util-linux")
	dir := scratch(t)
	dev := filepath.Join(dir, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dev, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(filepath.Join(dev, "log"), 0o666); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		for buf := make([]byte, 8192); ; {
			n, err := l.Read(buf)
			if err != nil {
				close(lines)
				return
			}
			lines <- string(buf[:n])
		}
	}()
	c, err := mailtest.Prepare(mailtest.Options{Dir: filepath.Join(dir, "system"), Names: []string{"alice"}, FirstUID: firstUID,
		Extra: "log_path = syslog\nsyslog_facility = local3\n"})
	if err != nil {
		t.Fatal(err)
	}
	const inside = `set -e
for n in null zero random urandom; do : >"$0/$n"; mount --bind "/dev/$n" "$0/$n"; done
mount --rbind "$0" /dev
exec "$@"`
	if err := c.Start(false, unshare, "--mount", "sh", "-c", inside, dev); err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	s, err := mailtest.Dial(c.Socket, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, s)
	const local3Info = 19<<3 | 6
	end := time.After(patience)
	for {
		select {
		case line := <-lines:
			if strings.Contains(line, "lmtp(alice)<") && strings.Contains(line, "saved mail to INBOX") {
				if want := "<" + strconv.Itoa(local3Info) + ">"; !strings.HasPrefix(line, want) {
					t.Errorf("got %q, want %s at its beginning", line, want)
				}
				t.Log(line)
				return
			}
		case <-end:
			t.Fatalf("no line about the delivery came\n%s", c.Trouble())
		}
	}
}
