package doveadmproto

import (
	"bufio"
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestCommandLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		minor int
		line  string
		want  Command
		err   error
	}{
		{"as 2.3 sends it", 2, "\talice\tsearch\t-u\talice\t--\tmailbox\tINBOX\tall\n",
			Command{User: "alice", Name: "search", Args: []string{"-u", "alice", "--", "mailbox", "INBOX", "all"}}, nil},
		{"CRLF", 2, "v\ta\tmailbox list\r\n", Command{Verbose: true, User: "a", Name: "mailbox list", Args: []string{}}, nil},
		{"no line end", 2, "vD\ta\tb", Command{Verbose: true, Debug: true, User: "a", Name: "b", Args: []string{}}, nil},
		{"an empty argument", 2, "\ta\tsearch\t-F\t\t--\n", Command{User: "a", Name: "search", Args: []string{"-F", "", "--"}}, nil},
		{"escapes", 2, "\ta\x01tb\tsave\t\x011\x01n\x01x\x01\n", Command{User: "a\tb", Name: "save", Args: []string{"\x01\nx"}}, nil},
		{"extra fields", 3, "vx\tproxy-ttl=4\x01tforward=a\x011tb\tann\tindex\tINBOX\n",
			Command{Verbose: true, Extra: []string{"proxy-ttl=4", "forward=a\tb"}, User: "ann", Name: "index", Args: []string{"INBOX"}}, nil},
		{"no extra fields", 3, "x\t\tann\tindex\n", Command{User: "ann", Name: "index", Args: []string{}}, nil},
		{"a client that cannot know x", 2, "x\tproxy-ttl=4\tann\tindex\n", Command{}, ErrFlag},
		{"an unknown flag", 3, "q\tann\tindex\n", Command{}, ErrFlag},
		{"an empty line", 2, "\n", Command{}, ErrNoCommand},
		{"two fields", 2, "\talice\n", Command{}, ErrNoCommand},
		{"x without its field", 3, "x\talice\tsearch\n", Command{}, ErrNoCommand},
		{"an empty command", 3, "\talice\t\n", Command{}, ErrNoCommand},
	} {
		got, err := ParseCommand([]byte(tt.line), tt.minor)
		if !errors.Is(err, tt.err) || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %#v, %v, want %#v, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestACommandIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ab \x00\x01\t\r\n\\é-]*`)
		want := Command{
			Verbose: rapid.Bool().Draw(t, "v"), Debug: rapid.Bool().Draw(t, "D"), User: text.Draw(t, "user"),
			Name: "x" + text.Draw(t, "name"), Args: rapid.SliceOf(text).Draw(t, "args"),
		}
		if extra := rapid.SliceOf(text).Draw(t, "extra"); len(extra) > 0 && strings.Join(extra, "") != "" {
			want.Extra = extra
		}
		line := want.Append(nil)
		if strings.Count(string(line), "\n") != 1 || strings.ContainsAny(string(line), "\x00\r") {
			t.Fatalf("no line: %q", line)
		}
		got, err := ParseCommand(line, MinorOwn)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %#v, %v, want %#v", line, got, err, want)
		}
	})
}

func TestStatusLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code                int
		old, current, among string // for 2.3, for 2.4, among ourselves
	}{
		{OK, "+", "+", "+"},
		{Changed, "-2", "-CHANGED", "-CHANGED"},
		{Usage, "-USAGE", "-USAGE", "-USAGE"},
		{DataErr, "-DATAERR", "-DATAERR", "-DATAERR"},
		{NoUser, "-NOUSER", "-NOUSER", "-NOUSER"},
		{NotFound, "-NOTFOUND", "-NOTFOUND", "-NOTFOUND"},
		{OverQuota, "-73", "-UNKNOWN", "-73"},
		{TempFail, "-TEMPFAIL", "-TEMPFAIL", "-TEMPFAIL"},
		{Protocol, "-PROTOCOL", "-PROTOCOL", "-PROTOCOL"},
		{NoPerm, "-NOPERM", "-NOPERM", "-NOPERM"},
		{NoReplicate, "-NOREPLICATE", "-TEMPFAIL", "-1001"},
		{Expired, "-TEMPFAIL", "-EXPIRED", "-EXPIRED"},
		{-1, "-TEMPFAIL", "-TEMPFAIL", "-TEMPFAIL"},
		{256, "-TEMPFAIL", "-TEMPFAIL", "-256"},
	} {
		for minor, want := range map[int]string{0: tt.old, 2: tt.old, 3: tt.current, 4: tt.current, MinorOwn: tt.among} {
			got := StatusText(tt.code, minor)
			if got != want {
				t.Errorf("code %d for minor %d: got %q, want %q", tt.code, minor, got, want)
			}
			if code, _, err := ParseStatus(got); err != nil || minor == MinorOwn && tt.code > 0 && code != tt.code {
				t.Errorf("%q is read back as %d, %v", got, code, err)
			}
		}
	}
	for _, tt := range []struct {
		line, referral string
		code           int
		err            error
	}{
		{"+ok", "", OK, nil}, {"-", "", TempFail, nil}, {"-UNKNOWN", "", TempFail, nil}, {"-73", "", OverQuota, nil},
		{"-0", "", TempFail, nil}, {"--1", "", TempFail, nil}, {"-NOREPLICATE", "", NoReplicate, nil},
		{"-REFERRAL u@h:1", "u@h:1", Referral, nil}, {"", "", TempFail, ErrStatus}, {"x", "", TempFail, ErrStatus},
	} {
		if code, to, err := ParseStatus(tt.line); code != tt.code || to != tt.referral || err != tt.err {
			t.Errorf("%q: got %d %q %v", tt.line, code, to, err)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line  string
		minor int
		ok    bool
	}{
		{strings.TrimSuffix(ClientVersion, "\n"), 3, true},
		{"VERSION\tdoveadm-server\t1\t0", 0, true},
		{"VERSION\tdoveadm-server\t1\t4\tmore", 4, true},
		{"VERSION\tdoveadm-server\t1", 0, false},
		{"VERSION\tdoveadm-server\t2\t0", 0, false},
		{"VERSION\tdoveadm-server\t1\t-1", 0, false},
		{"VERSION\tdoveadm-client\t1\t2", 0, false},
		{"", 0, false},
	} {
		if minor, err := ParseClientVersion(tt.line); minor != tt.minor || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v", tt.line, minor, err)
		}
	}
	if minor, err := ParseServerVersion("VERSION\tdoveadm-client\t1\t5"); minor != 5 || err != nil {
		t.Errorf("a server's: got %d, %v", minor, err)
	}
}

func TestLogLinesStayShort(t *testing.T) {
	t.Parallel()
	text := "one\r\n\ntwo" + strings.Repeat("x", 3*MaxLogLine)
	wire := AppendLog(nil, LogError, "doveadm(ann): ", text)
	joined := ""
	for l := range strings.Lines(string(wire)) {
		if len(l) > MaxLogLine || l[len(l)-1] != '\n' || !strings.HasPrefix(l, "\x04doveadm(ann): ") {
			t.Errorf("line of %d bytes: %.40q", len(l), l)
		}
		joined += strings.TrimSuffix(strings.TrimPrefix(l, "\x04doveadm(ann): "), "\n") + "|"
	}
	if want := "one||two"; !strings.HasPrefix(joined, want) || strings.Count(joined, "x") != 3*MaxLogLine {
		t.Errorf("got %.40q", joined)
	}
	if got := AppendLog(nil, LogInfo, "p: ", ""); string(got) != "\x02p: \n" {
		t.Errorf("an empty message: %q", got)
	}
}

func TestLogLinesAreReadInPieces(t *testing.T) {
	t.Parallel()
	for n := 1; n < 20; n++ {
		var l LogReader
		var got cells
		in := []byte("\x04an error\n\x02\nno level\n\n\x03cut")
		for len(in) > 0 {
			m := min(n, len(in))
			l.Feed(in[:m], got.Log)
			in = in[m:]
		}
		l.Flush(got.Log)
		if want := "4an error|2|3no level|3|3cut"; strings.Join(got.logs, "|") != want {
			t.Errorf("in pieces of %d: got %q", n, got.logs)
		}
	}
	var l LogReader
	var got cells
	l.Feed([]byte("\x04"+strings.Repeat("x", 5*MaxLogLine)+"\n"), got.Log)
	if len(got.logs) < 2 || len(l.held) > 2*MaxLogLine {
		t.Errorf("an endless line: %d lines, %d held", len(got.logs), len(l.held))
	}
}

func TestANumberComesInOnePiece(t *testing.T) {
	t.Parallel()
	in := AppendPacket(AppendPacket(nil, ChTouched, []byte("1234567890")), ChReply, []byte("\n+\n"))
	p := NewPacketReader(bufio.NewReader(iotest.OneByteReader(bytes.NewReader(in))))
	if got, err := p.Next(); err != nil || string(got.Data) != "1234567890" || got.More {
		t.Errorf("got %q, more %v, %v", got.Data, got.More, err)
	}
}
