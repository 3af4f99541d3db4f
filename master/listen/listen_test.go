package listen

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/mailtest"
	"culver/internal/settings"
)

// nobody leaves owner and group as they are.
var nobody = settings.Account{UID: -1, GID: -1}

func block(kind, path string, mode uint32) settings.Listener {
	return settings.Listener{Kind: kind, Name: filepath.Base(path), Path: path, Mode: mode, Owner: nobody}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode()
}

func TestUnixSocketHasItsModeAndAnswers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := Open(block("unix", path, 0640))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := mode(t, path), os.ModeSocket|0640; got != want {
		t.Errorf("mode: got %v, want %v", got, want)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Remove()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Remove: got %v, want no file", err)
	}
}

func TestUnixReplacesAStaleSocketOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	first, err := Open(block("unix", path, 0600))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(block("unix", path, 0600)); !errors.Is(err, ErrInUse) {
		t.Errorf("while the first lives: got %v, want %v", err, ErrInUse)
	}
	first.Close()
	second, err := Open(block("unix", path, 0600))
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	second.Close()
}

func TestUnixTouchesNothingThatIsNotASocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("mail"), 0600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{victim, link} {
		if l, err := Open(block("unix", path, 0666)); err == nil {
			l.Close()
			t.Errorf("%s: got a socket, want an error", path)
		}
	}
	if got, want := mode(t, victim), os.FileMode(0600); got != want {
		t.Errorf("victim's mode: got %v, want %v", got, want)
	}
}

func TestPresentSeesThatTheNameIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := Open(block("unix", path, 0600))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !l.Present() {
		t.Error("got not present, want present")
	}
	os.Remove(path)
	if l.Present() {
		t.Error("unlinked: got present, want not")
	}
}

func TestFIFONeverEnds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := Open(block("fifo", path, 0620))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := mode(t, path), os.ModeNamedPipe|0620; got != want {
		t.Errorf("mode: got %v, want %v", got, want)
	}
	var buf [1]byte
	if _, err := unix.Read(l.FD, buf[:]); err != unix.EAGAIN {
		t.Errorf("read without a writer: got %v, want %v", err, unix.EAGAIN)
	}
}

func TestInetListensOnEachAddress(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"127.0.0.1", "*"} {
		l, err := Open(settings.Listener{Kind: "inet", Name: "lmtp", Address: a})
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", l.Address())
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
	if _, err := Open(settings.Listener{Kind: "inet", Name: "lmtp", Address: "mail.example.org"}); err == nil {
		t.Error("a host name: got a listener, want an error")
	}
}

func TestRootUnixSocketHasItsOwner(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	path := filepath.Join(t.TempDir(), "lmtp")
	s := block("unix", path, 0660)
	s.Owner = settings.Account{UID: 20001, GID: 20002}
	l, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	owner := func() (uid, gid uint32) {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Uid, st.Gid
	}
	if uid, gid := owner(); uid != 20001 || gid != 20002 {
		t.Errorf("owner: got %d:%d, want 20001:20002", uid, gid)
	}
	s.Owner.UID = 20003
	if err := l.Adjust(s); err != nil {
		t.Fatal(err)
	}
	if uid, _ := owner(); uid != 20003 {
		t.Errorf("owner after Adjust: got %d, want 20003", uid)
	}
}
