package maildir

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFolderName: whatever a sender writes after the +, the folder lies in the
// root, and its name comes back from disk as it was.
func FuzzFolderName(f *testing.F) {
	for _, s := range []string{"INBOX", "a.b", "../x", "Été & Co", "a/../../b", "&AMk-", "\x00", "~", "💌", "cur"} {
		f.Add(s, false, false)
		f.Add(s, true, true)
	}
	f.Fuzz(func(t *testing.T, name string, fs, utf8 bool) {
		s := New(Config{Root: "/r", FS: fs, UTF8: utf8})
		parts, err := s.parts(name)
		if err != nil {
			return
		}
		disk := s.onDisk(parts)
		path := filepath.Join(append([]string{"/r"}, disk...)...)
		if !strings.HasPrefix(path, "/r/") || filepath.Dir(filepath.Join("/r", disk[0])) != "/r" || !fs && len(disk) != 1 {
			t.Fatalf("%q leaves the root: %q", name, disk)
		}
		for _, d := range disk {
			if d == "." || d == ".." || strings.ContainsAny(d, "/\x00") || len(d) > 255 {
				t.Fatalf("%q becomes %q", name, disk)
			}
		}
		for _, p := range parts {
			if got := s.decode(s.encode(p)); got != p {
				t.Fatalf("%q comes back as %q", p, got)
			}
		}
	})
}

// FuzzMaildirsize: a file that anybody wrote gives sane numbers or an error,
// and what we write back reads the same.
func FuzzMaildirsize(f *testing.F) {
	f.Add([]byte("2048S,5C\n1707 4\n473 1\n-473 -1\n"))
	f.Add([]byte("0S\n"))
	f.Add([]byte(",S\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseSizeFile(data)
		if err != nil {
			return
		}
		if got.counts.bytes < 0 || got.counts.messages < 0 || got.limits.bytes < 0 || got.limits.messages < 0 {
			t.Fatalf("negative: %+v", got)
		}
		again, err := parseSizeFile(got.text())
		if err == nil && (again.limits != got.limits || again.counts != got.counts) {
			t.Fatalf("wrote %+v, read %+v", got, again)
		}
	})
}

// FuzzQuotaRule: no rule makes a limit negative or the matcher hang.
func FuzzQuotaRule(f *testing.F) {
	f.Add("*:storage=1G:messages=5", "Trash:storage=+100M", "INBOX")
	f.Add("*:bytes=1", "T*?*:storage=-10%", "Trash")
	f.Fuzz(func(t *testing.T, a, b, mailbox string) {
		q, err := ParseQuota([]string{a, b}, "10%")
		if err != nil {
			return
		}
		own, _ := q.own()
		l := q.forMailbox(mailbox, own)
		if l.bytes < 0 || l.messages < 0 {
			t.Fatalf("%q %q for %q: %+v", a, b, mailbox, l)
		}
		q.ignored(mailbox)
		q.exceeded(l, counts{1, 1}, 1)
	})
}
