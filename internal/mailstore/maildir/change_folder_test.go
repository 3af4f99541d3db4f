package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mail puts a message into a folder, as a delivery does.
func mail(t testing.TB, s *Store, dir, sub string) {
	t.Helper()
	name := s.uniqueName() + ",S=10,W=12"
	if sub == "cur" {
		name += ":2,S"
	}
	must(t, os.WriteFile(filepath.Join(s.c.Root, dir, sub, name), []byte("0123456789"), 0o600))
}

func (s *Store) remove(name string, onlyEmpty bool) error {
	_, err := s.Delete(name, onlyEmpty)
	return err
}

// tree lists what is below the root, without what the INBOX and Dovecot need.
func tree(t testing.TB, s *Store) string {
	t.Helper()
	var found []string
	for _, e := range entries(t, s.c.Root) {
		switch {
		case e == "cur" || e == "new" || e == "tmp" || strings.HasPrefix(e, "dovecot-") || e == "maildirsize" || e == "subscriptions":
		case s.c.FS:
			filepath.Walk(filepath.Join(s.c.Root, e), func(path string, info os.FileInfo, err error) error {
				if rel, _ := filepath.Rel(s.c.Root, path); info.IsDir() && filepath.Base(path) != "new" && filepath.Base(path) != "tmp" {
					found = append(found, rel)
				}
				return err
			})
		default:
			found = append(found, e)
		}
	}
	return strings.Join(found, " ")
}

func TestChangeFolders(t *testing.T) {
	t.Parallel()
	create := func(name string) func(*Store) error {
		return func(s *Store) error { return s.Create(name, NewFolder{}) }
	}
	remove := func(name string) func(*Store) error { return func(s *Store) error { return s.remove(name, false) } }
	rename := func(from, to string) func(*Store) error { return func(s *Store) error { return s.Rename(from, to) } }
	fs, prefixed := Config{FS: true}, Config{Prefix: "INBOX."}
	for _, tt := range []struct {
		name string
		c    Config
		have []string
		do   func(*Store) error
		is   error
		says string
		want string
	}{
		{name: "create", do: create("Été.x"), want: ".&AMk-t&AOk-.x"},
		{name: "create with the separator at the end", do: create("a."), want: ".a"},
		{name: "create what is there", have: []string{".a"}, do: create("a"), is: ErrExists, says: "Mailbox already exists", want: ".a"},
		{name: "create the INBOX", do: create("inbox"), is: ErrExists},
		{name: "create below INBOX", do: create("inbox.x"), want: ".INBOX.x"},
		{name: "create a way out", do: create("../x"), is: ErrName, says: "Invalid mailbox name: Begins with hierarchy separator"},
		{name: "create with a slash", do: create("a/../../x"), is: ErrName},
		{name: "create with a doubled separator", do: create("a..b"), is: ErrName, says: "Invalid mailbox name: Has adjacent hierarchy separators"},
		{name: "create nothing", do: create(""), is: ErrName},
		{name: "create the separator", do: create("."), is: ErrName},
		{name: "create a mask", do: create("a*"), is: ErrName},
		{name: "create a long name", do: create(strings.Repeat("é", 100)), is: ErrName},
		{name: "create a control character", do: create("a\rb"), is: ErrName},
		{name: "create outside the prefix", c: prefixed, do: create("x"), is: ErrOutside},
		{name: "create inside the prefix", c: prefixed, do: create("INBOX.x"), want: ".x"},
		{name: "create the prefix", c: prefixed, do: create("INBOX."), is: ErrName},
		{name: "create in a tree", c: fs, do: create("a/b"), want: "a a/b a/b/cur"},
		{name: "create a level above others", c: fs, have: []string{"a/b"}, do: create("a"), want: "a a/b a/b/cur a/cur"},
		{name: "create a level alone", c: fs, do: create("a/"), want: "a"},
		{name: "create what is there in a tree", c: fs, have: []string{"a"}, do: create("a"), is: ErrExists, want: "a a/cur"},
		{name: "create a reserved name", c: fs, do: create("a/cur"), is: ErrName, says: "Invalid mailbox name: Contains reserved name"},
		{name: "create a way out of a tree", c: fs, do: create("a/../x"), is: ErrName, says: "Invalid mailbox name: Contains '..' part"},
		{name: "create below a link", c: fs, have: []string{"a@"}, do: create("a/b"), is: ErrDenied, want: ""},

		{name: "delete", have: []string{".a", ".a.b"}, do: remove("a"), want: ".a.b"},
		{name: "delete what is not there", have: []string{".a.b"}, do: remove("a"), is: ErrNoFolder, says: "Mailbox doesn't exist: a", want: ".a.b"},
		{name: "delete the INBOX", do: remove("INBOX"), is: ErrFolder, says: "INBOX can't be deleted."},
		{name: "delete a link", have: []string{".a@"}, do: remove("a"), is: ErrDenied, want: ".a"},
		{name: "delete a way out", do: remove("../x"), is: ErrName},
		{name: "delete in a tree keeps what is below", c: fs, have: []string{"a", "a/b"}, do: remove("a"), want: "a a/b a/b/cur"},
		{name: "delete in a tree keeps the level above", c: fs, have: []string{"a/b"}, do: remove("a/b"), want: "a"},
		{name: "delete a level", c: fs, have: []string{"a/"}, do: remove("a"), want: ""},
		{name: "delete a level above others", c: fs, have: []string{"a/b"}, do: remove("a"), is: ErrFolder, says: "Mailbox has children, delete them first", want: "a a/b a/b/cur"},

		{name: "rename with those below", have: []string{".a", ".a.b", ".ab"}, do: rename("a", "x.y"), want: ".ab .x.y .x.y.b"},
		{name: "rename a level without mail", have: []string{".a.b"}, do: rename("a", "x"), want: ".x.b"},
		{name: "rename below itself", have: []string{".a", ".a.b", ".a.x"}, do: rename("a", "a.x"), want: ".a.x .a.x.b .a.x.x"},
		{name: "rename what is not there", do: rename("a", "b"), is: ErrNoFolder, says: "Mailbox doesn't exist: a"},
		{name: "rename onto another", have: []string{".a", ".b"}, do: rename("a", "b"), is: ErrExists, says: "Target mailbox already exists", want: ".a .b"},
		{name: "rename where one below is in the way", have: []string{".a", ".a.x", ".b.x"}, do: rename("a", "b"), is: ErrExists, want: ".a .a.x .b.x"},
		{name: "rename to itself", have: []string{".a"}, do: rename("a", "a"), is: ErrFolder, says: "Can't rename mailbox to itself.", want: ".a"},
		{name: "rename the INBOX", do: rename("INBOX", "a"), is: ErrFolder, says: "Renaming INBOX isn't supported."},
		{name: "rename to the INBOX", have: []string{".a"}, do: rename("a", "INBOX"), is: ErrExists, want: ".a"},
		{name: "rename out", have: []string{".a"}, do: rename("a", "../a"), is: ErrName, want: ".a"},
		{name: "rename until a name below is too long", have: []string{".a", ".a." + strings.Repeat("b", 150)}, do: rename("a", strings.Repeat("c", 60)), is: ErrName, want: ".a .a." + strings.Repeat("b", 150)},
		{name: "rename in a tree", c: fs, have: []string{"a/b", "a/b/c"}, do: rename("a/b", "x/y"), want: "x x/y x/y/c x/y/c/cur x/y/cur"},
		{name: "rename in a tree onto another", c: fs, have: []string{"a", "b"}, do: rename("a", "b"), is: ErrExists, want: "a a/cur b b/cur"},
		{name: "rename in a tree below itself", c: fs, have: []string{"a"}, do: rename("a", "a/b"), is: ErrFolder, want: "a a/cur"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, tt.c)
			have(t, s, tt.have...)
			err := tt.do(s)
			if !errors.Is(err, tt.is) || tt.is == nil && err != nil || tt.says != "" && err.Error() != tt.says {
				t.Errorf("got error %v, want %v %q", err, tt.is, tt.says)
			}
			if got := tree(t, s); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestCreateMarksAndSubscribes(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s)
	must(t, s.Create("a.b", NewFolder{Subscribe: true}))
	read(t, s.c.Root, ".a.b", "maildirfolder")
	if got, want := read(t, s.c.Root, "subscriptions"), "V\t2\n\na\tb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeleteOnlyIfEmpty(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    Config
		dir  string
		mail string
		is   error
	}{
		{"nothing in it", Config{}, ".a", "", nil},
		{"new mail", Config{}, ".a", "new", ErrNotEmpty},
		{"read mail", Config{}, ".a", "cur", ErrNotEmpty},
		{"a delivery that is not done is no mail", Config{}, ".a", "tmp", nil},
		{"read mail in a tree", Config{FS: true}, "a", "cur", ErrNotEmpty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, tt.c)
			have(t, s, tt.dir)
			if tt.mail != "" {
				mail(t, s, tt.dir, tt.mail)
			}
			if err := s.remove("a", true); !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
			if _, err := os.Stat(filepath.Join(s.c.Root, tt.dir, "cur")); (err == nil) != (tt.is != nil) {
				t.Errorf("the folder: %v", err)
			}
		})
	}
}

// A message comes between the look and the removal: the folder is put back with
// it, whole.
func TestDeleteIfEmptyMeetsADelivery(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {FS: true}} {
		s := newStore(t, c)
		parts := []string{"a"}
		have(t, s, s.onDisk(parts)[0])
		root, err := s.rootDir()
		must(t, err)
		at, name, err := s.above(root, parts)
		must(t, err)
		defer unix.Close(at)
		dir, err := openDir(at, name)
		must(t, err)
		defer unix.Close(dir)
		mail(t, s, name, "cur")
		r := removal{s: s, root: root, parts: parts, onlyEmpty: true}
		if err := r.trash(at, name, dir); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("got %v, want %v", err, ErrNotEmpty)
		}
		if n := len(entries(t, s.c.Root, name, "cur")); n != 1 {
			t.Errorf("%d messages are left, want 1", n)
		}
		for _, sub := range []string{"new", "tmp"} {
			entries(t, s.c.Root, name, sub)
		}
	}
}

// Whoever makes the folder again in that moment gets the mail.
func TestDeleteIfEmptyMeetsANewFolder(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {FS: true}} {
		s := newStore(t, c)
		parts := []string{"a"}
		name := s.onDisk(parts)[0]
		have(t, s, "box", "box/sub", name)
		mail(t, s, "box", "new")
		mail(t, s, "box", "cur")
		mail(t, s, name, "new")
		root, err := s.rootDir()
		must(t, err)
		dir, err := openDir(root, name)
		must(t, err)
		defer unix.Close(dir)
		r := removal{s: s, root: root, parts: parts, onlyEmpty: true}
		must(t, r.putBack(root, "box", root, name, dir))
		if n, c := len(entries(t, s.c.Root, name, "new")), len(entries(t, s.c.Root, name, "cur")); n != 2 || c != 1 {
			t.Errorf("%d and %d messages, want 2 and 1", n, c)
		}
	}
}

// Deliveries and removals of an empty folder at the same time: what was
// acknowledged is there.
func TestDeleteIfEmptyBesideDeliveries(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{NoSync: true}, {NoSync: true, FS: true}} {
		c.Root = filepath.Join(t.TempDir(), "Maildir")
		s := newStore(t, c)
		have(t, s)
		for range 50 {
			must(t, s.Create("a", NewFolder{}))
			saved := make(chan bool)
			go func() {
				d := New(c) // a Store of its own
				defer d.Close()
				f, err := d.Folder("a", Create{Always: true})
				if err == nil {
					defer f.Close()
					_, err = f.Save(message("x\n"))
				}
				saved <- err == nil
			}()
			gone := s.remove("a", true)
			if got := <-saved; got {
				m, err := s.Open("a")
				must(t, err)
				if m.Len() != 1 {
					t.Fatalf("%d messages of 1, after %v", m.Len(), gone)
				}
				m.Close()
			}
			if err := s.remove("a", false); err != nil && !errors.Is(err, ErrNoFolder) {
				t.Fatal(err)
			}
		}
	}
}

// A delivery has the folder open when it is removed: it must fail, so that the
// mail comes again.
func TestDeliveryIntoARemovedFolder(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s, ".a")
	f, err := s.Folder("a", Create{})
	must(t, err)
	defer f.Close()
	must(t, s.remove("a", false))
	if _, err := f.Save(message("x\n")); err == nil {
		t.Error("the message was acknowledged")
	}
}

func TestDeleteKeepsTheQuota(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:bytes=1000"}, "")
	must(t, err)
	s := newStore(t, Config{Quota: q})
	have(t, s, ".a", ".b")
	mail(t, s, ".a", "new")
	mail(t, s, ".a", "cur")
	mail(t, s, ".b", "cur")
	if got, err := s.Usage(); err != nil || got != (QuotaState{30, 3, 1000, 0}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if n, err := s.Delete("a", false); n != 2 || err != nil {
		t.Errorf("removed %d messages, %v, want 2", n, err)
	}
	if got, want := read(t, s.c.Root, "maildirsize"), "1000S\n30 3\n-20 -2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	mail(t, s, ".b", "cur") // by a program that does not count
	must(t, s.Recount())
	if got, want := read(t, s.c.Root, "maildirsize"), "1000S\n20 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUsageWithoutLimits(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{Quota: &Quota{}})
	have(t, s)
	mail(t, s, "", "cur")
	if got, err := s.Usage(); err != nil || got != (QuotaState{Bytes: 10, Messages: 1}) {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, s.Recount())
	if got := tree(t, s); got != "" {
		t.Errorf("made %q", got)
	}
	none := newStore(t, Config{})
	if _, err := none.Usage(); !errors.Is(err, ErrNoQuota) {
		t.Errorf("got %v, want %v", err, ErrNoQuota)
	}
}

// What a crash left is taken away by the next removal, once its owner must be
// gone; what another program is still busy with stays.
func TestDeleteClearsTheTrash(t *testing.T) {
	t.Parallel()
	late := false
	s := newStore(t, Config{Now: func() time.Time {
		if late {
			return time.Now().Add(2 * trashStale)
		}
		return time.Now()
	}})
	have(t, s, "..DOVECOT-TRASHED/left", ".a", ".b")
	must(t, s.remove("a", false))
	entries(t, s.c.Root, "..DOVECOT-TRASHED", "left")
	late = true
	must(t, s.remove("b", false))
	if got := tree(t, s); got != "" {
		t.Errorf("left %q", got)
	}
}

// The user may have filled the folder with anything.
func TestDeleteFollowsNoLink(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s, ".a", ".b", ".a/deep/er")
	mail(t, s, ".b", "cur")
	a := filepath.Join(s.c.Root, ".a")
	must(t, os.Symlink(filepath.Join(s.c.Root, ".b"), filepath.Join(a, "link")),
		os.Symlink(filepath.Join(s.c.Root, ".b", "cur"), filepath.Join(a, "cur", "link")),
		os.Symlink("/", filepath.Join(a, "deep", "er", "root")),
		syscall.Mkfifo(filepath.Join(a, "fifo"), 0o600),
		os.Mkdir(filepath.Join(a, "closed"), 0))
	must(t, s.remove("a", false))
	if got := len(entries(t, s.c.Root, ".b", "cur")); got != 1 || tree(t, s) != ".b" {
		t.Errorf("left %d messages and %q", got, tree(t, s))
	}
}

func TestDeleteOfATreeWithoutEnd(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s, ".a", ".a/"+strings.Repeat("x/", 2*maxDepth))
	if err := s.remove("a", false); err == nil {
		t.Error("removed what it cannot have descended into")
	}
	if got := tree(t, s); got != "..DOVECOT-TRASHED" {
		t.Errorf("left %q", got)
	}
}

// What Dovecot keeps apart of a folder goes with it.
func TestMirrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fs           bool
		a, b, inside string
	}{
		{false, ".a", ".b", ".b.x"},
		{true, "a", "b", "b/x"},
	} {
		top := t.TempDir()
		c := Config{FS: tt.fs, Root: top + "/mail", Control: top + "/control", Index: top + "/index"}
		s := newStore(t, c)
		sep := s.c.Separator
		have(t, s, tt.a, strings.Replace(tt.inside, "b", "a", 1))
		for _, m := range []string{"/control/", "/index/"} {
			for _, f := range []string{tt.a, strings.Replace(tt.inside, "b", "a", 1)} {
				must(t, os.MkdirAll(top+m+f, 0o700), os.WriteFile(top+m+f+"/dovecot-uidlist", []byte("x"), 0o600))
			}
		}
		must(t, s.Rename("a", "b"))
		for _, m := range []string{"/control/", "/index/"} {
			read(t, top+m+tt.b, "dovecot-uidlist")
			read(t, top+m+tt.inside, "dovecot-uidlist")
		}
		must(t, s.remove("b", false))
		for _, m := range []string{"/control/", "/index/"} {
			if _, err := os.Stat(top + m + tt.b + "/dovecot-uidlist"); err == nil {
				t.Errorf("%s%s is still there", m, tt.b)
			}
			read(t, top+m+tt.inside, "dovecot-uidlist")
		}
		must(t, s.remove("b"+sep+"x", false))
	}
}
