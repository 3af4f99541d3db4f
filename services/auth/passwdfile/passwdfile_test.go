package passwdfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/maillog/logline"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		want     *Line
	}{
		{"all columns", "bob:{X}y:500:501:Bob B:/home/bob:/bin/sh:a=1 userdb_b c=d:e", &Line{Name: "bob", Password: "{X}y", UID: "500", GID: "501", Home: "/home/bob", Extras: []string{"a=1", "userdb_b", "c=d:e"}}},
		{"comment", "# bob:x", nil},
		{"empty", "", nil},
		{"no name", ":x:1:1::/", nil},
		{"a CR line end", "bob:x:1:2::/h::a=1\r", &Line{Name: "bob", Password: "x", UID: "1", GID: "2", Home: "/h", Extras: []string{"a=1"}}},
		{"only a name", "bob", &Line{Name: "bob"}},
		{"only a password", "bob:x", &Line{Name: "bob", Password: "x"}},
		{"ids left out", "bob:x::", &Line{Name: "bob", Password: "x"}},
		{"legacy mail column", "bob:x:1:2::/h:/bin/sh::maildir:~/x", &Line{Name: "bob", Password: "x", UID: "1", GID: "2", Home: "/h", Extras: []string{"userdb_mail=maildir:~/x"}}},
		{"several spaces between extras", "bob:x:1:2::/h::  a=1   b ", &Line{Name: "bob", Password: "x", UID: "1", GID: "2", Home: "/h", Extras: []string{"a=1", "b"}}},
		{"a # later is no comment", "bob:#x:1:2", &Line{Name: "bob", Password: "#x", UID: "1", GID: "2"}},
	} {
		if tt.want != nil {
			tt.want.Text = strings.TrimSuffix(tt.in, "\r")
		}
		got := ParseLine(tt.in)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// bench is a File with a clock of its own.
type bench struct {
	*File
	t    *testing.T
	time time.Time
	log  []string
}

func newBench(t *testing.T, text string) *bench {
	b := &bench{t: t, time: time.Now()}
	b.File = &File{
		Path: filepath.Join(t.TempDir(), "users"),
		Now:  func() time.Time { return b.time },
		Logf: func(_ logline.Level, format string, args ...any) { b.log = append(b.log, fmt.Sprintf(format, args...)) },
	}
	if text != "" {
		b.rename(text)
	}
	return b
}

// inPlace writes the file as an editor without a temporary file does.
func (b *bench) inPlace(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.Path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// rename puts a new file in the place of the old one. Its mtime is in the past,
// as that of a file is whose rename came after the last write.
func (b *bench) rename(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.Path+".new", []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	before := time.Now().Add(-500 * time.Millisecond)
	if err := os.Chtimes(b.Path+".new", before, before); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.Path+".new", b.Path); err != nil {
		b.t.Fatal(err)
	}
}

// pass lets time pass, and the look at the file that is due then.
func (b *bench) pass(d time.Duration) {
	b.time = b.time.Add(d)
	b.settled()
}

// want checks lookups: "alice=5000" for a uid, "bob=unknown", "carol=stale".
func (b *bench) want(when string, answers ...string) {
	b.t.Helper()
	for _, a := range answers {
		name, want, _ := strings.Cut(a, "=")
		got := ""
		switch l, err := b.Lookup(name); {
		case err == nil:
			got = l.UID
		case errors.Is(err, ErrNoUser):
			got = "unknown"
		case errors.Is(err, ErrStale):
			got = "stale"
		}
		if got != want {
			b.t.Errorf("%s: %s is %q, want %q", when, name, got, want)
		}
	}
}

func (b *bench) wantLogged(n int, part string) {
	b.t.Helper()
	if len(b.log) != n || n > 0 && !strings.Contains(b.log[n-1], part) {
		b.t.Errorf("logged %q, want %d lines, the last with %q", b.log, n, part)
	}
}

const (
	alice = "alice:x:5000:1::/a::\n"
	bob   = "bob:x:5001:1::/b::\n"
)

func TestReload(t *testing.T) {
	t.Parallel()
	t.Run("looks at most once a second", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, alice)
		b.want("at start", "alice=5000", "bob=unknown")
		b.rename(alice + bob)
		b.want("within the second", "bob=unknown")
		b.pass(time.Second)
		b.want("after it", "alice=5000", "bob=5001")
	})
	t.Run("a user taken out is unknown", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, alice+bob)
		b.want("at start", "bob=5001")
		b.rename(alice)
		b.pass(time.Second)
		b.want("later", "bob=unknown", "alice=5000")
	})
	t.Run("same size and mtime", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, alice)
		b.want("at start", "alice=5000")
		st, err := os.Stat(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		b.inPlace(strings.Replace(alice, "5000", "6000", 1))
		if err := os.Chtimes(b.Path, st.ModTime(), st.ModTime()); err != nil {
			t.Fatal(err)
		}
		b.pass(2 * time.Second)
		b.want("later", "alice=6000")
	})
	t.Run("a file written in place rests first", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, alice)
		b.pass(-time.Second) // so that the write below is in the clock's future
		b.want("at start", "alice=5000")
		b.inPlace(bob)
		b.pass(time.Second)
		b.want("fresh", "alice=5000", "bob=stale")
		b.wantLogged(1, "is being written")
		b.pass(time.Second)
		b.want("seen twice the same", "alice=unknown", "bob=5001")
		b.wantLogged(2, "read again, 1 users")
	})
	t.Run("a last line without its end waits", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, "")
		b.inPlace("alice:x:10001:1::/a::\nbob:x:1000")
		b.want("half written", "alice=stale", "bob=stale")
		b.pass(2 * time.Second)
		b.want("somebody does write files so", "alice=10001", "bob=1000")
	})
}

// TestLoadBesideLookups blocks a load by the log, which hears of a name that is
// there twice.
func TestLoadBesideLookups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, alice)
		b.want("at start", "alice=5000", "bob=unknown")
		loading, finish := make(chan struct{}), make(chan struct{})
		b.Logf = func(logline.Level, string, ...any) {
			close(loading)
			<-finish
		}
		b.rename("alice:x:6000:1::/a::\n" + bob + bob)
		b.time = b.time.Add(lookEvery)
		b.want("a load has begun: who is known is answered from before", "alice=5000")
		<-loading
		b.want("again", "alice=5000")
		b.want("who is not known then cannot be told for as long as anybody waits", "bob=stale", "carol=stale")
		var listed []string
		if err := b.Each(func(l *Line) error { listed = append(listed, l.Name); return nil }); err != ErrStale || !slices.Equal(listed, []string{"alice"}) {
			t.Errorf("list: got %q, %v, want alice and ErrStale", listed, err)
		}
		found := make(chan *Line)
		go func() {
			l, _ := b.Lookup("bob")
			found <- l
		}()
		synctest.Wait()
		close(finish)
		if l := <-found; l == nil || l.UID != "5001" {
			t.Errorf("bob, who waited for the load: got %+v, want uid 5001", l)
		}
		b.want("loaded", "alice=6000", "bob=5001", "carol=unknown")
	})
}

func TestLargeFileIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, alice+alice)
		b.Now = nil
		b.Logf = func(logline.Level, string, ...any) { time.Sleep(2 * patience) } // it takes long to load
		b.want("at start", "alice=5000")
		b.rename(strings.Replace(alice, "5000", "6000", 1) + alice)
		time.Sleep(lookEvery + 4*patience)
		b.want("nobody asked meanwhile", "alice=6000")
		b.rename(alice)
		time.Sleep(2 * lookEvery)
		b.want("it loads at once now", "alice=5000")
		time.Sleep(2 * lookEvery) // the timer ends
	})
}

func TestBrokenFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		damage func(b *bench)
		says   string
	}{
		{"missing", func(b *bench) { os.Remove(b.Path) }, "no such file"},
		{"empty", func(b *bench) { b.inPlace("") }, "the file is empty"},
		{"zeros after a crash", func(b *bench) { b.rename(bob + "\x00\x00\x00\n") }, "NUL byte at offset 19"},
		{"a folder", func(b *bench) { os.Remove(b.Path); os.Mkdir(b.Path, 0o700) }, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, alice)
			b.want("at start", "alice=5000", "bob=unknown")
			tt.damage(b)
			for range 3 {
				b.pass(2 * time.Second)
				b.want("broken", "alice=5000", "bob=stale")
			}
			b.wantLogged(1, tt.says)
			var listed []string
			if err := b.Each(func(l *Line) error { listed = append(listed, l.Name); return nil }); err != ErrStale || !slices.Equal(listed, []string{"alice"}) {
				t.Errorf("list: got %q, %v, want alice and ErrStale", listed, err)
			}
			os.Remove(b.Path)
			b.rename(alice + bob)
			b.pass(2 * time.Second)
			b.want("mended", "alice=5000", "bob=5001", "carol=unknown")
			b.wantLogged(2, "read again, 2 users")
		})
		t.Run(tt.name+" at start", func(t *testing.T) {
			t.Parallel()
			b := newBench(t, alice)
			tt.damage(b)
			b.want("at start", "alice=stale", "bob=stale")
			b.wantLogged(1, "all lookups fail")
		})
	}
}

func TestFileTooLargeForTheMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t, alice)
	b.Memory = spareMemory + 100
	b.want("small enough", "alice=5000")
	b.rename(alice + bob + strings.Repeat("# filler\n", 10))
	b.pass(time.Second)
	b.want("too large beside the old data", "alice=5000", "bob=stale")
	b.wantLogged(1, "vsz_limit of service auth allows 32 MB")
}

func TestCommentsMakeAnEmptyFileDeliberate(t *testing.T) {
	t.Parallel()
	b := newBench(t, "# nobody yet\n")
	b.want("at start", "alice=unknown")
	b.wantLogged(0, "")
}

func TestFirstOfTwoLinesCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, alice+"\n"+bob+"alice:x:6000:1::/other::\n")
	b.want("twice", "alice=5000")
	b.wantLogged(1, `:4: user "alice" is already named in line 1`)
	var listed []string
	if err := b.Each(func(l *Line) error { listed = append(listed, l.Name+l.UID); return nil }); err != nil || !slices.Equal(listed, []string{"alice5000", "bob5001"}) {
		t.Errorf("list: got %q, %v", listed, err)
	}
}

func TestManyUsers(t *testing.T) {
	t.Parallel()
	const n = 50000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "user%d@example.com:x:%d:1::/h/%d::\n", i, i+1000, i)
	}
	b := newBench(t, text.String())
	for _, i := range []int{0, 1, 777, n - 1} {
		b.want("many", fmt.Sprintf("user%d@example.com=%d", i, i+1000))
	}
	b.want("many", "user@example.com=unknown", fmt.Sprintf("user%d@example.com=unknown", n))
	l, err := b.Lookup("user777@example.com")
	if got, want := b.Position(l), b.Path+":778"; err != nil || got != want {
		t.Errorf("position %q, %v, want %q", got, err, want)
	}
}

// FuzzPasswdFile checks that every line names the user whom a lookup finds by
// it, and that the list and the lookups agree.
func FuzzPasswdFile(f *testing.F) {
	for _, s := range []string{alice + bob, "", "\n\n", "#\n:\na", "a:b\r\na\n", "x:y:1:2::/h:s::maildir:~/x\n", "a\n:a:\na:1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		data, _ := index(text)
		users := 0
		for line := range strings.SplitSeq(string(text), "\n") {
			l := ParseLine(line)
			if l == nil || l.Name == "" {
				continue
			}
			found := data.lookup(l.Name)
			if found == nil || found.Name != l.Name {
				t.Fatalf("line %q: lookup of %q gives %+v", line, l.Name, found)
			}
			if n := data.number(found.offset); n < 1 || n > strings.Count(string(text), "\n")+1 {
				t.Fatalf("line number %d", n)
			}
		}
		for at := 0; at < len(text); at = data.after(at) {
			if name := nameOf(text[at:]); len(name) > 0 {
				if slot, _ := data.find(name); int(data.slots[slot])-1 == at {
					users++
				}
			}
		}
		if users != data.users {
			t.Fatalf("list has %d users, index %d", users, data.users)
		}
	})
}
