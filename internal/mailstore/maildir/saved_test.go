package maildir

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func save(t *testing.T, s *Store, n int) {
	t.Helper()
	f := inbox(t, s)
	for i := range n {
		_, err := f.Save(message(fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i)))
		must(t, err)
	}
}

func savedDate(t *testing.T, m *Mailbox, i int) int64 {
	t.Helper()
	d, err := m.Saved(i)
	must(t, err)
	return d.Unix()
}

func TestSavedDateStays(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	save(t, s, 3)
	m, err := s.Open("INBOX")
	must(t, err)
	want := savedDate(t, m, 1)
	if now := time.Now().Unix(); want < now-60 || want > now {
		t.Errorf("got %d, want the file's time of change, about %d", want, now)
	}
	m.Close()
	// As if it had been seen long ago: the file's own time is another.
	path := filepath.Join(s.c.Root, savedName)
	text := read(t, path)
	old := fmt.Sprintf(savedLine, 2, 1_000_000_000)
	must(t, os.WriteFile(path, []byte(strings.Replace(text, fmt.Sprintf(savedLine, 2, want), old, 1)), 0o600))
	m = open(t, s, "INBOX")
	must(t, m.SetFlags(1, Change{Add: Seen}))
	if got := savedDate(t, m, 1); got != 1_000_000_000 {
		t.Errorf("got %d, want the date on record", got)
	}
}

func TestSavedDateOfWhatWasSavedHere(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_500_000_000, 0)
	s := newStore(t, Config{Now: func() time.Time { return now }})
	save(t, s, 1)
	m := open(t, s, "INBOX")
	_, err := m.Append(Appended{Body: strings.NewReader("x\n"), Received: time.Unix(5, 0)})
	must(t, err)
	now = now.Add(time.Hour)
	_, err = m.CopyFrom(m, 0)
	must(t, err)
	m = open(t, s, "INBOX")
	if a, b := savedDate(t, m, 1), savedDate(t, m, 2); a != 1_500_000_000 || b != a+3600 {
		t.Errorf("got %d and %d", a, b)
	}
}

func TestSavedDatesThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	good := func(validity uint32) string { return fmt.Sprintf("1 %d\n", validity) }
	for name, tt := range map[string]func(validity uint32) string{
		"of another UIDVALIDITY":  func(v uint32) string { return good(v+1) + fmt.Sprintf(savedLine, 1, 5) },
		"a line cut by a crash":   func(v uint32) string { return good(v) + "0000000001 00000000" },
		"zeros from a crash":      func(v uint32) string { return good(v) + strings.Repeat("\x00", 100) },
		"a short line in between": func(v uint32) string { return good(v) + "0000000001 5\n" },
		"no header":               func(uint32) string { return "" },
		"a long line":             func(v uint32) string { return good(v) + strings.Repeat("0", 200_000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{})
			save(t, s, 2)
			m, err := s.Open("INBOX")
			must(t, err)
			must(t, os.WriteFile(filepath.Join(s.c.Root, savedName), []byte(tt(m.UIDValidity())), 0o600))
			got := savedDate(t, m, 0)
			if got < time.Now().Unix()-60 {
				t.Errorf("got %d", got)
			}
			m.Close()
			// What is written behind it can be read.
			m = open(t, s, "INBOX")
			must(t, m.readSaved())
			if m.saved.dates[0] != got {
				t.Errorf("recorded %d, want %d", m.saved.dates[0], got)
			}
		})
	}
}

// An owner may make the file as large as the file system lets him, with a hole.
func TestAHugeFileOfSavedDatesIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	for _, head := range []string{"", "header", "1 %d\n"} {
		s := newStore(t, Config{})
		save(t, s, 1)
		m := open(t, s, "INBOX")
		path := filepath.Join(s.c.Root, savedName)
		if strings.Contains(head, "%d") {
			head = fmt.Sprintf(head, m.UIDValidity())
		}
		must(t, os.WriteFile(path, []byte(head), 0o600))
		if err := os.Truncate(path, 4<<40); err != nil {
			t.Skip(err)
		}
		if got := savedDate(t, m, 0); got < time.Now().Unix()-60 {
			t.Errorf("after %q: got %d, want about now", head, got)
		}
		m.Close()
		if info, err := os.Stat(path); err != nil || info.Size() > 1000 {
			t.Errorf("after %q: the file is still there: %v, %v", head, info, err)
		}
	}
}

func TestSavedDatesAreCompacted(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	save(t, s, 2)
	m := open(t, s, "INBOX")
	text := savedHeader(m.UIDValidity()) + "\n" + fmt.Sprintf(savedLine, 2, 77)
	for uid := range 3 * savedSlack {
		text += fmt.Sprintf(savedLine, uid+10, 5)
	}
	// Of those above its own, a Mailbox cannot know whether they are gone.
	m.list.last = 3*savedSlack + 10
	m.entries[1].uid = 3*savedSlack + 10
	path := filepath.Join(s.c.Root, savedName)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	m.addSaved([]uint32{9999}, time.Unix(88, 0))
	if want := savedHeader(m.UIDValidity()) + "\n" + fmt.Sprintf(savedLine, 9999, 88); read(t, path) != want {
		t.Errorf("got %d bytes, want %q", len(read(t, path)), want)
	}
}

// FuzzSaved: no file gives a date to a message that is not there, or an
// impossible one.
func FuzzSaved(f *testing.F) {
	f.Add([]byte("1 7\n0000000001 001795451176\n"))
	f.Add([]byte("1 7\n\n0000000001 001795451176\nx"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := os.CreateTemp(t.TempDir(), "")
		must(t, err)
		defer file.Close()
		file.Write(text)
		n := 0
		good, records, err := eachSaved(int(file.Fd()), 7, make([]byte, 128), func(uid uint32, date int64) {
			if n++; uid == 0 || date <= 0 || date > 999_999_999_999 {
				t.Fatalf("%d %d", uid, date)
			}
		})
		if err != nil || records != n || n > 0 && !good || good && !bytes.HasPrefix(text, []byte("1 7\n")) {
			t.Fatalf("%v, %d records, %d calls (%v)", good, records, n, err)
		}
	})
}

func compressed(t *testing.T, text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	must(t, err, w.Close())
	return b.Bytes()
}

func TestCompressedMessages(t *testing.T) {
	t.Parallel()
	text := "Subject: x\n\n" + strings.Repeat("all the same\n", 10_000)
	for _, tt := range []struct {
		name, file string
		data       []byte
		err        error
	}{
		{"gz with the text's size in its name", fmt.Sprintf("1.a,S=%d:2,S", len(text)), compressed(t, text), nil},
		{"gz without", "1.a:2,S", compressed(t, text), nil},
		{"plain", "1.a:2,S", []byte(text), nil},
		{"zstd", "1.a:2,S", []byte("\x28\xb5\x2f\xfd....."), ErrCompressed},
		{"xz", "1.a:2,S", []byte("\xfd7zXZ\x00..."), ErrCompressed},
		{"bzip2", "1.a:2,S", []byte("BZh91AY&SY..."), ErrCompressed},
		{"half a gz header", "1.a:2,S", []byte("\x1f\x8b\x08"), io.ErrUnexpectedEOF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{})
			inbox(t, s)
			must(t, os.WriteFile(filepath.Join(s.c.Root, "cur", tt.file), tt.data, 0o600))
			m := open(t, s, "INBOX")
			c, err := m.Content(0)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			defer c.Close()
			for range 2 {
				if got, err := io.ReadAll(c); string(got) != text || err != nil {
					t.Errorf("got %d bytes (%v), want %d", len(got), err, len(text))
				}
				must(t, c.Rewind())
			}
			size, err1 := m.Size(0)
			virtual, err2 := m.Virtual(0)
			if must(t, err1, err2); size != int64(len(text)) || virtual != size+10_002 {
				t.Errorf("got sizes %d and %d", size, virtual)
			}
		})
	}
}

func TestMaildirsizeFollows(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:storage=1M", "Trash:ignore"}, "")
	must(t, err)
	s := newStore(t, Config{Quota: q, Auto: []AutoFolder{{"Trash", false}, {"Keep", false}}})
	save(t, s, 3)
	sum := func() string {
		u, err := s.Usage()
		must(t, err)
		return fmt.Sprint(u.Bytes, " ", u.Messages)
	}
	m := open(t, s, "INBOX")
	one, err := m.Size(0)
	must(t, err)
	check := func(what string, messages int64) {
		t.Helper()
		if got, want := sum(), fmt.Sprint(one*messages, " ", messages); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	check("saved", 3)
	none := func(int, uint32) error { return nil }
	keep, err := s.Open("Keep")
	must(t, err, keep.CopyAll(m, []int{0, 1}, none))
	check("copied", 5)
	must(t, keep.MoveAll(m, []int{0}, none), m.Expunge(1))
	m.Close()
	check("moved and expunged", 4)
	keep.Close()
	keep, err = s.Open("Keep")
	must(t, err)
	trash := open(t, s, "Trash")
	must(t, trash.MoveAll(keep, []int{0}, none))
	keep.Close()
	check("moved to where it does not count", 3)
	must(t, s.Recount())
	check("counted anew", 3)
}

func TestCopyOverQuotaLeavesNothing(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:messages=3"}, "")
	must(t, err)
	s := newStore(t, Config{Quota: q, Auto: []AutoFolder{{"Keep", false}}})
	save(t, s, 2)
	m, keep := open(t, s, "INBOX"), open(t, s, "Keep")
	none := func(int, uint32) error { return nil }
	if err := keep.CopyAll(m, []int{0, 1}, none); !errors.Is(err, ErrQuota) {
		t.Errorf("got %v, want ErrQuota", err)
	}
	for _, dir := range []string{"new", "cur", "tmp"} {
		if left := entries(t, s.c.Root, ".Keep", dir); len(left) != 0 {
			t.Errorf("%s holds %v", dir, left)
		}
	}
	must(t, keep.MoveAll(m, []int{0, 1}, none))
}

// Two copies of one message have one GUID and often other flags: only one of
// them can have it as its name.
func TestCopiesOfCopiesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{Auto: []AutoFolder{{"Keep", false}}})
	save(t, s, 1)
	m := open(t, s, "INBOX")
	_, err := m.CopyFrom(m, 0)
	must(t, err, m.SetFlags(0, Change{Add: Seen}))
	m = open(t, s, "INBOX")
	var uids []uint32
	must(t, open(t, s, "Keep").CopyAll(m, []int{0, 1}, func(_ int, uid uint32) error { uids = append(uids, uid); return nil }))
	keep := open(t, s, "Keep")
	if keep.Len() != 2 || len(uids) != 2 || keep.Entry(0).UID != uids[0] || keep.Entry(1).UID != uids[1] {
		t.Fatalf("got %d messages, want those of %v", keep.Len(), uids)
	}
	if keep.Base(0) == keep.Base(1) || keep.MessageGUID(0) != keep.MessageGUID(1) || keep.Entry(0).Flags != Seen || keep.Entry(1).Flags != 0 {
		t.Errorf("got %s %s and %s %s", keep.Base(0), keep.Entry(0).Flags.Letters(), keep.Base(1), keep.Entry(1).Flags.Letters())
	}
}
