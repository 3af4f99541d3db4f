package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// life is the model of one folder: what every reader must see.
type life struct {
	t        *rapid.T
	s        *Store
	name     string
	validity uint32
	mails    []lived // by UID
	next     uint32  // at least
	at       *Mailbox
}

type lived struct {
	uid      uint32 // 0: delivered, nobody opened the folder since
	text     string
	flags    Flags
	keywords string // sorted, with blanks
}

func (l *life) dir(sub string) string {
	dir := l.s.c.Root
	if l.name != "INBOX" {
		dir = filepath.Join(dir, "."+l.name)
	}
	return filepath.Join(dir, sub)
}

func (l *life) must(errs ...error) {
	if err := errors.Join(errs...); err != nil {
		l.t.Fatalf("%s: %v", l.name, err)
	}
}

// reopen looks at the folder with other eyes and compares.
func (l *life) reopen() {
	if l.at != nil {
		l.at.Close()
	}
	m, err := l.s.Open(l.name)
	l.must(err)
	l.at = m
	if l.validity == 0 {
		l.validity = m.UIDValidity()
	}
	if m.UIDValidity() != l.validity || m.Len() != len(l.mails) {
		l.t.Fatalf("%s: got UIDVALIDITY %d, %d messages, want %d, %d", l.name, m.UIDValidity(), m.Len(), l.validity, len(l.mails))
	}
	for i := range l.mails {
		want, got := &l.mails[i], m.Entry(i)
		if want.uid == 0 {
			if got.UID < l.next {
				l.t.Fatalf("%s: UID %d was given again, next is %d", l.name, got.UID, l.next)
			}
			want.uid = got.UID
		}
		l.next = max(l.next, got.UID+1)
		if text, keywords := l.content(i), sortedWords(m.KeywordNames(i)); got.UID != want.uid || got.Flags != want.flags || keywords != want.keywords || text != want.text {
			l.t.Fatalf("%s: got UID %d %s %q %q, want %+v", l.name, got.UID, got.Flags.Letters(), keywords, text, *want)
		}
	}
	if m.UIDNext() < l.next {
		l.t.Fatalf("%s: next UID %d, want %d or more", l.name, m.UIDNext(), l.next)
	}
}

func (l *life) content(i int) string {
	c, err := l.at.Content(i)
	l.must(err)
	defer c.Close()
	buf := make([]byte, 100)
	n, _ := c.Read(buf)
	return string(buf[:n])
}

func (l *life) pick() int {
	if len(l.mails) == 0 {
		l.t.Skip("no message")
	}
	return rapid.IntRange(0, len(l.mails)-1).Draw(l.t, "message")
}

// arrived appends to the model what got a UID at once. Deliveries that wait for
// theirs were there before, and get theirs later.
func (l *life) arrived(m lived) {
	if m.uid < l.next {
		l.t.Fatalf("%s: UID %d was given again, next is %d", l.name, m.uid, l.next)
	}
	l.next = m.uid + 1
	l.mails = append(l.mails, m)
}

// outside finds the file of a message as another program would.
func (l *life) outside(i int) string {
	for _, sub := range []string{"new", "cur"} {
		found, _ := filepath.Glob(filepath.Join(l.dir(sub), l.at.Base(i)+"*"))
		if len(found) == 1 {
			return found[0]
		}
	}
	l.t.Fatalf("%s: no file for %s", l.name, l.at.Base(i))
	return ""
}

func sortedWords(words []string) string {
	slices.Sort(words)
	return strings.Join(words, " ")
}

func text(n int) string { return fmt.Sprintf("Subject: %d\n\nText\n", n) }

// TestModel: two folders live a random life, changed by this package and behind
// its back, through a Mailbox that may be older than the last changes. No UID
// changes or comes again, nothing is lost and nothing comes back.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		s := New(Config{Root: filepath.Join(root, "Maildir"), Make: true, Host: "mx", NoSync: true,
			Auto: []AutoFolder{{"Foo", false}}, Warn: func(text string) { t.Errorf("warning: %s", text) }})
		defer s.Close()
		all := []*life{{t: t, s: s, name: "INBOX"}, {t: t, s: s, name: "Foo"}}
		for _, l := range all {
			l.reopen()
		}
		defer func() {
			for _, l := range all {
				l.at.Close()
			}
		}()
		n := 0
		one := func() (l, other *life) {
			i := rapid.IntRange(0, 1).Draw(t, "folder")
			n++
			return all[i], all[1-i]
		}
		actions := map[string]func(*rapid.T){
			"deliver": func(*rapid.T) {
				l, _ := one()
				f, err := s.Folder(l.name, Create{})
				l.must(err)
				defer f.Close()
				_, err = f.Save(Message{Body: strings.NewReader(text(n)), Size: int64(len(text(n)))})
				l.must(err)
				l.mails = append(l.mails, lived{text: text(n)})
				l.reopen()
			},
			"append": func(*rapid.T) {
				l, _ := one()
				flags := Flags(rapid.IntRange(0, 63).Draw(t, "flags"))
				uid, err := l.at.Append(Appended{Body: strings.NewReader(text(n)), Flags: flags, Keywords: []string{"k1"}})
				l.must(err)
				l.arrived(lived{uid, text(n), flags, "k1"})
				l.reopen()
			},
			"copy": func(*rapid.T) {
				l, other := one()
				i := l.pick()
				uid, err := other.at.CopyFrom(l.at, i)
				l.must(err)
				mail := l.mails[i]
				mail.uid = uid
				other.arrived(mail)
				other.reopen()
				if a, b := l.at.MessageGUID(i), other.at.MessageGUID(len(other.mails)-1); a != b {
					t.Fatalf("the copy of %q has GUID %q", a, b)
				}
			},
			"move there and back": func(*rapid.T) {
				l, other := one()
				i := l.pick()
				for _, way := range [][2]*life{{l, other}, {other, l}} {
					from, to := way[0], way[1]
					var uid uint32
					l.must(to.at.MoveAll(from.at, []int{i}, func(_ int, got uint32) error { uid = got; return nil }))
					mail := from.mails[i]
					from.mails = append(from.mails[:i:i], from.mails[i+1:]...)
					mail.uid = uid
					to.arrived(mail)
					from.reopen()
					to.reopen()
					i = len(to.mails) - 1
				}
			},
			"expunge": func(*rapid.T) {
				l, _ := one()
				i := l.pick()
				l.must(l.at.Expunge(i))
				if _, err := l.at.Content(i); !errors.Is(err, ErrGone) {
					t.Fatalf("content of an expunged message: %v, want ErrGone", err)
				}
				l.mails = append(l.mails[:i:i], l.mails[i+1:]...)
				l.reopen()
			},
			"flags, renamed by another meanwhile": func(*rapid.T) {
				l, _ := one()
				i := l.pick()
				file := l.outside(i)
				flags := l.mails[i].flags | Answered
				l.must(os.Rename(file, filepath.Join(l.dir("cur"), string(withFlags([]byte(filepath.Base(file)), flags, l.at.Entry(i).Keywords)))))
				word := fmt.Sprint("k", rapid.IntRange(1, 3).Draw(t, "keyword"))
				l.must(l.at.SetFlags(i, Change{Add: Seen, Remove: Draft, AddKeywords: []string{word}}))
				l.mails[i].flags = (flags | Seen) &^ Draft
				l.at.Close()
				m, err := s.Open(l.name)
				l.must(err)
				l.at = m
				names := m.KeywordNames(i)
				if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+word+" ") {
					t.Fatalf("%q is not among %q", word, names)
				}
				l.mails[i].keywords = sortedWords(names)
				l.reopen()
			},
			"replace flags": func(*rapid.T) {
				l, _ := one()
				i := l.pick()
				l.must(l.at.SetFlags(i, Change{Replace: true, Add: Flagged}))
				l.mails[i].flags, l.mails[i].keywords = Flagged, ""
				l.reopen()
			},
			"another takes it away": func(*rapid.T) {
				l, _ := one()
				i := l.pick()
				l.must(os.Remove(l.outside(i)))
				if err := l.at.SetFlags(i, Change{Add: Seen, Remove: Flagged | Answered}); !errors.Is(err, ErrGone) && err != nil {
					t.Fatalf("flags of a message that is gone: %v, want ErrGone", err)
				}
				l.mails = append(l.mails[:i:i], l.mails[i+1:]...)
				l.reopen()
			},
		}
		t.Repeat(actions)
	})
}
