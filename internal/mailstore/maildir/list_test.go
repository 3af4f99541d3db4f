package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// have makes mailboxes as other programs do: directories below the root. A name
// that ends with a slash is a directory without cur, one with @ a link, one with
// = a file.
func have(t testing.TB, s *Store, paths ...string) {
	t.Helper()
	for _, p := range append([]string{""}, paths...) {
		at := filepath.Join(s.c.Root, strings.TrimRight(p, "/@="))
		var err error
		switch {
		case strings.HasSuffix(p, "="):
			err = os.WriteFile(at, nil, 0o600)
		case strings.HasSuffix(p, "@"):
			err = os.Symlink(s.c.Root, at)
		case strings.HasSuffix(p, "/"):
			err = os.MkdirAll(at, 0o700)
		default:
			for _, sub := range []string{"cur", "new", "tmp"} {
				err = errors.Join(err, os.MkdirAll(filepath.Join(at, sub), 0o700))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// shown gives a listing in words: - has no mail of its own, ? does not exist yet.
func shown(list []Listed) string {
	var words []string
	for _, l := range list {
		mark := ""
		if l.NoSelect {
			mark += "-"
		}
		if l.Missing {
			mark += "?"
		}
		words = append(words, mark+l.Name)
	}
	return strings.Join(words, " ")
}

func TestList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		c     Config
		have  []string
		masks []string
		want  string
	}{
		{name: "the INBOX is there before any mail is", want: "INBOX"},
		{name: "parents come first, and those that are missing have no mail",
			have: []string{".b", ".a.b.c", ".a"}, want: "INBOX a -a.b a.b.c b"},
		{name: "names are UTF-8", have: []string{".&AMk-t&AOk-"}, want: "INBOX Été"},
		{name: "and so on disk where the location says so", c: Config{UTF8: true}, have: []string{".Été"}, want: "INBOX Été"},
		{name: "an auto folder is shown before it is made", c: Config{Auto: []AutoFolder{{Name: "Drafts"}, {Name: "Sent", Subscribe: true}}},
			have: []string{".Drafts"}, want: "INBOX Drafts ?Sent"},
		{name: "files, links, other directories and what is being removed are no folders",
			have: []string{".file=", ".link@", "other", "..DOVECOT-TRASHED", ".x"}, want: "INBOX x"},
		{name: "a directory without cur is a folder in Maildir++", have: []string{".x/"}, want: "INBOX x"},
		{name: "folders below INBOX", have: []string{".INBOX.x", ".INBOX"}, want: "INBOX INBOX.x"},
		{name: "prefix and separator", c: Config{Prefix: "Mail/", Separator: "/"}, have: []string{".a.b"}, want: "INBOX -Mail/a Mail/a/b"},
		{name: "a tree has levels without mail", c: Config{FS: true}, have: []string{"a/b", "c/", ".x", "dovecot.index", "DOVECOT-TRASHED/1"}, want: "INBOX -a a/b -c"},
		{name: "masks", have: []string{".a.b", ".c"}, masks: []string{"a*", "INB%"}, want: "INBOX -a a.b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, tt.c)
			have(t, s, tt.have...)
			got, err := s.List(tt.masks...)
			if err != nil || shown(got) != tt.want {
				t.Errorf("got %q, %v, want %q", shown(got), err, tt.want)
			}
		})
	}
}

func TestListOfADirectoryThatNoNameLeadsTo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    Config
		dir  string
	}{
		{"doubled separator", Config{}, ".a..b"},
		{"separator at the end", Config{}, ".a."},
		{"not modified UTF-7", Config{}, ".bad&name"},
		{"not UTF-8", Config{UTF8: true}, ".caf\xe9"},
		{"a dot that would be a separator", Config{FS: true, Separator: "."}, "a.b"},
		{"a control character", Config{UTF8: true}, ".a\x01b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			warned := ""
			c := tt.c
			c.Warn = func(text string) { warned += text }
			s := newStore(t, c)
			have(t, s, tt.dir)
			got, err := s.List()
			if err != nil || shown(got) != "INBOX" || !strings.Contains(warned, "is no mailbox") {
				t.Errorf("got %q, %v, warning %q, want INBOX alone and a warning", shown(got), err, warned)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	s := New(Config{Root: "/r"})
	for _, tt := range []struct {
		mask, name string
		want       bool
	}{
		{"*", "a.b", true},
		{"%", "a.b", false},
		{"%", "a", true},
		{"%.%", "a.b", true},
		{"a*", "ab.c", true},
		{"a%", "ab.c", false},
		{"%b", "a.b", false},
		{"*b", "a.b", true},
		{"a%c*", "abc.d", true},
		{"", "", true},
		{"", "a", false},
		{"Foo", "foo", false},
		{"inb*", "INBOX", true},
		{"inbox.sub", "INBOX.sub", true},
		{"inbox.SUB", "INBOX.sub", false},
		{"inb*", "INBOXES", false},
		{"***%%%", "a", true},
		{"été*", "été.x", true},
	} {
		if got := s.Match(tt.mask, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q): got %t, want %t", tt.mask, tt.name, got, tt.want)
		}
	}
	if hostile := strings.Repeat("*a", 2000); s.Match(hostile, strings.Repeat("a", 200)+"b") {
		t.Error("a hostile mask matched")
	}
	if _, err := s.List(strings.Repeat("*", maxMask+1)); !errors.Is(err, ErrName) {
		t.Errorf("a mask without end: got %v, want %v", err, ErrName)
	}
}

func TestSubscribed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, file string
		c          Config
		masks      []string
		want       string
	}{
		{name: "no file", want: ""},
		{name: "the new format", file: "V\t2\n\nLists\tGo\nINBOX\n&AMk-t&AOk-\n", want: "INBOX Lists.Go Été"},
		{name: "the old format", file: "Lists.Go\nINBOX\n", want: "INBOX Lists.Go"},
		{name: "the old format of a tree", c: Config{FS: true}, file: "Lists/Go\n", want: "Lists/Go"},
		{name: "a prefix", c: Config{Prefix: "INBOX."}, file: "V\t2\n\nLists\tGo\nINBOX\n", want: "INBOX INBOX.Lists.Go"},
		{name: "an auto folder needs no line", c: Config{Auto: []AutoFolder{{Name: "Sent", Subscribe: true}}}, want: "Sent"},
		{name: "masks", file: "V\t2\n\na\tb\nc\n", masks: []string{"%"}, want: "c"},
		{name: "lines that are no names are passed over", file: "V\t2\n\n..\n\t\na\t\tb\n\x01\nok\n", want: "ok"},
		{name: "the last line without its end", file: "V\t2\n\na\nb", want: "a b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, tt.c)
			have(t, s)
			if tt.file != "" {
				must(t, os.WriteFile(filepath.Join(s.c.Root, "subscriptions"), []byte(tt.file), 0o600))
			}
			got, err := s.Subscribed(tt.masks...)
			if names := shown(got); err != nil || names != tt.want {
				t.Errorf("got %q, %v, want %q", names, err, tt.want)
			}
		})
	}
}

func TestSubscribeAndUnsubscribe(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s)
	file := filepath.Join(s.c.Root, "subscriptions")
	must(t, os.WriteFile(file, []byte("Old.Name\n"), 0o600))
	must(t, s.Subscribe("Été"), s.Subscribe("inbox"), s.Subscribe("Été"), s.Unsubscribe("none"))
	if got, want := read(t, file), "V\t2\n\nOld\tName\n&AMk-t&AOk-\nINBOX\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, s.Unsubscribe("Été"), s.Unsubscribe("Old.Name"))
	if got, want := read(t, file), "V\t2\n\nINBOX\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range []string{"../x", "a..b", "", ".", "a\nb"} {
		if err := s.Subscribe(name); !errors.Is(err, ErrName) {
			t.Errorf("Subscribe(%q): got %v, want %v", name, err, ErrName)
		}
	}
	if left := entries(t, s.c.Root); slices.Contains(left, "subscriptions.lock") {
		t.Error("the lock was left behind")
	}
}

// FuzzMatch compares with the obvious recursion, on what that can finish.
func FuzzMatch(f *testing.F) {
	f.Add("a*%b", "a.b")
	f.Add("inb%", "INBOX")
	f.Add("%*%", "")
	f.Fuzz(func(t *testing.T, mask, name string) {
		if len(mask) > 12 || len(name) > 12 || strings.HasPrefix(name, "INBOX") {
			return
		}
		s := New(Config{Root: "/r"})
		if got, want := s.Match(mask, name), plainMatch(mask, name); got != want {
			t.Errorf("Match(%q, %q): got %t, want %t", mask, name, got, want)
		}
	})
}

func plainMatch(mask, name string) bool {
	switch {
	case mask == "":
		return name == ""
	case mask[0] == '*' || mask[0] == '%':
		return plainMatch(mask[1:], name) || name != "" && (mask[0] == '*' || name[0] != '.') && plainMatch(mask, name[1:])
	}
	return name != "" && mask[0] == name[0] && plainMatch(mask[1:], name[1:])
}

// FuzzSubscriptions: whatever the file says, every name that is read from it is
// one that can be taken out again.
func FuzzSubscriptions(f *testing.F) {
	f.Add("V\t2\n\nLists\tGo\nINBOX\n", false)
	f.Add("Lists.Go\n&AMk-\n", false)
	f.Add("a/b\n../x\n", true)
	f.Fuzz(func(t *testing.T, text string, fs bool) {
		s := New(Config{Root: "/r", FS: fs})
		for _, line := range s.subscriptions(text) {
			parts := strings.Split(line, "\t")
			for i := range parts {
				parts[i] = s.decode(parts[i])
			}
			if back, err := s.place(join(parts, s.c.Separator)); err == nil && strings.Contains(s.full(back), "..") && !fs {
				t.Fatalf("line %q is %q", line, s.full(back))
			}
		}
	})
}
