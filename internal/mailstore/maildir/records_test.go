package maildir

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSavedDatesNeverGoToOtherUIDs(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	save(t, s, 2)
	old, err := s.Open("INBOX")
	must(t, err)
	savedDate(t, old, 0)
	// Somebody removes list and indexes: the UIDs begin again.
	must(t, os.Remove(filepath.Join(s.c.Root, listName)))
	fresh := open(t, newStore(t, s.c), "INBOX")
	if fresh.UIDValidity() == old.UIDValidity() {
		t.Fatal("UIDVALIDITY stayed")
	}
	for range 2 {
		if _, err := old.Append(Appended{Body: strings.NewReader("x\n")}); err == nil {
			t.Error("appended to a folder of another UIDVALIDITY")
		}
	}
	old.Close()
	if _, err := os.Stat(filepath.Join(s.c.Root, savedName)); !os.IsNotExist(err) {
		t.Errorf("dates were written: %q (%v)", read(t, s.c.Root, savedName), err)
	}
}

func TestSavedDatesEndWithTheirUIDVALIDITY(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000_000, 0)
	s := newStore(t, Config{Now: func() time.Time { return now }})
	inbox(t, s)
	m := open(t, s, "INBOX")
	_, err := m.Append(Appended{Body: strings.NewReader("x\n")})
	must(t, err)
	first := m.UIDValidity()
	if m = open(t, s, "INBOX"); savedDate(t, m, 0) != now.Unix() {
		t.Fatal("no date")
	}
	must(t, s.Identify("INBOX", Identity{Validity: first + 9}), s.Identify("INBOX", Identity{Validity: first}))
	if m = open(t, s, "INBOX"); m.UIDValidity() != first || savedDate(t, m, 0) < time.Now().Unix()-60 {
		t.Errorf("got %d, a date of another time", savedDate(t, m, 0))
	}
}

func TestTwoThatFindASavedDateAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	save(t, s, 1)
	a, err := s.Open("INBOX")
	must(t, err)
	b, err := newStore(t, s.c).Open("INBOX")
	must(t, err)
	first := savedDate(t, a, 0)
	savedDate(t, b, 0)
	b.saved.dates[0] = first + 100 // flags changed between the two looks
	a.Close()
	b.Close()
	if got := savedDate(t, open(t, s, "INBOX"), 0); got != first {
		t.Errorf("got %d, want the first one, %d", got, first)
	}
}

func TestSavedDateIsNeverEarlierThanTheMessageCame(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	begin := time.Now().Unix()
	f := inbox(t, s)
	_, err := f.Save(message("x\r\n"))
	must(t, err)
	m := open(t, s, "INBOX")
	// Received and seen long ago, by its file's time of content.
	must(t, m.SetFlags(0, Change{Add: Seen}), os.Chtimes(filepath.Join(s.c.Root, "cur", string(m.name(&m.entries[0]))), time.Unix(1, 0), time.Unix(1, 0)))
	if got := savedDate(t, open(t, s, "INBOX"), 0); got < begin {
		t.Errorf("got %d, the message came at %d", got, begin)
	}
}

func TestProcessThatIsKilledLosesFewSavedDates(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{NoSync: true})
	inbox(t, s)
	for i := range savedUnwritten + 10 {
		must(t, os.WriteFile(filepath.Join(s.c.Root, "cur", fmt.Sprintf("%d.x:2,", i)), nil, 0o600))
	}
	m := open(t, s, "INBOX")
	for i := range m.Len() {
		savedDate(t, m, i)
	}
	if got := strings.Count(read(t, s.c.Root, savedName), "\n") - 1; got != savedUnwritten {
		t.Errorf("%d dates are on record before Close, want %d", got, savedUnwritten)
	}
	m.Close()
	if got := strings.Count(read(t, s.c.Root, savedName), "\n") - 1; got != savedUnwritten+10 {
		t.Errorf("%d dates are on record, want each once", got)
	}
}

func TestProcessThatIsKilledLeavesFewUncounted(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:storage=10G"}, "")
	must(t, err)
	const there = 150
	for _, tt := range []struct {
		name     string
		size     int64
		expunged int64
	}{
		{"of many small ones", 10, 149},
		{"of some large ones", 6 << 20, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Config{Quota: q})
			inbox(t, s)
			for i := range there {
				must(t, os.WriteFile(filepath.Join(s.c.Root, "cur", fmt.Sprintf("%d.x,S=%d:2,", i, tt.size)), nil, 0o600))
			}
			must(t, s.Recount())
			m := open(t, s, "INBOX")
			for i := range tt.expunged {
				must(t, m.Expunge(int(i)))
			}
			u, err := s.Usage()
			must(t, err)
			left := there - tt.expunged
			if u.Messages-left >= maxUncounted || u.Bytes-left*tt.size >= maxUncountedBytes || u.Messages == there {
				t.Errorf("%d messages of %d bytes are counted, %d are there", u.Messages, u.Bytes, left)
			}
			m.Close()
			if u, err = s.Usage(); err != nil || u.Messages != left || u.Bytes != left*tt.size {
				t.Errorf("after Close %d messages of %d bytes are counted (%v), %d are there", u.Messages, u.Bytes, err, left)
			}
		})
	}
}

func TestKeywordThatIsNewerThanTheMailbox(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{Auto: []AutoFolder{{"Keep", false}}})
	save(t, s, 1)
	m := open(t, s, "INBOX")
	must(t, m.SetFlags(0, Change{Add: Seen}))
	other := open(t, newStore(t, s.c), "INBOX")
	must(t, other.SetFlags(0, Change{AddKeywords: []string{"Work"}}))
	_, err := open(t, s, "Keep").CopyFrom(m, 0)
	must(t, err)
	if got := open(t, s, "Keep").KeywordNames(0); len(got) != 1 || got[0] != "Work" {
		t.Errorf("the copy has %q, want Work", got)
	}
}

func TestWrongSizeInANameCutsNothing(t *testing.T) {
	t.Parallel()
	text := "Subject: x\n\n" + strings.Repeat("line\n", 1000)
	for _, said := range []int{1, 1 << 30} {
		for _, tt := range []struct {
			name string
			data []byte
		}{{"plain", []byte(text)}, {"gz", compressed(t, text)}} {
			t.Run(fmt.Sprint(tt.name, " ", said), func(t *testing.T) {
				t.Parallel()
				s := newStore(t, Config{Auto: []AutoFolder{{"Keep", false}}})
				inbox(t, s)
				must(t, os.WriteFile(filepath.Join(s.c.Root, "cur", fmt.Sprintf("1.a,S=%d,W=%d:2,S", said, said)), tt.data, 0o600))
				m := open(t, s, "INBOX")
				if size, err := m.Size(0); err != nil || size != int64(said) {
					t.Errorf("size %d (%v), want what the name says", size, err)
				}
				_, err := open(t, s, "Keep").CopyFrom(m, 0)
				must(t, err)
				for _, m := range []*Mailbox{m, open(t, s, "Keep")} {
					c, err := m.Content(0)
					must(t, err)
					got, err := io.ReadAll(c)
					if c.Close(); string(got) != text || err != nil {
						t.Errorf("%s: got %d bytes (%v), want %d", m.Name, len(got), err, len(text))
					}
				}
			})
		}
	}
}
