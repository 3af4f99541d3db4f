package log

import (
	"strings"
	"testing"
	"time"

	"culver/internal/maillog/logline"
)

// printed gives a child's bytes as a log file would have them, without the time.
func printed(from Source, wire string) string {
	s := splitter{}
	lines := s.split(nil, []byte(wire))
	lines = s.rest(lines)
	var out strings.Builder
	f := &File{Stream: &out}
	w := NewWriter(f, f, f, f)
	w.Write(from, lines)
	return out.String()
}

func framed(l logline.Level, session, user, text string) string {
	return string(logline.Append(nil, l, session, user, text))
}

func TestPrintedLines(t *testing.T) {
	t.Parallel()
	front := Source{PID: 7, Service: "lmtp"}
	bob := Source{PID: 9, Service: "lmtp", User: "bob@x"}
	for _, tt := range []struct {
		name string
		from Source
		wire string
		want string
	}{
		{"a worker's line has the master's user and the session", bob,
			framed(logline.Info, "S1:R4", "", "msgid=<a@b>: saved mail to INBOX"),
			"lmtp(bob@x)<9><S1:R4>: Info: msgid=<a@b>: saved mail to INBOX\n"},
		{"a line without user or session has the pid", front,
			framed(logline.Info, "", "", "Connect from local"),
			"lmtp(7): Info: Connect from local\n"},
		{"a process that serves many names the user", front,
			framed(logline.Warn, "S", "ann", "slow"),
			"lmtp(ann)<7><S>: Warning: slow\n"},
		{"a process of one user cannot name another", bob,
			framed(logline.Info, "", "root", "hello"),
			"lmtp(bob@x)<9>: Info: hello\n"},
		{"a service of one process has its bare name, as in Dovecot", Source{PID: 3, Service: "auth"},
			framed(logline.Error, "", "", "users file: line 3"),
			"auth: Error: users file: line 3\n"},
		{"a record of auth's", Source{PID: 3, Service: "auth"},
			framed(logline.Audit, "S", "ann", "principal=admin"),
			"auth(ann)<3><S>: Audit: principal=admin\n"},
		{"nobody else writes one", front,
			framed(logline.Audit, "S", "ann", "principal=admin"),
			"lmtp(ann)<7><S>: Error: principal=admin\n"},
		{"nor by the words of one", bob,
			framed(logline.Info, "", "", "x\nauth(ann)<3>: Audit: principal=admin"),
			`lmtp(bob@x)<9>: Info: x\nauth(ann)<3>: Audit: principal=admin` + "\n"},
		{"plain standard error is an error", bob, "panic: oh\n\ngoroutine 1\n",
			"lmtp(bob@x)<9>: Error: panic: oh\nlmtp(bob@x)<9>: Error: \nlmtp(bob@x)<9>: Error: goroutine 1\n"},
		{"an unknown level is plain text, its first byte made visible", front, "\x01zS\tu\ttext\n",
			`lmtp(7): Error: \x01zS\tu\ttext` + "\n"},
		{"a frame with too few fields is plain text", front, "\x01iS\ttext\n",
			`lmtp(7): Error: \x01iS\ttext` + "\n"},
		{"an escaped line break stays on one line", front,
			framed(logline.Info, "", "", "a\nNov 23 16:26:16 auth: Info: forged"),
			`lmtp(7): Info: a\nNov 23 16:26:16 auth: Info: forged` + "\n"},
		{"a carriage return and a terminal's escape are visible", front,
			framed(logline.Info, "", "", "a\rb\x1b[2Jc\x7f"),
			`lmtp(7): Info: a\rb\x1b[2Jc\x7f` + "\n"},
		{"Unicode's line separators and direction marks are visible", front,
			framed(logline.Info, "", "", "a\u2028b\u0085c\u202ed"),
			`lmtp(7): Info: a\xe2\x80\xa8b\xc2\x85c\xe2\x80\xaed` + "\n"},
		{"letters of other scripts stay, broken UTF-8 does not", front,
			framed(logline.Info, "", "", "grüße \xff"),
			`lmtp(7): Info: grüße \xff` + "\n"},
		{"a user cannot close the bracket", front,
			framed(logline.Info, "", "x)<1>: Info: y", "z"),
			`lmtp(x\x29\x3c1\x3e:\x20Info:\x20y)<7>: Info: z` + "\n"},
		{"nor can a session", bob,
			framed(logline.Info, "s>: Error: ", "", "z"),
			`lmtp(bob@x)<9><s\x3e:\x20Error:\x20>: Info: z` + "\n"},
		{"the last words of a dead child count without a line end", bob, "\x01eS\t\thalf a li",
			"lmtp(bob@x)<9><S>: Error: half a li\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := printed(tt.from, tt.wire); got != tt.want {
				t.Errorf("got\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

func TestLongLinesAreCutAndMarked(t *testing.T) {
	t.Parallel()
	from := Source{PID: 1, Service: "lmtp"}
	next := framed(logline.Info, "", "", "next")
	for _, tt := range []struct{ name, wire string }{
		{"by the service when the child did not", "\x01i\t\t" + strings.Repeat("x", 3*logline.MaxLine) + "\n"},
		{"by the child itself", framed(logline.Info, "", "", strings.Repeat("x", 3*logline.MaxLine))},
		{"without a frame", strings.Repeat("x", 3*logline.MaxLine) + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lines := strings.SplitAfter(printed(from, tt.wire+next), "\n")
			if len(lines) != 3 || lines[1] != "lmtp(1): Info: next\n" {
				t.Fatalf("got %d lines, want the cut one and the next: %.200q", len(lines)-1, lines)
			}
			if !strings.HasSuffix(lines[0], "x"+logline.Mark+"\n") || len(lines[0]) > logline.MaxLine+64 {
				t.Errorf("got %d bytes ending in %q", len(lines[0]), lines[0][len(lines[0])-10:])
			}
		})
	}
}

func TestStamp(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 3, 6, 5, 4, 0, time.UTC)
	for pattern, want := range map[string]string{
		"%b %d %H:%M:%S ": "Nov 03 06:05:04 ",
		"%F %T%z":         "2026-11-03 06:05:04+0000",
		"%s|%e|%%|%Q|%":   "1793685904| 3|%|%Q|%",
		"":                "",
	} {
		if got := string(Stamp{Pattern: pattern, Zone: time.UTC}.Append(nil, at)); got != want {
			t.Errorf("%q: got %q, want %q", pattern, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte(framed(logline.Info, "S", "u", "text\n\x00")))
	f.Add([]byte("plain\nmore"))
	f.Add([]byte("\x01i\t\t\x01"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		out := printed(Source{PID: 1, Service: "lmtp"}, string(wire))
		ends := strings.Count(string(wire), "\n") + 1
		if got := strings.Count(out, "\n"); got > ends {
			t.Errorf("%d lines from %d: %q", got, ends, out)
		}
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, "lmtp(") {
				t.Errorf("line without its prefix: %q", line)
			}
			if strings.ContainsAny(line, "\x00\x01\x1b\r\x7f") {
				t.Errorf("control bytes in %q", line)
			}
		}
	})
}
