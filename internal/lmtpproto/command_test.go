package lmtpproto

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line string
		want       Command
		err        error
	}{
		{"any case of the verb", "rCpT TO:<a@B>", Command{"RCPT", "TO:<a@B>"}, nil},
		{"trailing blanks are ignored", "RSET   ", Command{"RSET", ""}, nil},
		{"an empty line is an unknown command", "", Command{}, nil},
		{"a TAB", "NOOP\tx", Command{}, ErrSyntax},
		{"a NUL", "NOOP x\x00", Command{}, ErrSyntax},
		{"a CR within the line", "NOOP x\ry", Command{}, ErrSyntax},
		{"two blanks after the verb", "MAIL  FROM:<>", Command{}, ErrSyntax},
		{"a byte that is not UTF-8", "NOOP \xff", Command{}, ErrSyntax},
		{"a verb of 33 letters", strings.Repeat("A", 33), Command{}, ErrSyntax},
		{"a verb with a sign", "STAR-TLS", Command{}, ErrSyntax},
		{"arguments of 4096 bytes", "NOOP " + strings.Repeat("x", MaxArgs), Command{"NOOP", strings.Repeat("x", MaxArgs)}, nil},
		{"arguments of 4097 bytes", "NOOP " + strings.Repeat("x", MaxArgs+1), Command{}, ErrLineTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseCommand([]byte(tt.line))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestReadLineSkipsWhatIsTooLong(t *testing.T) {
	t.Parallel()
	in := "NOOP\nNOOP " + strings.Repeat("x", 3*MaxLine) + "\r\nQUIT\r\nhalf"
	br := bufio.NewReaderSize(strings.NewReader(in), MaxLine)
	for _, want := range []struct {
		line string
		err  error
	}{{"NOOP", nil}, {"", ErrLineTooLong}, {"QUIT", nil}, {"", io.EOF}} {
		got, err := ReadLine(br)
		if string(got) != want.line || err != want.err {
			t.Errorf("got %q, %v, want %q, %v", got, err, want.line, want.err)
		}
	}
}

func TestParseMail(t *testing.T) {
	t.Parallel()
	both := Workarounds{true, true}
	for _, tt := range []struct {
		name, args string
		w          Workarounds
		want       string // the path, then the parameters
		err        error
	}{
		{"plain", "FROM:<a@b.org>", Workarounds{}, "a@b.org", nil},
		{"null", "from:<> BODY=8BITMIME", Workarounds{}, " BODY=8BITMIME", nil},
		{"a sender without domain", "FROM:<root>", Workarounds{}, "root", nil},
		{"a broken sender is the null one", "FROM:<user@>", Workarounds{}, "", nil},
		{"two dots, too", "FROM:<a..b@c>", Workarounds{}, "", nil},
		{"only a domain, too", "FROM:<@b>", Workarounds{}, "", nil},
		{"source route", "FROM:<@a,@b:u@d>", Workarounds{}, "u@d", nil},
		{"no brackets", "FROM:a@b", Workarounds{}, "", ErrParam},
		{"no brackets, worked around", "FROM:a@b SIZE=1", both, "a@b SIZE=1", nil},
		{"a blank before the path", "FROM: <a@b>", Workarounds{}, "", ErrParam},
		{"a blank before the path, worked around", "FROM: <a@b>", both, "a@b", nil},
		{"a blank in the local part", "FROM:<a b@c>", Workarounds{}, "", ErrParam},
		{"nothing between path and parameter", "FROM:<a@b>SIZE=1", Workarounds{}, "", ErrParam},
		{"a keyword twice", "FROM:<> SIZE=1 size=2", Workarounds{}, "", ErrParam},
		{"an empty value", "FROM:<> SIZE=", Workarounds{}, "", ErrParam},
		{"a = in the value", "FROM:<> X=a=b", Workarounds{}, "", ErrParam},
		{"a keyword without a value", "FROM:<> SMTPUTF8", Workarounds{}, " SMTPUTF8", nil},
		{"never closed", "FROM:<a@b", Workarounds{}, "", ErrParam},
		{"the word missing", "<a@b>", Workarounds{}, "", ErrParam},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := ParseMail(tt.args, tt.w)
			got := ""
			if err == nil {
				got = e.Path.String()
				for _, p := range e.Params {
					got += " " + p.Key
					if p.HasValue {
						got += "=" + p.Value
					}
				}
			}
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestParseRcpt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, args, path, user, detail string
	}{
		{"plain", "TO:<Bob@X>", "Bob@X", "Bob@X", ""},
		{"no domain", "TO:<bob>", "bob", "bob", ""},
		{"postmaster is an ordinary user", "TO:<postmaster>", "postmaster", "postmaster", ""},
		{"detail", "TO:<bob+a+b@x>", "bob+a+b@x", "bob@x", "a+b"},
		{"only detail", "TO:<+det@x>", "+det@x", "@x", "det"},
		{"quoted, for no need", `TO:<"bob"@x>`, "bob@x", "bob@x", ""},
		{"quoted, for a need", `TO:<"b\"> o"@x>`, `"b\"> o"@x`, `b"> o@x`, ""},
		{"quoted @", `TO:<"a@b"@x>`, `"a@b"@x`, "a@b@x", ""},
		{"an address literal", "TO:<bob@[192.0.2.1]>", "bob@[192.0.2.1]", "bob@[192.0.2.1]", ""},
		{"UTF-8", "TO:<bøb@exämple>", "bøb@exämple", "bøb@exämple", ""},
		{"null path", "TO:<>", "", "", ""},
		{"empty quotes", `TO:<""@x>`, "", "", ""},
		{"two dots", "TO:<a..b@x>", "", "", ""},
		{"a dot at the end", "TO:<a.@x>", "", "", ""},
		{"empty domain", "TO:<a@>", "", "", ""},
		{"angle in the domain", "TO:<a@b<c>", "", "", ""},
		{"a path of 513 bytes", "TO:<" + strings.Repeat("a", MaxPath+1) + ">", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := ParseRcpt(tt.args, Workarounds{})
			if (err != nil) != (tt.path == "") {
				t.Fatalf("got error %v, want a path: %v", err, tt.path != "")
			}
			user, detail, _ := e.Path.User("+")
			if e.Path.String() != tt.path || user != tt.user || detail != tt.detail {
				t.Errorf("got %q %q %q, want %q %q %q", e.Path, user, detail, tt.path, tt.user, tt.detail)
			}
		})
	}
}

func TestUserTakesTheFirstOfSeveralDelimiters(t *testing.T) {
	t.Parallel()
	p := Path{Local: "bob-x+y", Domain: "d"}
	for delims, want := range map[string]string{"+-": "bob@d", "+": "bob-x@d", "": "bob-x+y@d"} {
		if got, _, _ := p.User(delims); got != want {
			t.Errorf("delimiters %q: got %q, want %q", delims, got, want)
		}
	}
}

func TestParseSmallThings(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]bool{
		"0 LAST": true, "12": true, "12 last": true, "": false, "-1": false, "1 2": false, "+1": false,
		"99999999999999999999": false, "1 LAST x": false, "0x1": false,
	} {
		if _, _, err := ParseBDAT(args); (err == nil) != want {
			t.Errorf("BDAT %s: got %v, want taken: %v", args, err, want)
		}
	}
	if n, err := ParseXFD("17 LAST"); n != 17 || err != nil {
		t.Errorf("XFD: got %d, %v", n, err)
	}
	if _, err := ParseXFD("17"); err == nil {
		t.Error("XFD without LAST: got nil, want an error")
	}
	for value, want := range map[string]string{"rfc822;a+2Bb@c": "a+b@c", "utf-8;ø@c": "ø@c", "rfc822": "", "rfc822;": "", ";a": "", "rfc822;a+2": ""} {
		if _, got, _ := ParseORCPT(value); got != want {
			t.Errorf("ORCPT=%s: got %q, want %q", value, got, want)
		}
	}
	got, err := ParseXClient("ADDR=IPV6:2001:db8::1 port=25 LOGIN=[UNAVAILABLE] HELO=a+20b X=")
	if err != nil || len(got) != 4 || got[2].Value != "a b" || got[1].Key != "PORT" {
		t.Errorf("XCLIENT: got %v, %v", got, err)
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<@a,@b:u@d> SIZE=3 BODY=8BITMIME", `RCPT TO:<"a\"b"+c@[1.2]> ORCPT=rfc822;a+2Bb`,
		"BDAT 12 LAST", "XCLIENT ADDR=1.2.3.4 HELO=[TEMPUNAVAIL]", "NOOP\x00", "  ", "rcpt to: <ü@ü>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		c, err := ParseCommand(line)
		if err != nil {
			return
		}
		ParseBDAT(c.Args)
		ParseXFD(c.Args)
		ParseXClient(c.Args)
		for _, w := range []Workarounds{{}, {true, true}} {
			ParseMail(c.Args, w)
			e, err := ParseRcpt(c.Args, w)
			if err != nil {
				continue
			}
			// What we say of a path must read back as the same path: the front
			// hands it on to the worker in this form.
			again, err := ParseRcpt("TO:<"+e.Path.String()+">", Workarounds{})
			if len(e.Path.String()) <= MaxPath && (err != nil || again.Path != e.Path) {
				t.Errorf("%q: got %q, %v, want %q", line, again.Path, err, e.Path)
			}
			for _, p := range e.Params {
				ParseORCPT(p.Value)
			}
		}
		x := AppendXtext(nil, c.Args)
		if back, err := DecodeXtext(string(x)); err != nil || back != c.Args {
			t.Errorf("xtext of %q: got %q, %v", c.Args, back, err)
		}
	})
}
