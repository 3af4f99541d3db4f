package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// parseWhole gives a list's records as text.
func parseWhole(text string) (p listParser, records []string, rest string, err error) {
	left, err := p.parse([]byte(text), func(r listRecord) {
		records = append(records, fmt.Sprintf("%d%s :%s", r.uid, r.fields, r.base))
	})
	return p, records, string(left), err
}

func TestUIDListIsRead(t *testing.T) {
	t.Parallel()
	const head = "3 V1795449900 N12 G3cf5a61a2c64046bd4280000f8ab4a9c\n"
	for _, tt := range []struct {
		name, text, want string
		next             uint32
	}{
		{"version 3", head + "1 :a\n7 W175 S167 :b,S=1\n", "1 :a|7 W175 S167 :b,S=1", 12},
		{"records above the header's next UID count", head + "40 :a\n", "40 :a", 41},
		{"fields of letters that nobody knows", head + "1 Zx Ga:b :c\n", "1 Zx Ga:b :c", 12},
		{"an empty field", head + "1 P :c\n", "1 P :c", 12},
		{"a name with blanks", head + "1 :weird name ~!.txt\n", "1 :weird name ~!.txt", 12},
		{"flags in a name are cut off", head + "1 :a:2,S\n", "1 :a", 12},
		{"a line that is still being written is left", head + "1 :a\n2 :b", "1 :a", 12},
		{"version 1", "1 1795449900 9\n1 a\n3 b:2,S\n", "1 :a|3 :b", 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, records, _, err := parseWhole(tt.text)
			if got := strings.Join(records, "|"); err != nil || got != tt.want || p.next() != tt.next || p.header.validity != 1795449900 {
				t.Errorf("got %q, next %d, UIDVALIDITY %d (%v), want %q, %d", got, p.next(), p.header.validity, err, tt.want, tt.next)
			}
		})
	}
}

func TestUIDListIsRefused(t *testing.T) {
	t.Parallel()
	const head = "3 V1 N12 G3cf5a61a2c64046bd4280000f8ab4a9c\n"
	for name, text := range map[string]string{
		"no version":               "V1 N1\n",
		"version 2":                "2 V1 N1\n",
		"no UIDVALIDITY":           "3 N1\n",
		"UIDVALIDITY 0":            "3 V0 N1\n",
		"a GUID of another length": "3 V1 N1 G12\n",
		"UIDs that fall":           head + "2 :a\n1 :b\n",
		"a UID twice":              head + "2 :a\n2 :b\n",
		"UID 0":                    head + "0 :a\n",
		"a UID above all":          head + "4294967295 :a\n",
		"a UID that overflows":     head + "18446744073709551617 :a\n",
		"a sign":                   head + "+1 :a\n",
		"no name":                  head + "1 \n",
		"an empty name":            head + "1 :\n",
		"a slash":                  head + "1 :a/b\n",
		"a small field":            head + "1 x :a\n",
		"garbage":                  head + "garbage\n",
		"an empty line":            head + "\n",
		"a line without end":       head + "1 :" + strings.Repeat("x", maxListLine) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, records, _, err := parseWhole(text); !errors.Is(err, ErrUIDList) {
				t.Errorf("got %q (%v), want ErrUIDList", records, err)
			}
		})
	}
}

// FuzzUIDList: no file makes the parser fail otherwise than with its error,
// UIDs ascend, and what is written anew reads the same.
func FuzzUIDList(f *testing.F) {
	f.Add([]byte("3 V1795449900 N12 G3cf5a61a2c64046bd4280000f8ab4a9c\n1 :a\n7 W175 S167 :b\n"))
	f.Add([]byte("1 5 9\n1 a\n3 b:2,S\n"))
	f.Add([]byte("3 V1 N1 Zx\n1 P Gx :y"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, records, _, err := parseWhole(string(text))
		if err != nil {
			if !errors.Is(err, ErrUIDList) {
				t.Fatal(err)
			}
			return
		}
		if !p.begun {
			return
		}
		if p.header.guid == "" {
			p.header.guid = strings.Repeat("0", 32)
		}
		again := string(p.header.text(p.next()))
		for _, r := range records {
			again += r + "\n"
		}
		q, same, rest, err := parseWhole(again)
		if err != nil || rest != "" || strings.Join(same, "\n") != strings.Join(records, "\n") || q.next() != p.next() || q.header.validity != p.header.validity {
			t.Fatalf("wrote %q, read %q (%v)", again, same, err)
		}
	})
}

// FuzzKeywords: whatever the file says, a letter has one name at most.
func FuzzKeywords(f *testing.F) {
	f.Add([]byte("0 unknown-0\n2 $Label1\n3 Work\n26 x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k := parseKeywords(text)
		for i, name := range k {
			if j, ok := k.letter(name); name != "" && (!ok || j > i) {
				t.Fatalf("%q: letter %d, found %d", name, i, j)
			}
		}
	})
}

// FuzzFileName: flags come back as they were set, and nothing else changes.
func FuzzFileName(f *testing.F) {
	f.Add([]byte("1795451176.M482366P21643.vm,S=180,W=190:2,FSab"), uint8(5), uint32(3))
	f.Add([]byte("a:2,SXY,rest:2,T"), uint8(0), uint32(0))
	f.Fuzz(func(t *testing.T, name []byte, bits uint8, keywords uint32) {
		flags, keywords := Flags(bits&63), keywords&(1<<26-1)
		if !isMessageName(name) || strings.Count(string(name), ":") > 1 {
			return
		}
		base, _, _ := strings.Cut(string(name), ":")
		got := withFlags(name, flags, keywords)
		if !strings.HasPrefix(string(got), base+":2,") {
			t.Fatalf("%q became %q", name, got)
		}
		if f, k := parseInfo(got[len(base):]); f != flags || k != keywords {
			t.Fatalf("%q: got %v %b, want %v %b", got, f, k, flags, keywords)
		}
		if again := withFlags(got, flags, keywords); string(again) != string(got) {
			t.Fatalf("%q became %q", got, again)
		}
	})
}

// damaged makes a mailbox with one message and this uid list.
func damaged(t *testing.T, list string, more ...string) *Store {
	s := newStore(t, Config{})
	_, err := inbox(t, s).Save(message("x\r\n"))
	must(t, err)
	if list != "" {
		must(t, os.WriteFile(filepath.Join(s.c.Root, listName), []byte(list), 0o600))
	}
	for _, name := range more {
		must(t, os.WriteFile(filepath.Join(s.c.Root, name), []byte("x"), 0o600))
	}
	return s
}

func TestDamagedListIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, list, why string
		more            []string
	}{
		{"garbage in the middle", "3 V1 N2 G3cf5a61a2c64046bd4280000f8ab4a9c\n1 :a\ngarbage\n", "record 2: not a UID", nil},
		{"empty", " ", "has no header", nil},
		{"missing, while Dovecot's index knows the UIDs", "", "dovecot.index.log is there, so that only Dovecot knows", []string{"dovecot.index.log"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := damaged(t, tt.list, tt.more...)
			before := entries(t, s.c.Root)
			m, err := s.Open("INBOX")
			if !errors.Is(err, ErrUIDList) || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("got %v (%v), want an error with %q", m, err, tt.why)
			}
			if after := entries(t, s.c.Root); strings.Join(after, " ") != strings.Join(before, " ") {
				t.Errorf("got %v, want %v", after, before)
			}
			if tt.list != "" && read(t, s.c.Root, listName) != tt.list {
				t.Error("the list was changed")
			}
		})
	}
}

func TestListsThatAreWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ list, keep string }{
		"version 1":                       {"1 77 9\n1 gone\n", "1 :gone\n"},
		"one without a GUID":              {"3 V77 N9 Xy\n1 Zz :gone\n", "1 Zz :gone\n"},
		"one with half a line at the end": {"3 V77 N9 G3cf5a61a2c64046bd4280000f8ab4a9c\n1 Zz :gone\n2 :ha", "1 Zz :gone\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := damaged(t, tt.list)
			m := open(t, s, "INBOX")
			if m.Len() != 1 || m.Entry(0).UID != 9 || m.UIDValidity() != 77 || len(m.GUID()) != 32 {
				t.Errorf("got %d messages, %+v, UIDVALIDITY %d, GUID %q", m.Len(), m.Entry(0), m.UIDValidity(), m.GUID())
			}
			text := read(t, s.c.Root, listName)
			if !strings.HasPrefix(text, "3 V77 N9 G"+m.GUID()) || !strings.Contains(text, "\n"+tt.keep+"9 :") {
				t.Errorf("got %q", text)
			}
			if again := open(t, s, "INBOX"); again.Entry(0).UID != 9 || again.GUID() != m.GUID() {
				t.Errorf("opened again: %+v", again.Entry(0))
			}
		})
	}
}

func TestFilesAreNumberedInTheOrderOfDelivery(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	inbox(t, s)
	for _, name := range []string{"100.M9P1.h", "100.M10P1.h", "99.M5.h", "zz", "100.M9P0.h", "weird name ~!.txt"} {
		must(t, os.WriteFile(filepath.Join(s.c.Root, "new", name), nil, 0o600))
	}
	m := open(t, s, "INBOX")
	var got []string
	for i := range m.Len() {
		got = append(got, fmt.Sprint(m.Entry(i).UID, m.Base(i)))
	}
	if want := "1weird name ~!.txt 2zz 399.M5.h 4100.M9P0.h 5100.M9P1.h 6100.M10P1.h"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestEntriesThatAreNoMessages(t *testing.T) {
	t.Parallel()
	s := newStore(t, Config{})
	inbox(t, s)
	cur := filepath.Join(s.c.Root, "cur")
	must(t, os.Mkdir(filepath.Join(cur, "directory"), 0o700), os.Symlink("/etc/passwd", filepath.Join(cur, "link:2,S")))
	for _, name := range []string{".hidden", ":2,S", "line\nend", "message:2,S"} {
		must(t, os.WriteFile(filepath.Join(cur, name), []byte("x\n"), 0o600))
	}
	m := open(t, s, "INBOX")
	if m.Len() != 1 || m.Base(0) != "message" {
		t.Errorf("got %d messages, the first %q", m.Len(), m.Base(0))
	}
}
