package peer

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"culver/internal/tabline"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
	"culver/test/system"
)

// asked gives the cells that a doveadm server of minor version 0 answers.
func asked(t *testing.T, d *system.Dovecot, user string, p command.Parsed) []string {
	t.Helper()
	c, err := net.Dial("unix", d.Admin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line := tabline.Append([]byte("VERSION\tdoveadm-server\t1\t0\n"), append([]string{"", user, p.Spec.Name}, p.Wire()...)...)
	if _, err := c.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var lines [3]string // authenticated, values, status
	for i := range lines {
		if lines[i], err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if lines[2] != "+\n" {
		t.Fatalf("%q: got status %q", p.Wire(), lines[2])
	}
	cells := strings.Split(strings.TrimSuffix(lines[1], "\n"), "\t")
	cells = cells[:len(cells)-1]
	for i := range cells {
		cells[i] = tabline.Unescape(cells[i])
	}
	return cells
}

// What our formatters make of the cells is what Dovecot's make of them, byte
// for byte.
func TestFormattersPrintAsDovecots(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 1)
	d := startDovecot(t, dir, users)
	user := users.Name(1)
	for _, mail := range []string{
		"From: \"A very long name of a person who writes\" <a-very-long-address-of-somebody@example.com>\nSubject: a rather long subject that goes on and on for more than seventy characters\nTo: b@example.com\nX-C: a/b\"c\\d\n\nx\n",
		"From: a@example.com\nSubject: c:\x7f \u009b \xff\u2028 \x1b[1m / \xf0\x9f\x95\x8a\nX-E: \u00e4\u00f6\nX-F: \x01\x02\n\nno line end",
		"Subject: \n\n",
	} {
		if said, err := d.Doveadm(mail, "save", "-u", user); err != nil || said.Code != 0 {
			t.Fatalf("save: %+v %v", said, err)
		}
	}
	if said, err := d.Doveadm("", "mailbox", "create", "-u", user, "Entw\u00fcrfe"); err != nil || said.Code != 0 {
		t.Fatalf("mailbox create: %+v %v", said, err)
	}
	all := []string{"flow", "pager", "tab", "table", "json"}
	for _, tt := range []struct {
		line  string
		forms []string
	}{
		{"search|mailbox|INBOX|all", all},
		{"search|mailbox|INBOX|uid|99", all},
		{"mailbox status|messages vsize|INBOX", all},
		{"mailbox status|-t|messages vsize|INBOX", all},
		{"mailbox status|all|INBOX", all},
		{"mailbox list|Entw*", all},
		{"mailbox path|INBOX", all},
		{"fetch|uid flags size.physical hdr.subject hdr.x-c|mailbox|INBOX|all", all},
		{"fetch|hdr.subject uid|mailbox|INBOX|all", all},
		{"fetch|guid storageid uid|mailbox|INBOX|all", all},
		{"fetch|uid guid storageid|mailbox|INBOX|all", all},
		{"fetch|uid hdr.subject hdr.to hdr.from seq|mailbox|INBOX|all", all},
		{"fetch|uid hdr.subject hdr.from guid|mailbox|INBOX|all", all},
		{"fetch|hdr.to hdr.subject uid hdr.x-c seq uid seq uid|mailbox|INBOX|all", all},
		{"fetch|hdr.to hdr.subject|mailbox|INBOX|all", all},
		{"fetch|guid hdr.to guid|mailbox|INBOX|all", all},
		{"fetch|hdr.x-e hdr.x-e guid hdr.to guid hdr.to uid uid|mailbox|INBOX|all", all},
		{"fetch|hdr.x-f seq|mailbox|INBOX|all", []string{"flow", "pager", "table", "json"}}, // tab escapes 0x01
		{"fetch|uid hdr text|mailbox|INBOX|uid|1", []string{"flow", "pager", "json"}},
		{"fetch|text|mailbox|INBOX|uid|2", []string{"flow", "pager", "json"}},
		{"fetch|uid body seq|mailbox|INBOX|all", []string{"flow", "json"}},
	} {
		words := strings.Split(tt.line, "|")
		spec, rest, err := command.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		p, err := spec.Parse(append([]string{"-u", user}, rest...))
		if err != nil {
			t.Fatal(err)
		}
		cells := asked(t, d, user, p)
		for _, form := range tt.forms {
			for _, noHeader := range []bool{false, true} {
				flags := []string{"-f", form}
				if noHeader {
					flags = append(flags, "-h")
				}
				said, err := d.Doveadm("", append(append(flags, words[0:1]...), append([]string{"-u", user}, rest...)...)...)
				if err != nil || said.Code != 0 {
					t.Fatalf("%s: %+v %v", tt.line, said, err)
				}
				var out strings.Builder
				printer, err := format.New(form, &out, p.Columns(), format.Options{NoHeader: noHeader})
				if err != nil {
					t.Fatal(err)
				}
				for _, cell := range cells {
					printer.Value(cell)
				}
				if err := printer.Close(); err != nil {
					t.Fatal(err)
				}
				if got, want := out.String(), said.Out; got != want {
					t.Errorf("%s\ngot  %q\nwant %q", fmt.Sprint(flags, tt.line), got, want)
				}
			}
		}
	}
}
