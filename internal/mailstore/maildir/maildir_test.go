package maildir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newStore makes a store in a temporary folder; warnings fail the test unless
// it takes them.
func newStore(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Root == "" {
		c.Root = filepath.Join(t.TempDir(), "Maildir")
	}
	if c.Host == "" {
		c.Host = "mx"
	}
	c.Make = true
	if c.Warn == nil {
		c.Warn = func(text string) { t.Errorf("warning: %s", text) }
	}
	s := New(c)
	t.Cleanup(s.Close)
	return s
}

func message(text string) Message {
	return Message{Head: []byte("Return-Path: <>\n"), Body: strings.NewReader(text), Size: int64(len(text))}
}

func inbox(t testing.TB, s *Store) *Folder {
	t.Helper()
	f, err := s.Inbox()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func read(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func entries(t testing.TB, path ...string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestSaveCountsBothSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, want string
		crlf             bool
		virtual          int64
	}{
		{"CRLF becomes LF", "a\r\nb\r\n", "a\nb\n", false, 6},
		{"bare LF stays and counts twice", "a\nb\n", "a\nb\n", false, 6},
		{"a lone CR stays", "a\rb\r", "a\rb\r", false, 4},
		{"CR CR LF keeps one CR, and a reader sees CRLF", "a\r\r\n", "a\r\n", false, 3},
		{"no line end at the end", "a\r\nb", "a\nb", false, 4},
		{"empty", "", "", false, 0},
		{"NUL and high bytes pass", "\x00\xff\r\n", "\x00\xff\n", false, 4},
		{"CRLF kept", "a\r\nb\n", "a\r\nb\r\n", true, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{CRLF: tt.crlf})
			f := inbox(t, s)
			m := message(tt.text)
			m.Head = nil
			got, err := f.Save(m)
			if err != nil {
				t.Fatal(err)
			}
			text := read(t, s.c.Root, "new", got.Name)
			if text != tt.want || got.Size != int64(len(tt.want)) || got.Virtual != tt.virtual {
				t.Errorf("got %q, S=%d, W=%d, want %q, W=%d", text, got.Size, got.Virtual, tt.want, tt.virtual)
			}
		})
	}
}

// TestSaveAtEveryCut lets a reader give the message in two pieces, cut at every
// place: line ends across the cut must come out the same.
func TestSaveAtEveryCut(t *testing.T) {
	t.Parallel()
	text := "\r\na\r\r\n\n\rb\r\nc\r"
	for cut := range len(text) + 1 {
		fd, err := unix.MemfdCreate("out", 0)
		if err != nil {
			t.Fatal(err)
		}
		w := lineWriter{fd: fd, buf: make([]byte, 0, 3)}
		for _, p := range []string{text[:cut], text[cut:]} {
			if err := w.add([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 64)
		n, _ := unix.Pread(fd, buf, 0)
		unix.Close(fd)
		if got := string(buf[:n]); got != "\na\r\n\n\rb\nc\r" || w.size != int64(n) || w.virtual != 13 {
			t.Errorf("cut at %d: got %q, S=%d, W=%d", cut, got, w.size, w.virtual)
		}
	}
}

func TestSaveMakesAPrivateMaildir(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	f := inbox(t, s)
	saved, err := f.Save(message("x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "cur": 0o700, "new": 0o700, "tmp": 0o700, "new/" + saved.Name: 0o600} {
		st, err := os.Lstat(filepath.Join(s.c.Root, path))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s: mode is %o, want %o", path, st.Mode().Perm(), want)
		}
	}
	if left := entries(t, s.c.Root, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

func TestSaveTakesTheMailboxsMode(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	if err := os.Mkdir(s.c.Root, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.c.Root, 0o750); err != nil {
		t.Fatal(err)
	}
	saved, err := inbox(t, s).Save(message("x\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Folder("Sub", Create{Always: true})
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for path, want := range map[string]os.FileMode{"new": 0o750, ".Sub": 0o750, ".Sub/cur": 0o750, ".Sub/maildirfolder": 0o640, "new/" + saved.Name: 0o640} {
		st, err := os.Lstat(filepath.Join(s.c.Root, path))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s: mode is %o, want %o", path, st.Mode().Perm(), want)
		}
	}
}

func TestNamesAreUniqueAndShort(t *testing.T) {
	t.Parallel()
	stopped := time.Unix(1795451176, 482366000)
	s := newStore(t, Config{Host: "a/b:c,d\n" + strings.Repeat("x", 300), Now: func() time.Time { return stopped }})
	seen := map[string]bool{}
	for range 1000 {
		name := s.uniqueName()
		if seen[name] {
			t.Fatalf("%s comes twice", name)
		}
		seen[name] = true
		if full := sizedName(name, 1<<62, 1<<62); len(full) > 200 || strings.ContainsAny(name, "/:,\n") || name[0] == '.' {
			t.Fatalf("bad name %q of %d bytes", full, len(full))
		}
	}
}

func TestSaveNeverReplaces(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	f := inbox(t, s)
	// A message that has our next name already.
	base := "1.M1P1Q1.mx"
	taken := filepath.Join(s.c.Root, "new", sizedName(base, 5, 5))
	if err := os.WriteFile(taken, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(s.c.Root, "tmp", base)
	if err := os.WriteFile(mine, []byte("mine!"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(mine, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	name, err := f.publish(fd, base, 5, 5)
	if err != nil {
		t.Fatal(err)
	}
	if read(t, taken) != "other" || read(t, s.c.Root, "new", name) != "mine!" {
		t.Error("the message that was there is gone")
	}
}

func TestMissingHome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, home string
		make, want bool
	}{
		{"is made where its parent exists", "bob", true, true},
		{"not deeper", "x/bob", true, false},
		{"nor where nobody said so", "bob", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			home := filepath.Join(dir, tt.home)
			s := New(Config{Home: home, Root: home + "/Maildir", Make: tt.make})
			defer s.Close()
			f, err := s.Inbox()
			if (err == nil) != tt.want {
				t.Errorf("got %v", err)
			}
			if err == nil {
				f.Close()
			} else if got := entries(t, dir); len(got) != 0 {
				t.Errorf("made %q", got)
			}
		})
	}
}

func TestHostileDirectories(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		prep func(t *testing.T, root, outside string)
		want error // nil: the mail is saved
	}{
		{"new is a symlink", func(t *testing.T, root, outside string) {
			must(t, os.Mkdir(root+"/tmp", 0o700), os.Symlink(outside, root+"/new"))
		}, ErrDenied},
		{"tmp is a symlink", func(t *testing.T, root, outside string) {
			must(t, os.Symlink(outside, root+"/tmp"))
		}, ErrDenied},
		{"tmp is a FIFO", func(t *testing.T, root, _ string) { must(t, syscall.Mkfifo(root+"/tmp", 0o600)) }, ErrDenied},
		{"new is a file", func(t *testing.T, root, _ string) {
			must(t, os.Mkdir(root+"/tmp", 0o700), os.WriteFile(root+"/new", nil, 0o600))
		}, ErrDenied},
		{"the root is a symlink", func(t *testing.T, root, outside string) {
			must(t, os.Remove(root), os.Symlink(outside, root))
		}, ErrDenied},
		{"the root is a FIFO", func(t *testing.T, root, _ string) {
			must(t, os.Remove(root), syscall.Mkfifo(root, 0o600))
		}, ErrDenied},
		{"maildirsize is a FIFO", func(t *testing.T, root, _ string) { must(t, syscall.Mkfifo(root+"/maildirsize", 0o600)) }, nil},
		{"maildirsize is a symlink", func(t *testing.T, root, outside string) {
			must(t, os.Symlink(outside+"/victim", root+"/maildirsize"))
		}, nil},
		{"maildirsize is a hard link", func(t *testing.T, root, outside string) {
			must(t, os.Link(outside+"/victim", root+"/maildirsize"))
		}, nil},
		{"maildirsize is a directory", func(t *testing.T, root, _ string) { must(t, os.Mkdir(root+"/maildirsize", 0o700)) }, nil},
		{"maildirsize is garbage", func(t *testing.T, root, _ string) {
			must(t, os.WriteFile(root+"/maildirsize", bytes.Repeat([]byte{0xff, 0}, 1<<20), 0o600))
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			root, outside := dir+"/Maildir", dir+"/outside"
			must(t, os.Mkdir(root, 0o700), os.Mkdir(outside, 0o700), os.WriteFile(outside+"/victim", []byte("1S\n1 1\n"), 0o600))
			tt.prep(t, root, outside)
			q, err := ParseQuota([]string{"*:storage=1G"}, "10%")
			must(t, err)
			s := newStore(t, Config{Root: root, Quota: q, Warn: func(string) {}})
			f, err := s.Inbox()
			if err == nil {
				defer f.Close()
				_, err = f.Save(message("x\r\n"))
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if got := entries(t, outside); len(got) != 1 || read(t, outside, "victim") != "1S\n1 1\n" {
				t.Errorf("outside was touched: %q, %q", got, read(t, outside, "victim"))
			}
		})
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOnDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		c      Config
		folder string
		path   string // "" when the name is refused
	}{
		{"plain", Config{}, "Lists", ".Lists"},
		{"levels", Config{}, "Lists.Go", ".Lists.Go"},
		{"mUTF-7", Config{}, "Été & Co", ".&AMk-t&AOk- &- Co"},
		{"beyond 16 bits", Config{}, "💌", ".&2D3cjA-"},
		{"UTF-8", Config{UTF8: true}, "Été", ".Été"},
		{"the namespace's separator", Config{Separator: "/"}, "a/b", ".a.b"},
		{"a dot where another separator is", Config{Separator: "/"}, "a.b", ""},
		{"a slash where a dot separates", Config{}, "a/b", ""},
		{"fs", Config{FS: true}, "a/b", "a/b"},
		{"fs with dots", Config{FS: true}, "a.b", "a.b"},
		{"fs climbs", Config{FS: true}, "../b", ""},
		{"fs hidden", Config{FS: true}, ".b", ""},
		{"fs reserved", Config{FS: true}, "a/cur", ""},
		{"fs Dovecot's files", Config{FS: true}, "dovecot-uidlist", ""},
		{"leading", Config{}, ".a", ""},
		{"trailing", Config{}, "a.", ""},
		{"doubled", Config{}, "a..b", ""},
		{"control", Config{}, "a\nb", ""},
		{"not UTF-8", Config{}, "a\xff", ""},
		{"long", Config{}, strings.Repeat("a", 201), ""},
		{"long on disk only", Config{}, strings.Repeat("é", 90), ""},
		{"deep", Config{}, strings.Repeat("a.", 16) + "a", ""},
		{"a pattern is not made", Config{}, "a*", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, tt.c)
			f, err := s.Folder(tt.folder, Create{Always: true})
			if tt.path == "" {
				if !errors.Is(err, ErrName) && !errors.Is(err, ErrNoFolder) {
					t.Errorf("got %v, want a refusal", err)
				}
				return
			}
			must(t, err)
			defer f.Close()
			if _, err := f.Save(message("x\r\n")); err != nil {
				t.Fatal(err)
			}
			if got := entries(t, s.c.Root, tt.path, "new"); len(got) != 1 {
				t.Errorf("got %q in %s", got, tt.path)
			}
			_, err = os.Stat(filepath.Join(s.c.Root, tt.path, "maildirfolder"))
			if marked := err == nil; marked == tt.c.FS {
				t.Errorf("maildirfolder: got %v", marked)
			}
		})
	}
}

func TestFolderThatIsMissing(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	if _, err := s.Folder("Nope", Create{}); !errors.Is(err, ErrNoFolder) {
		t.Errorf("got %v, want ErrNoFolder", err)
	}
	must(t, os.MkdirAll(filepath.Join(s.c.Root, ".Level"), 0o700), os.MkdirAll(filepath.Join(s.c.Root, ".Half", "cur"), 0o700))
	// A directory is a folder whatever it lacks, as Dovecot 2.3.19 has it.
	if f, err := s.Folder("Level", Create{}); err != nil {
		t.Errorf("a directory without cur: %v", err)
	} else {
		f.Close()
	}
	tree := newStore(t, Config{FS: true})
	must(t, os.MkdirAll(filepath.Join(tree.c.Root, "Level"), 0o700))
	if _, err := tree.Folder("Level", Create{}); !errors.Is(err, ErrNoFolder) {
		t.Errorf("a level of a tree without cur: got %v, want ErrNoFolder", err)
	}
	if f, err := s.Folder("Half", Create{}); err != nil {
		t.Errorf("only cur: %v", err)
	} else {
		f.Close()
	}
	if f, err := s.Folder("inbox", Create{}); err != nil || f.Name != "INBOX" {
		t.Errorf("inbox: got %v, %v", f, err)
	}
}

func TestAutoFoldersComeWithTheInbox(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{Prefix: "INBOX.", Auto: []AutoFolder{{"Trash", false}, {"Lists.Été", true}}})
	inbox(t, s)
	for _, want := range []string{".Trash/cur", ".Lists.&AMk-t&AOk-/cur"} {
		if _, err := os.Stat(filepath.Join(s.c.Root, want)); err != nil {
			t.Error(err)
		}
	}
	if got, want := read(t, s.c.Root, "subscriptions"), "V\t2\n\nLists\t&AMk-t&AOk-\n"; got != want {
		t.Errorf("subscriptions: got %q, want %q", got, want)
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, old, want string }{
		{"a new file", "", "V\t2\n\nA\tB\n"},
		{"added", "V\t2\n\nZ\n", "V\t2\n\nZ\nA\tB\n"},
		{"already there", "V\t2\n\nA\tB\n", "V\t2\n\nA\tB\n"},
		{"the old format is converted", "Z.Y\n&AMk-\n", "V\t2\n\nZ\tY\n&AMk-\nA\tB\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{})
			inbox(t, s)
			path := filepath.Join(s.c.Root, "subscriptions")
			if tt.old != "" {
				must(t, os.WriteFile(path, []byte(tt.old), 0o600))
			}
			must(t, s.subscribe([]string{"A", "B"}))
			if got := read(t, path); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if _, err := os.Stat(path + ".lock"); err == nil {
				t.Error("the lock is left")
			}
		})
	}
}

func TestSubscribeTakesOverAnAbandonedLock(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	inbox(t, s)
	lock := filepath.Join(s.c.Root, "subscriptions.lock")
	old := time.Now().Add(-3 * time.Minute)
	must(t, os.WriteFile(lock, nil, 0o600), os.Chtimes(lock, old, old))
	must(t, s.subscribe([]string{"A"}))
}

func TestTidyRemovesAbandonedFiles(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(8 * 24 * time.Hour)
	for _, tt := range []struct {
		name   string
		scan   time.Duration
		remove bool
	}{
		{"after the interval", 7 * 24 * time.Hour, true},
		{"not before", 9 * 24 * time.Hour, false},
		{"never", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{TempScan: tt.scan, Now: func() time.Time { return later }})
			f := inbox(t, s)
			must(t, os.WriteFile(filepath.Join(s.c.Root, "tmp", "old"), nil, 0o600))
			f.Tidy()
			if got := entries(t, s.c.Root, "tmp"); (len(got) == 0) != tt.remove {
				t.Errorf("got %q", got)
			}
		})
	}
}

func BenchmarkSave(b *testing.B) {
	s := newStore(b, Config{})
	f := inbox(b, s)
	text := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := f.Save(message(text)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLines is the copy loop alone, without a disk.
func BenchmarkLines(b *testing.B) {
	fd, err := unix.Open("/dev/null", unix.O_WRONLY, 0)
	must(b, err)
	defer unix.Close(fd)
	text := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1<<20/72)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := copyMessage(fd, message(text), false); err != nil {
			b.Fatal(err)
		}
	}
}
