package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestQuotaRules(t *testing.T) {
	t.Parallel()
	own := limits{1 << 30, 1000}
	for _, tt := range []struct {
		name    string
		rules   []string
		mailbox string
		want    limits
		ignored bool
	}{
		{"units", []string{"*:storage=1G:messages=1000"}, "INBOX", own, false},
		{"a bare number is kilobytes", []string{"*:storage=1048576", "*:messages=1000"}, "INBOX", own, false},
		{"bytes", []string{"*:bytes=1073741824", "*:messages=1000"}, "INBOX", own, false},
		{"the later one wins", []string{"*:storage=5G:messages=1000", "*:storage=1GB"}, "INBOX", own, false},
		{"more in one folder", []string{"*:storage=1G:messages=1000", "Trash:storage=+100M"}, "Trash", limits{1<<30 + 100<<20, 1000}, false},
		{"and only there", []string{"*:storage=1G:messages=1000", "Trash:storage=+100M"}, "Trashy", own, false},
		{"a share", []string{"*:storage=1G:messages=1000", "T*:storage=+10%"}, "Trash", limits{1<<30 + 1<<30/10, 1000}, false},
		{"less", []string{"*:storage=1G:messages=1000", "T?:messages=-999"}, "Tx", limits{1 << 30, 1}, false},
		{"never below one", []string{"*:storage=1G:messages=1000", "Tx:messages=-2000"}, "Tx", limits{1 << 30, 1}, false},
		{"ignored", []string{"*:storage=1G:messages=1000", "Trash:ignore"}, "Trash", own, true},
		{"inbox has no case", []string{"*:storage=1G:messages=1000", "inbox:ignore"}, "INBOX", own, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, err := ParseQuota(tt.rules, "10%")
			must(t, err)
			base, _ := q.own()
			if got := q.forMailbox(tt.mailbox, base); got != tt.want || q.ignored(tt.mailbox) != tt.ignored {
				t.Errorf("got %v, ignored %v, want %v", got, q.ignored(tt.mailbox), tt.want)
			}
		})
	}
}

func TestQuotaRulesRefused(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"", "*", "*:", ":storage=1G", "*:storage", "*:storage=", "*:storage=1X", "*:storage=x", "*:storage=1GGG",
		"*:storage=-1G", "*:storage=10%", "*:messages=1k", "*:ignore", "*:storage=99999999999T", "*:colour=1", "*:storage=++1"} {
		if _, err := ParseQuota([]string{rule}, ""); err == nil {
			t.Errorf("%q was taken", rule)
		}
	}
	for _, grace := range []string{"x", "+1", "-1", "-10%"} {
		if _, err := ParseQuota(nil, grace); err == nil {
			t.Errorf("grace %q was taken", grace)
		}
	}
}

func TestExceeded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		l    limits
		have counts
		size int64
		want bool
	}{
		{"no limits", limits{}, counts{1 << 40, 1 << 20}, 1 << 30, false},
		{"fits", limits{bytes: 1000}, counts{bytes: 900}, 100, false},
		{"the last one within the grace", limits{bytes: 1000}, counts{bytes: 990}, 100, false},
		{"beyond the grace", limits{bytes: 1000}, counts{bytes: 990}, 111, true},
		{"full already", limits{bytes: 1000}, counts{bytes: 1000}, 1, true},
		{"larger than all", limits{bytes: 1000}, counts{}, 1001, true},
		{"one more message", limits{messages: 3}, counts{messages: 2}, 9, false},
		{"one too many", limits{messages: 3}, counts{messages: 3}, 9, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, err := ParseQuota(nil, "10%")
			must(t, err)
			if got := q.exceeded(tt.l, tt.have, tt.size); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestParseSizeFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       sizeFile
		bad        bool
	}{
		{"all kinds of lines", "2048S,5C\n1707 4\n473 1\n-473 -1\n", sizeFile{limits{2048, 5}, counts{1707, 4}, 3}, false},
		{"Courier pads", "2048S\n        1707            4\n", sizeFile{limits{2048, 0}, counts{1707, 4}, 1}, false},
		{"no limits", "0S\n0 0\n", sizeFile{limits{}, counts{}, 1}, false},
		{"a line being written is not there yet", "1S\n5 1\n7", sizeFile{limits{1, 0}, counts{5, 1}, 1}, false},
		{"only limits", "1S\n", sizeFile{limits{1, 0}, counts{}, 0}, false},
		{"empty", "", sizeFile{}, true},
		{"negative", "1S\n-5 1\n", sizeFile{}, true},
		{"NUL", "1S\n5 1\n\x00", sizeFile{}, true},
		{"words", "1S\nfive one\n", sizeFile{}, true},
		{"three numbers", "1S\n1 2 3\n", sizeFile{}, true},
		{"overflow", "1S\n9223372036854775807 1\n9223372036854775807 1\n", sizeFile{}, true},
		{"no number", "S\n1 1\n", sizeFile{}, true},
		{"too long", "1S\n" + strings.Repeat("1 1\n", 1300), sizeFile{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseSizeFile([]byte(tt.text))
			if (err != nil) != tt.bad || !tt.bad && got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// TestQuotaFile follows one maildirsize through saves.
func TestQuotaFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rules  []string
		old    string // maildirsize before, "" for none
		age    time.Duration
		text   string
		want   error
		after  string // maildirsize after, "" for none
		folder string
	}{
		{"no limits, no file", nil, "", 0, "12345678\r\n", nil, "", ""},
		{"made by counting, then appended", []string{"*:storage=1M"}, "", 0, "12345678\r\n", nil, "1048576S\n1707 2\n25 1\n", ""},
		{"obeyed without any configuration", nil, "1000S\n1000 1\n", 0, "1\r\n", ErrQuota, "1000S\n1000 1\n", ""},
		{"believed while it is young and short", []string{"*:bytes=5000"}, "5000S\n5000 1\n", 0, "1\r\n", ErrQuota, "5000S\n5000 1\n", ""},
		{"counted again when it is old", []string{"*:bytes=5000"}, "5000S\n5000 1\n", time.Hour, "12345678\r\n", nil, "5000S\n1707 2\n25 1\n", ""},
		{"counted again when it has differences", []string{"*:bytes=5000"}, "5000S\n4000 1\n1000 1\n", 0, "12345678\r\n", nil, "5000S\n1707 2\n25 1\n", ""},
		{"appended to otherwise", nil, "5000S\n9 1\n", time.Hour, "12345678\r\n", nil, "5000S\n9 1\n25 1\n", ""},
		{"new limits", []string{"*:bytes=6000:messages=9"}, "5000S\n9 1\n", 0, "12345678\r\n", nil, "6000S,9C\n1707 2\n25 1\n", ""},
		{"damaged, limits kept", nil, "5000S\nx\n", 0, "12345678\r\n", nil, "5000S\n1707 2\n25 1\n", ""},
		{"full, limits kept", nil, "2000S\n" + strings.Repeat("0 0\n", 1280), 0, "12345678\r\n", nil, "2000S\n1707 2\n25 1\n", ""},
		{"NUL bytes of a crash, limits kept", nil, "2000S\n5 1\n\x00\x00\n", 0, "12345678\r\n", nil, "2000S\n1707 2\n25 1\n", ""},
		{"a folder that counts for nothing", []string{"*:bytes=2000", "Trash:ignore"}, "2000S\n2000 1\n", 0, "1\r\n", nil, "2000S\n2000 1\n", "Trash"},
		{"and is left out of the count", []string{"*:bytes=2000", "Trash:ignore"}, "", 0, "12345678\r\n", nil, "2000S\n1000 1\n25 1\n", ""},
		{"too many", []string{"*:messages=2"}, "", 0, "1\r\n", ErrQuota, "2C\n1707 2\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			q, err := ParseQuota(tt.rules, "10%")
			must(t, err)
			s := newStore(t, Config{Quota: q, Auto: []AutoFolder{{"Trash", false}}})
			f := inbox(t, s)
			root := s.c.Root
			must(t, os.WriteFile(root+"/cur/1.a.b,S=1000:2,S", nil, 0o600),
				os.WriteFile(root+"/.Trash/new/2.a.b", make([]byte, 707), 0o600),
				os.WriteFile(root+"/tmp/3.a.b,S=9999", nil, 0o600))
			path := filepath.Join(root, "maildirsize")
			if tt.old != "" {
				when := time.Now().Add(-tt.age)
				must(t, os.WriteFile(path, []byte(tt.old), 0o600), os.Chtimes(path, when, when))
			}
			if tt.folder != "" {
				f, err = s.Folder(tt.folder, Create{})
				must(t, err)
				defer f.Close()
			}
			if _, err := f.Save(message(tt.text)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			got, _ := os.ReadFile(path)
			if string(got) != tt.after {
				t.Errorf("maildirsize: got %q, want %q", got, tt.after)
			}
			if left := entries(t, root, "tmp"); len(left) != 1 {
				t.Errorf("left in tmp: %q", left)
			}
		})
	}
}

func TestCountInLayoutFS(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:bytes=2000", "a/b:ignore"}, "")
	must(t, err)
	s := newStore(t, Config{FS: true, Quota: q})
	for _, name := range []string{"a", "a/b", "a/b/c"} {
		f, err := s.Folder(name, Create{Always: true})
		must(t, err)
		f.Close()
		must(t, os.WriteFile(filepath.Join(s.c.Root, name, "cur", "1.a,S=100"), nil, 0o600))
	}
	got, quiet, err := s.count()
	if want := (counts{200, 2}); got != want || !quiet || err != nil {
		t.Errorf("got %v, %v, %v, want %v", got, quiet, err, want)
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	q, err := ParseQuota([]string{"*:bytes=1000"}, "0")
	must(t, err)
	s := newStore(t, Config{Quota: q})
	f := inbox(t, s)
	must(t, f.Room(0), f.Room(1000))
	if err := f.Room(1001); !errors.Is(err, ErrQuota) {
		t.Errorf("got %v, want ErrQuota", err)
	}
}
