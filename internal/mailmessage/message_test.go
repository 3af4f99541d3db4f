package mailmessage

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func parseFile(t *testing.T, name string) (*Part, *bytes.Reader) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(text)
	p, err := Parse(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}

// What Dovecot 2.3.19's doveadm prints for the same files.
func TestStructureAsDovecotPrintsIt(t *testing.T) {
	t.Parallel()
	const text = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" `
	for _, tt := range []struct{ file, want string }{
		{"many.eml", `("text" "plain" ("charset" "iso-8859-1" "format" "flowed") "<cid@x>" "a desc" "quoted-printable" 48 4 NIL ("inline" ("filename" "x y.txt")) ("en" "de") NIL)(("text" "html" ("charset" "utf-8") NIL NIL "7bit" 87 0 NIL NIL NIL NIL)("application" "octet-stream" ("name*" "utf-8''%c3%a4.bin") NIL NIL "base64" 20 "abc" NIL NIL "http://x/") "alternative" ("boundary" "b2") NIL NIL NIL)("message" "rfc822" NIL NIL NIL "7bit" 91 ("Tue, 1 Feb 2022 00:00:00 +0000" "inner" ((NIL NIL "in" "ner.org")) ((NIL NIL "in" "ner.org")) ((NIL NIL "in" "ner.org")) NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 17 1 NIL NIL NIL NIL) 5 NIL NIL NIL NIL) "mixed" ("boundary" "b1" "charset" "x") NIL NIL NIL`},
		{"single.eml", `"TEXT" "HTML" ("name" "foo" "charset" "us-ascii") NIL NIL "BASE64" 10 1 NIL ("attachment" NIL) ("en") NIL`},
		{"bare-parts.eml", text + `13 0 NIL NIL NIL NIL)("image" "png" NIL NIL NIL "7bit" 0 NIL NIL NIL NIL) "mixed" ("boundary" "zz") NIL NIL NIL`},
		{"html.eml", `"text" "html" ("charset" "us-ascii") NIL NIL "7bit" 158 3 NIL NIL NIL NIL`},
		{"no-boundary.eml", text + `0 0 NIL NIL NIL NIL) "mixed" NIL NIL NIL NIL`},
		{"unclosed.eml", `(` + text + `1 0 NIL NIL NIL NIL) "alternative" ("boundary" "i") NIL NIL NIL)` + text + `1 0 NIL NIL NIL NIL) "mixed" ("boundary" "o") NIL NIL NIL`},
	} {
		p, _ := parseFile(t, tt.file)
		if got := p.BodyStructure(true); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.file, got, tt.want)
		}
	}
}

func TestEnvelopeAsDovecotPrintsIt(t *testing.T) {
	t.Parallel()
	const froms = `(("=?utf-8?Q?J=C3=BCrgen_M?=" NIL "j.m" "example.org")({12}` + "\r\n" + `Quoted "x" y NIL "q" "example.com")(NIL NIL "plain" "example.net"))`
	for _, tt := range []struct{ file, want string }{
		{"many.eml", `"Mon, 10 Jan 2022 12:34:56 +0200 (EET)" {79}` + "\r\n" + `=?iso-8859-1?Q?a_=E4?= =?iso-8859-1?Q?b?= folded tab spaces "quoted" back\slash ` +
			froms + ` ((NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN")) ` + froms + ` ((NIL NIL "Group" NIL)(NIL NIL "a" "b.c")("D E" NIL "d" "e.f")(NIL NIL NIL NIL)(NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)) `},
		{"single.eml", "\"garbage  \twith  fold\" \"x\" NIL NIL NIL NIL NIL NIL NIL NIL"},
	} {
		p, _ := parseFile(t, tt.file)
		if got := p.Envelope(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s:\ngot  %q\nwant %q...", tt.file, got, tt.want)
		}
	}
	p, _ := parseFile(t, "many.eml")
	if got, want := p.Envelope(), ` "<1@x>" "<2@x>"`; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}

func TestSectionsAsDovecotPrintsThem(t *testing.T) {
	t.Parallel()
	p, r := parseFile(t, "many.eml")
	for _, tt := range []struct {
		name   string
		binary bool
		want   string
	}{
		{"1", false, "Hello W=F6rld=\r\n joined\r\n> quoted line\r\nsecond\r\n"},
		{"1", true, "Hello W\xf6rld joined\r\n> quoted line\r\nsecond\r\n"},
		{"1.1", false, "Hello W=F6rld=\r\n joined\r\n> quoted line\r\nsecond\r\n"},
		{"2.2", true, "Hello binary\x00\x01\x02"},
		{"2.MIME", false, "Content-Type: multipart/alternative; boundary=b2\r\n\r\n"},
		{"3.header", false, "From: in@ner.org\r\nSubject: inner\r\nDate: Tue, 1 Feb 2022 00:00:00 +0000\r\n\r\n"},
		{"3.text", false, "inner body\r\nline2"},
		{"3.1", false, "inner body\r\nline2"},
		{"9", false, ""},
		{"1.text", false, ""},
	} {
		s, err := ParseSection(tt.name)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []byte
		if in := p.Read(r, s, tt.binary); in != nil {
			if got, err = io.ReadAll(CRLF(in)); err != nil {
				t.Error(err)
			}
		}
		if string(got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	for _, name := range []string{"mime", "0", "1.", "x", "1.header.fields", "+1", strings.Repeat("1.", 200) + "1"} {
		if _, err := ParseSection(name); err == nil {
			t.Errorf("%q is taken for a section", name)
		}
	}
}

func TestReadableText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ file, snippet, text string }{
		{"many.eml", "Hello Wörld joined second", "Subject: a äb folded\ttab   spaces \"quoted\" back\\slash\n"},
		{"many.eml", "Hello Wörld joined second", "Content-Description: a desc\n\nHello Wörld joined\n> quoted line\nsecond\nContent-Type: multipart/alternative; boundary=b2\n\nContent-Type: text/html; charset=utf-8\n\n<html>"},
		{"single.eml", "Hello", "\n\nHello"},
		{"html.eml", "One Two <x> é ä three four", "<script>no</script>"},
		{"unclosed.eml", "A", "\n\nA\nB"},
		{"no-boundary.eml", "", "multi2"},
	} {
		p, r := parseFile(t, tt.file)
		if got, err := p.Snippet(r); got != tt.snippet || err != nil {
			t.Errorf("%s: got %q (%v), want %q", tt.file, got, err, tt.snippet)
		}
		var b strings.Builder
		if err := p.WriteText(&b, r); err != nil {
			t.Error(err)
		}
		if got := strings.ReplaceAll(b.String(), "\r", ""); !strings.Contains(got, tt.text) {
			t.Errorf("%s: got %q, want %q in it", tt.file, got, tt.text)
		}
	}
}

func TestSentDate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want string
	}{
		{"Mon, 10 Jan 2022 12:34:56 +0200 (EET)", "2022-01-10T12:34:56+02:00"},
		{"1 Feb 99 01:02 EST", "1999-02-01T01:02:00-05:00"},
		{"Tue,1 Feb 2022 00:00:00 GMT", "2022-02-01T00:00:00Z"},
		{"garbage", ""},
		{"32 Jan 2022 00:00:00 +0000", ""},
		{"", ""},
	} {
		at, ok := SentDate(tt.text)
		got := ""
		if ok {
			got = at.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for range 10 * MaxDepth {
		b.WriteString("Content-Type: message/rfc822\n\n")
	}
	b.WriteString("\ntext")
	r := strings.NewReader(b.String())
	p, err := Parse(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	depth := 0
	for ; len(p.Children) > 0; p = p.Children[0] {
		depth++
	}
	if depth >= MaxDepth {
		t.Errorf("got a depth of %d, want less than %d", depth, MaxDepth)
	}
}

// Each part lies inside its parent, sizes are none below zero, and everything
// that is printed or read of it ends.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		root, err := Parse(r, r.Size())
		if err != nil {
			t.Fatal(err)
		}
		if root.At != 0 || root.End != r.Size() {
			t.Fatalf("the message is %d..%d of %d", root.At, root.End, r.Size())
		}
		err = root.Walk(func(p *Part) error {
			if p.At > p.Body || p.Body > p.End || p.Lines < 0 || p.bare < 0 || p.head < 0 || p.bare > p.Lines {
				t.Fatalf("part %+v", p)
			}
			for _, c := range p.Children {
				if c.At < p.Body || c.End > p.End {
					t.Fatalf("part %d..%d in %d..%d", c.At, c.End, p.Body, p.End)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		root.BodyStructure(true)
		root.Envelope()
		if err := root.WriteText(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		if _, err := root.Snippet(r); err != nil {
			t.Fatal(err)
		}
	})
}

// Fields of three bytes take fifty each in memory: a stranger's mail is not to
// make its reader's too large.
func TestAFloodOfFieldsHasItsLimit(t *testing.T) {
	t.Parallel()
	flood := strings.Repeat("a:\n", 3*MaxFields)
	if n := len(ParseHeader([]byte(flood)).Fields); n != MaxFields {
		t.Errorf("%d fields of one header, want %d", n, MaxFields)
	}
	text := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n"+flood+"\nx\n", 15) + "--b--\n"
	root, err := Parse(strings.NewReader(text), int64(len(text)))
	if err != nil || len(root.Children) != 15 {
		t.Fatalf("got %+v, %v", root, err)
	}
	n := 0
	root.Walk(func(p *Part) error { n += len(p.Fields); return nil })
	if n != maxAllFields {
		t.Errorf("%d fields of one message, want %d", n, maxAllFields)
	}
}
