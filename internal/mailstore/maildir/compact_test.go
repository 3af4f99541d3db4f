package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const longGUID = "3cf5a61a2c64046bd4280000f8ab4a9c"

// aged makes new/ and cur/ look as if nothing had changed for a while.
func aged(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"new", "cur"} {
		old := time.Now().Add(-time.Hour)
		must(t, os.Chtimes(filepath.Join(root, dir), old, old))
	}
}

// holed makes a mailbox of total records, the first gone of which have no
// message.
func holed(t *testing.T, total, gone int) *Store {
	s := newStore(t, Config{})
	inbox(t, s)
	list := fmt.Sprintf("3 V77 N%d G%s Xtra\n", total+5, longGUID)
	for uid := 1; uid <= total; uid++ {
		base := fmt.Sprintf("%d.M1P1.some.host.example.com,S=2,W=3", uid)
		list += fmt.Sprintf("%d W3 Zother :%s\n", uid, base)
		if uid > gone {
			must(t, os.WriteFile(filepath.Join(s.c.Root, "cur", base+":2,S"), []byte("x\n"), 0o600))
		}
	}
	must(t, os.WriteFile(filepath.Join(s.c.Root, listName), []byte(list), 0o600))
	aged(t, s.c.Root)
	return s
}

func TestRecordsOfGoneMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		total, gone int
		prepare     func(t *testing.T, s *Store)
		compacted   bool
	}{
		{"a quarter of a list goes", 200, 50, nil, true},
		{"less than a quarter stays", 200, 49, nil, false},
		{"all of them go", 200, 200, nil, true},
		{"those of a small list stay", 40, 39, nil, false},
		{"go where a time lies in the future", 200, 100, func(t *testing.T, s *Store) {
			ahead := time.Now().Add(time.Hour)
			must(t, os.Chtimes(filepath.Join(s.c.Root, "cur"), ahead, ahead))
		}, true},
		{"stay where somebody has the lock", 200, 100, func(t *testing.T, s *Store) {
			must(t, os.WriteFile(filepath.Join(s.c.Root, lockName), []byte("1:elsewhere"), 0o600))
		}, false},
		{"go with what one who died left", 200, 100, func(t *testing.T, s *Store) {
			must(t, os.WriteFile(filepath.Join(s.c.Root, listName+".tmp"), []byte("3 V1"), 0o600))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := holed(t, tt.total, tt.gone)
			if tt.prepare != nil {
				tt.prepare(t, s)
			}
			before := read(t, s.c.Root, listName)
			for range 2 {
				m := open(t, s, "INBOX")
				if m.Len() != tt.total-tt.gone || m.UIDNext() != uint32(tt.total+5) || m.UIDValidity() != 77 || m.GUID() != longGUID {
					t.Fatalf("got %d messages, next UID %d, UIDVALIDITY %d, GUID %s", m.Len(), m.UIDNext(), m.UIDValidity(), m.GUID())
				}
				for i := range m.Len() {
					if want := uint32(tt.gone + 1 + i); m.Entry(i).UID != want || !strings.HasPrefix(m.Base(i), fmt.Sprint(want, ".")) {
						t.Fatalf("message %d has UID %d and name %s", i, m.Entry(i).UID, m.Base(i))
					}
					if w, _ := m.field(i, 'W'); w != "3" {
						t.Fatalf("message %d: field W is %q", i, w)
					}
				}
			}
			want := before
			if tt.compacted {
				header, _, _ := strings.Cut(before, "\n")
				_, rest, _ := strings.Cut(before, fmt.Sprintf("\n%d W3", tt.gone+1))
				if want = header + "\n"; rest != "" {
					want += fmt.Sprintf("%d W3", tt.gone+1) + rest
				}
			}
			if got := read(t, s.c.Root, listName); got != want {
				t.Errorf("the list has %d bytes, want %d", len(got), len(want))
			}
		})
	}
}

func TestRecordOfAMessageThatCameMeanwhileStays(t *testing.T) {
	t.Parallel()
	s := holed(t, 200, 100)
	m := &Mailbox{list: uidList{fd: -1}}
	f, err := s.Inbox()
	must(t, err)
	m.Folder, m.cur, m.control = f, -1, f.dir
	defer m.Close()
	m.cur, err = openDir(f.dir, "cur")
	must(t, err)
	_, err = m.scan(true)
	must(t, err, m.number())
	if !m.wasteful() || !m.still() {
		t.Fatal("nothing to do")
	}
	// Another program appends between the scan and the lock.
	other := open(t, newStore(t, s.c), "INBOX")
	uid, err := other.Append(Appended{Body: strings.NewReader("y\n")})
	must(t, err)
	must(t, m.compact())
	again := open(t, s, "INBOX")
	if last := again.Entry(again.Len() - 1); last.UID != uid || again.Len() != 101 {
		t.Errorf("got %d messages, the last %+v, want UID %d", again.Len(), last, uid)
	}
}

func TestMailboxThatIsOpenOutlivesACompactList(t *testing.T) {
	t.Parallel()
	s := holed(t, 200, 20)
	old := open(t, s, "INBOX")
	want, err := old.Append(Appended{Body: strings.NewReader("y\n")})
	must(t, err)
	for i := range 100 {
		must(t, old.Expunge(i))
	}
	aged(t, s.c.Root)
	if m := open(t, newStore(t, s.c), "INBOX"); m.Len() != 81 || m.list.count != 81 {
		t.Fatalf("got %d messages, %d records", m.Len(), m.list.count)
	}
	uid, err := old.Append(Appended{Body: strings.NewReader("z\n"), Keywords: []string{"k"}})
	must(t, err, old.SetFlags(120, Change{Add: Flagged}))
	if uid != want+1 {
		t.Errorf("got UID %d, want %d", uid, want+1)
	}
	m := open(t, s, "INBOX")
	if i, ok := m.Find(old.Entry(120).UID); !ok || m.Base(i) != old.Base(120) || m.Entry(i).Flags != Seen|Flagged {
		t.Errorf("got %v, %v", ok, i)
	}
}
