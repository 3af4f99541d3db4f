package format

import (
	"encoding/json"
	"strings"
	"testing"

	"culver/services/doveadm/command"
)

var (
	uid     = command.Column{Key: "uid", Title: "uid", Number: true}
	flags   = command.Column{Key: "flags", Title: "flags"}
	hdr     = command.Column{Key: "hdr", Title: "hdr", Stream: true}
	mailbox = command.Column{Key: "mailbox", Title: "mailbox", Hide: true}
	limit   = command.Column{Key: "limit", Title: "Limit", Right: true, Number: true}
)

// printed gives what a formatter makes of rows whose cells are parted by "|".
func printed(t *testing.T, name string, o Options, cols []command.Column, rows ...string) string {
	t.Helper()
	var out strings.Builder
	p, err := New(name, &out, cols, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if o.Users {
			user, rest, _ := strings.Cut(row, ":")
			p.User(user)
			row = rest
		}
		for cell := range strings.SplitSeq(row, "|") {
			// Byte by byte: no layout may depend on where a value is cut.
			p.Begin()
			for i := range len(cell) {
				p.Write([]byte{cell[i]})
			}
			p.End()
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestLayouts(t *testing.T) {
	for _, tt := range []struct {
		name, form string
		o          Options
		cols       []command.Column
		rows       []string
		want       string
	}{
		{"flow names its cells", "flow", Options{}, []command.Column{mailbox, uid}, []string{"INBOX|1"}, "INBOX uid=1\n"},
		{"flow begins with the user", "flow", Options{Users: true}, []command.Column{mailbox, uid}, []string{"dave:INBOX|1"}, "dave INBOX uid=1\n"},
		{"flow lets line ends stand", "flow", Options{}, []command.Column{hdr, uid}, []string{"a\nb\n|1"}, "hdr=a\nb\n uid=1\n"},
		{"flow with nothing prints nothing", "flow", Options{}, []command.Column{uid}, nil, ""},

		{"pager parts rows by a form feed", "pager", Options{}, []command.Column{uid, flags}, []string{"1|\\Seen", "2|"}, "uid: 1\nflags: \\Seen\n\f\nuid: 2\nflags: \n"},
		{"pager streams below the title", "pager", Options{}, []command.Column{uid, hdr}, []string{"1|a\n\n"}, "uid: 1\nhdr:\na\n\n"},
		{"pager parts rows that begin with a stream", "pager", Options{}, []command.Column{hdr}, []string{"a\n", "b\n"}, "hdr:\na\n\f\nhdr:\nb\n"},
		{"pager keeps titles at the line's beginning", "pager", Options{}, []command.Column{hdr, uid}, []string{"a|1"}, "hdr:\na\nuid: 1\n"},
		{"pager ends with the value's last byte", "pager", Options{}, []command.Column{uid, hdr}, []string{"1|a"}, "uid: 1\nhdr:\na"},
		{"pager hides what flow hides", "pager", Options{Users: true}, []command.Column{mailbox}, []string{"dave:INBOX"}, "dave\nINBOX\n"},

		{"tab has titles without rows", "tab", Options{}, []command.Column{mailbox, uid}, nil, "mailbox\tuid\n"},
		{"tab shows hidden titles", "tab", Options{Users: true}, []command.Column{mailbox, uid}, []string{"dave:INBOX|1"}, "Username\tmailbox\tuid\ndave\tINBOX\t1\n"},
		{"tab without titles", "tab", Options{NoHeader: true}, []command.Column{mailbox, uid}, []string{"INBOX|1"}, "INBOX\t1\n"},
		{"tab keeps a backslash", "tab", Options{NoHeader: true}, []command.Column{flags}, []string{`\Seen \Recent`}, "\\Seen \\Recent\n"},
		{"tab escapes what would part cells", "tab", Options{NoHeader: true}, []command.Column{hdr, uid}, []string{"a\tb\r\n\x00\x01|1"}, "a\x01tb\x01r\x01n\x010\x011\t1\n"},

		{"table gives half of the room to the last column", "table", Options{Width: 30}, []command.Column{uid, flags}, []string{"1|a", "22|b"},
			"uid flags          \n1   a              \n22  b              \n"},
		{"table aligns right", "table", Options{Width: 30}, []command.Column{uid, limit}, []string{"1|10"}, "uid           Limit\n1                10\n"},
		{"table has no titles where all are hidden", "table", Options{Width: 30}, []command.Column{mailbox}, []string{"a"}, "a" + strings.Repeat(" ", 17) + "\n"},
		{"table has titles without rows", "table", Options{}, []command.Column{uid}, nil, "uid" + strings.Repeat(" ", 38) + "\n"},
		{"table shows line ends", "table", Options{Width: 30, NoHeader: true}, []command.Column{uid, hdr}, []string{"1|a\r\nb"}, `1   a\r\nb` + strings.Repeat(" ", 10) + "\n"},
		{"table takes a missing column from the last", "table", Options{Width: 30}, []command.Column{flags, uid}, []string{strings.Repeat("x", 28) + "|1"},
			"flags                        uid\n" + strings.Repeat("x", 28) + " 1\n"},

		{"json is an array of strings", "json", Options{}, []command.Column{uid, flags}, []string{"1|\\Seen", "2|"}, `[{"uid":"1","flags":"\\Seen"},{"uid":"2","flags":""}]`},
		{"json with nothing is an empty array", "json", Options{}, []command.Column{uid}, nil, "[]"},
		{"json escapes as little as it may", "json", Options{}, []command.Column{flags}, []string{"/\x7f\u009b\xff\u2028\x01\x1b\"\b\f\n\r\t"},
			"[{\"flags\":\"/\x7f\u009b\ufffd\\u2028\\u0001\\u001b\\\"\\b\\f\\n\\r\\t\"}]"},

		{"ndjson has numbers", "ndjson", Options{Users: true}, []command.Column{uid, flags}, []string{"dave:1|\\Seen", "eve:2|"},
			`{"username":"dave","uid":1,"flags":"\\Seen"}` + "\n" + `{"username":"eve","uid":2,"flags":""}` + "\n"},
		{"ndjson has null for no number", "ndjson", Options{}, []command.Column{limit, uid}, []string{"-|"}, `{"limit":null,"uid":null}` + "\n"},
		{"ndjson quotes what is no number", "ndjson", Options{}, []command.Column{uid, uid}, []string{"error|007"}, `{"uid":"error","uid#2":"007"}` + "\n"},
		{"ndjson names cells that are not UTF-8", "ndjson", Options{}, []command.Column{hdr, flags}, []string{"a\xffb\xc3|ok"}, `{"hdr":"a` + "\ufffd" + `b` + "\ufffd" + `","flags":"ok","not-utf8":["hdr"]}` + "\n"},

		{"a terminal sees control bytes", "flow", Options{Terminal: true}, []command.Column{flags}, []string{"\x1b[2J\u009b\x7f\xff\u202eok\tä"}, `flags=\x1b[2J\x9b\x7f\xff\u{202e}ok` + "\tä\n"},
		{"a terminal keeps line ends", "pager", Options{Terminal: true}, []command.Column{hdr}, []string{"a\r\nb\rc\n\r"}, "hdr:\na\r\nb\\x0dc\n\\x0d"},
		{"a terminal reads tab's escapes", "tab", Options{Terminal: true, NoHeader: true}, []command.Column{flags}, []string{"a\tb\x1b"}, `a\tb\x1b` + "\n"},
		{"a terminal gets JSON that is JSON", "json", Options{Terminal: true}, []command.Column{flags}, []string{"\x1b\u009b"}, `[{"flags":"\u001b\u009b"}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := printed(t, tt.form, tt.o, tt.cols, tt.rows...); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestACutRowDoesNotShiftTheNext(t *testing.T) {
	var out strings.Builder
	p, err := New("tab", &out, []command.Column{uid, flags}, Options{NoHeader: true, Users: true})
	if err != nil {
		t.Fatal(err)
	}
	p.User("dave")
	p.Value("1")
	p.Begin()
	p.Write([]byte("\\Se"))
	p.Break()
	p.Value("2")
	p.Break()
	p.Break()
	p.User("eve")
	p.Value("3")
	p.Value("x")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "dave\t1\t\\Se\ndave\t2\t\neve\t3\tx\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestATableKeepsItsWidthsAfterTheFirstRows(t *testing.T) {
	var rows []string
	for range tableRows {
		rows = append(rows, "1|a")
	}
	rows = append(rows, "1234567|b")
	got := strings.Split(printed(t, "table", Options{NoHeader: true, Width: 30}, []command.Column{uid, flags}, rows...), "\n")
	if want := "1   a              "; got[0] != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
	if want := "1234567 b              "; got[tableRows] != want {
		t.Errorf("got %q, want %q", got[tableRows], want)
	}
}

func TestATableCellIsBounded(t *testing.T) {
	got := printed(t, "table", Options{NoHeader: true, Width: 30}, []command.Column{hdr}, strings.Repeat("x", tableCell+5))
	if !strings.HasSuffix(strings.TrimSpace(got), "x[and 5 bytes]") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-20:])
	}
}

func TestSafeIsOneLine(t *testing.T) {
	if got, want := Safe("a\nb\r\n\x1b\xffä\u2066\t"), "a\\x0ab\\x0d\\x0a\\x1b\\xffä\\u{2066}\\x09"; got != strings.ReplaceAll(want, `\x09`, "\t") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUnknownNameIsRefused(t *testing.T) {
	if _, err := New("xml", nil, nil, Options{}); err == nil || !strings.Contains(err.Error(), "ndjson") {
		t.Errorf("got %v, want the names there are", err)
	}
}

// Whatever a message holds, and wherever it is cut, the JSONs stay JSON and a
// terminal gets no control byte.
func FuzzCells(f *testing.F) {
	f.Add("a\r\n\x1b", "\xc3", 1)
	f.Add("\xe2\x80", "\xae12", 2)
	f.Fuzz(func(t *testing.T, a, b string, cut int) {
		for _, form := range Names() {
			var out strings.Builder
			p, err := New(form, &out, []command.Column{hdr, uid}, Options{Terminal: true})
			if err != nil {
				t.Fatal(err)
			}
			p.Begin()
			at := min(max(cut, 0), len(a))
			p.Write([]byte(a[:at]))
			p.Write([]byte(a[at:]))
			p.End()
			p.Value(b)
			p.Close()
			if strings.HasSuffix(form, "json") && !json.Valid([]byte(out.String())) {
				t.Errorf("%s: %q is not JSON", form, out.String())
			}
			for i, r := range out.String() {
				if hostile(r) && r != '\n' && r != '\t' && !(r == '\r' && out.String()[i+1] == '\n') {
					t.Errorf("%s: %q has a control byte", form, out.String())
				}
			}
		}
	})
}
