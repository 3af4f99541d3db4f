package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const someGUID = "0123456789abcdef0123456789abcdef"

func TestIdentify(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	have(t, s)
	must(t, s.Create("a", NewFolder{GUID: strings.ToUpper(someGUID)}))
	mail(t, s, ".a", "cur")
	must(t, s.Identify("a", Identity{Validity: 77, MinNext: 100}))
	must(t, s.Identify("a", Identity{MinNext: 50}))
	m, err := s.Open("a")
	must(t, err)
	defer m.Close()
	if m.GUID() != someGUID || m.UIDValidity() != 77 || m.UIDNext() != 100 || m.Len() != 1 || m.Entry(0).UID != 1 {
		t.Errorf("got GUID %s, UIDVALIDITY %d, next %d, %d messages", m.GUID(), m.UIDValidity(), m.UIDNext(), m.Len())
	}
	if err := s.Identify("a", Identity{GUID: "x"}); !errors.Is(err, ErrFolder) {
		t.Errorf("got %v, want %v", err, ErrFolder)
	}
}

// A list that was spoiled keeps what can be read of it, and gives no UID twice.
func TestResyncMendsTheList(t *testing.T) {
	t.Parallel()
	head := "3 V9 N5 G" + someGUID + "\n"
	for _, tt := range []struct {
		name, list string
		uids       string // of the messages m1, m2, m3
		next       uint32
	}{
		{"nothing is wrong", head + "1 :m1\n2 :m2\n7 :m3\n", "1 2 7", 8},
		{"a line of garbage", head + "1 :m1\ngarbage\n7 :m3\n", "1 9 7", 10},
		{"UIDs that do not ascend", head + "2 :m1\n1 :m2\n3 :m3\n", "2 5 3", 6},
		{"garbage at the end", head + "1 :m1\n6 :m2\n\x00\x00\x00\n", "1 6 8", 9},
		{"Courier's kind", "1 9 5\n1 m1\n?\n3 m3\n", "1 5 3", 6},
		{"a line without end", head + "1 :m1\n6 :m2\n" + strings.Repeat("x", 2*maxListLine), "1 6 7", 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{Warn: func(string) {}})
			have(t, s, ".a")
			for _, name := range []string{"m1", "m2", "m3"} {
				must(t, os.WriteFile(filepath.Join(s.c.Root, ".a", "cur", name+":2,"), []byte(name), 0o600))
			}
			must(t, os.WriteFile(filepath.Join(s.c.Root, ".a", listName), []byte(tt.list), 0o600))
			must(t, s.Resync("a"))
			m, err := s.Open("a")
			must(t, err)
			defer m.Close()
			uids := map[string]uint32{}
			for i := range m.Len() {
				uids[m.Base(i)] = m.Entry(i).UID
			}
			got := strings.Join([]string{uidText(uids["m1"]), uidText(uids["m2"]), uidText(uids["m3"])}, " ")
			if got != tt.uids || m.UIDNext() != tt.next || m.UIDValidity() != 9 || m.GUID() != someGUID && tt.list[0] == '3' {
				t.Errorf("got UIDs %s, next %d, UIDVALIDITY %d, GUID %s, want UIDs %s, next %d", got, m.UIDNext(), m.UIDValidity(), m.GUID(), tt.uids, tt.next)
			}
		})
	}
}

func uidText(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Without its first line a list has no UIDVALIDITY: clients must begin anew, and
// are told so by a new one.
func TestResyncOfAListWithoutHeader(t *testing.T) {
	t.Parallel()
	warned := ""
	s := newStore(t, Config{Warn: func(text string) { warned += text }})
	have(t, s, ".a")
	for _, name := range []string{"m1", "m2"} {
		must(t, os.WriteFile(filepath.Join(s.c.Root, ".a", "cur", name+":2,"), []byte(name), 0o600))
	}
	list := filepath.Join(s.c.Root, ".a", listName)
	must(t, os.WriteFile(list, []byte("no list\n4 :m2\n"), 0o600))
	if _, err := s.Open("a"); !errors.Is(err, ErrUIDList) {
		t.Errorf("before: got %v, want %v", err, ErrUIDList)
	}
	must(t, s.Resync("a"))
	m, err := s.Open("a")
	must(t, err)
	defer m.Close()
	if m.Len() != 2 || m.Base(0) != "m2" || m.Entry(0).UID != 4 || m.Entry(1).UID != 6 || m.UIDValidity() == 0 {
		t.Errorf("got %d messages, UID %d %s, UIDVALIDITY %d", m.Len(), m.Entry(0).UID, m.Base(0), m.UIDValidity())
	}
	if got := read(t, filepath.Join(s.c.Root, ".a", damagedName)); got != "no list\n4 :m2\n" {
		t.Errorf("the old list is %q", got)
	}
	if !strings.Contains(warned, "the UIDVALIDITY is a new one") {
		t.Errorf("warned: %q", warned)
	}
}

// FuzzMendedHeader: whatever the list holds, no UID that a good line has is given
// again.
func FuzzMendedHeader(f *testing.F) {
	f.Add([]byte("3 V9 N5 G" + someGUID + "\n1 :a\nx\n9 :b\n"))
	f.Add([]byte("1 9 5\n1 a\n4294967294 b\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := os.CreateTemp(dir, "list")
		must(t, err)
		defer os.Remove(file.Name())
		defer file.Close()
		_, err = file.Write(text)
		must(t, err)
		h, lost, err := mendedHeader(file)
		if err != nil {
			return
		}
		last := uint32(0)
		must(t, listLines(file, func(n int, line []byte) error {
			if r, err := parseListRecord(line, h.version); (n > 0 || lost) && err == nil && r.uid > last {
				last = r.uid
			}
			return nil
		}))
		if last >= h.next {
			t.Fatalf("next is %d after %d", h.next, last)
		}
	})
}
