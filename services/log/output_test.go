package log

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/maillog/logline"
	"culver/internal/mailtest"
	"culver/internal/settings/finished"
)

var fatal = []Line{{Level: logline.Error, Text: "first"}, {Level: logline.Error, Text: "second"}}

func TestFileFollowsItsName(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mail.log")
	clock := time.Unix(1000, 0)
	f := &File{Path: path, Stream: &bytes.Buffer{}}
	w := NewWriter(f, f, f, f)
	w.Clock = func() time.Time { return clock }
	say := func(text string) { w.Write(Source{Service: "auth"}, []Line{{Level: logline.Info, Text: text}}) }

	say("one")
	os.Rename(path, path+".1")
	say("two") // within the same second: still the old file
	clock = clock.Add(2 * time.Second)
	say("three")
	os.Remove(path)
	w.Reopen()
	say("four")

	for name, want := range map[string]string{
		path + ".1": "auth: Info: one\nauth: Info: two\n",
		path:        "auth: Info: four\n",
	} {
		if got, err := os.ReadFile(name); string(got) != want {
			t.Errorf("%s: got %q (%v), want %q", filepath.Base(name), got, err, want)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
}

func TestAFileThatCannotBeWrittenLosesNothingSilently(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	clock := time.Unix(1000, 0)
	stderr := &bytes.Buffer{}
	f := &File{Path: filepath.Join(dir, "mail.log"), Stream: stderr}
	w := NewWriter(f, f, f, f)
	w.Clock = func() time.Time { return clock }

	w.Write(Source{Service: "auth"}, fatal)
	if want := "auth: Error: first\nauth: Error: second\n"; stderr.String() != want {
		t.Errorf("standard error got %q, want %q", stderr, want)
	}
	os.Mkdir(dir, 0o700)
	clock = clock.Add(2 * time.Second)
	w.Write(Source{Service: "auth"}, []Line{{Level: logline.Info, Text: "third"}})
	got, _ := os.ReadFile(f.Path)
	if !strings.HasPrefix(string(got), "log: Error: 2 lines could not be written to ") || !strings.HasSuffix(string(got), "auth: Info: third\n") {
		t.Errorf("got %q, want word of 2 lines, then the third", got)
	}
}

// /dev/full refuses every write as a full disk does.
func TestAFullDiskIsTold(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	mailtest.Need(t, "/dev/full", err)
	path := filepath.Join(t.TempDir(), "mail.log")
	os.WriteFile(path, nil, 0o600)
	stderr := &bytes.Buffer{}
	now := time.Unix(1000, 0)
	f := &File{Path: path, Stream: stderr, file: full, checked: now}
	w := NewWriter(f, f, f, f)
	w.Clock = func() time.Time { return now }
	w.Write(Source{Service: "auth"}, fatal)
	if f.lost.count != 2 || !strings.Contains(stderr.String(), "second\n") {
		t.Errorf("counted %d, standard error has %q; want 2 and both lines", f.lost.count, stderr)
	}
	w.Reopen()
	w.Write(Source{Service: "auth"}, fatal[:1])
	got, _ := os.ReadFile(path)
	if !strings.Contains(string(got), "2 lines could not be written") || !strings.Contains(string(got), "no space left") {
		t.Errorf("got %q, want the count and the cause", got)
	}
}

func TestSyslog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	listen := func() *net.UnixConn {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	stderr := &bytes.Buffer{}
	s := &Syslog{Path: path, Facility: facility("mail"), Tag: "culver", Stream: stderr,
		Stamp: Stamp{Zone: time.FixedZone("", 3600)}}
	w := NewWriter(s, s, s, s)
	clock := time.Date(2026, 11, 3, 6, 5, 4, 0, time.UTC)
	w.Clock = func() time.Time { return clock }
	bob := Source{PID: 9, Service: "lmtp", User: "bob"}
	expect := func(c *net.UnixConn, want string) {
		t.Helper()
		buf := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(buf); string(buf[:n]) != want {
			t.Errorf("got %q (%v), want %q", buf[:n], err, want)
		}
	}

	c := listen()
	w.Write(bob, []Line{{Level: logline.Info, Session: "S", Text: "saved\n<0>forged"}, {Level: logline.Error, Text: "bad"}})
	expect(c, `<22>Nov  3 07:05:04 culver: lmtp(bob)<9><S>: saved\n<0>forged`)
	expect(c, "<19>Nov  3 07:05:04 culver: lmtp(bob)<9>: Error: bad")

	// The logger ends: lines go to standard error and are counted.
	c.Close()
	os.Remove(path)
	w.Write(bob, fatal)
	if want := "lmtp(bob)<9>: Error: first\nlmtp(bob)<9>: Error: second\n"; stderr.String() != want {
		t.Errorf("standard error got %q, want %q", stderr, want)
	}
	// It comes back, and is told what it missed.
	c = listen()
	clock = clock.Add(2 * time.Second)
	w.Write(bob, fatal[:1])
	buf := make([]byte, 4096)
	n, _ := c.Read(buf)
	if !strings.Contains(string(buf[:n]), "culver: log: Error: 2 lines could not be written") {
		t.Errorf("got %q, want word of the 2 lines", buf[:n])
	}
	expect(c, "<19>Nov  3 07:05:06 culver: lmtp(bob)<9>: Error: first")
}

func TestASyslogThatHangsHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // and never read from
	stderr := &bytes.Buffer{}
	s := &Syslog{Path: path, Tag: "culver", Stream: stderr}
	w := NewWriter(s, s, s, s)
	now := time.Unix(1000, 0)
	w.Clock = func() time.Time { return now }
	start := time.Now()
	for range 3000 {
		w.Write(Source{Service: "auth"}, fatal)
	}
	if took := time.Since(start); took > 20*syslogWait {
		t.Errorf("6000 lines took %v with one wait of %v", took, syslogWait)
	}
	if s.lost.count == 0 || strings.Count(stderr.String(), "\n") != s.lost.count {
		t.Errorf("%d lines counted as lost, %d on standard error", s.lost.count, strings.Count(stderr.String(), "\n"))
	}
}

func TestLevelsGoWhereTheSettingsSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		name                    string
		log, info, debug, audit string
		want                    map[string]string
	}{
		{"all in one file", "a", "", "", "", map[string]string{"a": "diefa"}},
		{"info apart takes debug and audit along", "b", "c", "", "", map[string]string{"b": "ef", "c": "dia"}},
		{"four files", "d", "e", "f", "g", map[string]string{"d": "ef", "e": "i", "f": "d", "g": "a"}},
	} {
		full := func(name string) string {
			if name == "" {
				return ""
			}
			return filepath.Join(dir, name)
		}
		w := Open(finished.Bag{
			"log_path": full(tt.log), "info_log_path": full(tt.info), "debug_log_path": full(tt.debug), "audit_log_path": full(tt.audit),
			"log_timestamp": "", "syslog_facility": "mail",
		}, &bytes.Buffer{})
		for _, l := range []logline.Level{logline.Debug, logline.Info, logline.Error, logline.Fatal, logline.Audit} {
			w.Write(Source{Service: "auth"}, []Line{{Level: l, Text: string(l)}})
		}
		for name, want := range tt.want {
			text, _ := os.ReadFile(full(name))
			got := ""
			for line := range strings.Lines(string(text)) {
				got += string(line[len(line)-2])
			}
			if got != want {
				t.Errorf("%s: file %s got levels %q, want %q", tt.name, name, got, want)
			}
		}
	}
}
