package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/test/system"
)

// twin is one of two equal sets of mailboxes: the server that has it, and the
// doveadm that drives it.
type twin struct {
	server string // what -S says
	run    func(input string, args ...string) (system.Said, error)
}

// seed is one message of a mailbox, before anybody has read it.
type seed struct {
	folder string // "" is INBOX
	flags  string // letters of the name; "-" leaves it in new/
	at     string // received
	text   string
}

var seeds = []seed{
	{"", "", "2022-01-10T10:00:00Z", "From: Alice <alice@example.com>\nTo: Bob <bob@example.org>\nSubject: first\nDate: Mon, 10 Jan 2022 12:00:00 +0200\nMessage-ID: <1@x>\n\nHello Bob,\nthe weather is fine.\n"},
	{"", "S", "2022-02-10T10:00:00Z", "From: \"Carol, C.\" <carol@example.com>\nTo: bob@example.org, dave@example.org\nCc: eve@example.net\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus\n Wien\nDate: Thu, 10 Feb 2022 09:00:00 -0500\nMessage-ID: <2@x>\nX-Multi: one\nX-Multi: two\n folded\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nSch=F6ne Gr=FC=DFe\n"},
	{"", "FS", "2022-03-10T10:00:00Z", "From: alice@example.com\nSubject: third\n\ttabbed\n\nno date here\n.leading dot\n\n\n"},
	{"", "RS", "2022-06-15T10:00:00Z", "From: list@example.com\nTo: bob@example.org\nSubject: [list] first\nDate: Wed, 15 Jun 2022 23:30:00 +0900\nMessage-ID: <4@x>\nIn-Reply-To: <1@x>\nReferences: <1@x>\n\n" + strings.Repeat("a line of text that makes this one large\n", 60)},
	{"", "-", "2023-01-01T00:00:00Z", "From: new@example.com\nSubject: unseen in new\nDate: Sun, 1 Jan 2023 00:00:00 +0000\nMessage-ID: <5@x>\n\nnew\n"},
	{"Work", "DS", "2022-05-05T05:05:05Z", "From: boss@example.com\nSubject: work one\nDate: Thu, 5 May 2022 05:05:05 +0000\nMessage-ID: <w1@x>\n\nwork\n"},
	{"Work", "", "2022-05-06T05:05:05Z", "From: boss@example.com\nSubject: work two\nDate: Fri, 6 May 2022 05:05:05 +0000\nMessage-ID: <w2@x>\n\nwork again\n"},
	{"Trash", "ST", "2021-05-06T05:05:05Z", "From: spam@example.com\nSubject: trash\nDate: Thu, 6 May 2021 05:05:05 +0000\nMessage-ID: <t1@x>\n\ntrash\n"},
	{"Lists.&APY-", "S", "2022-05-06T05:05:05Z", "From: l@example.com\nSubject: umlaut folder\nMessage-ID: <l1@x>\n\nlist\n"},
}

// sow puts the seeds into a user's Maildir, with those of mailmessage's examples.
func sow(t *testing.T, u system.Users, i int, fs bool) {
	t.Helper()
	all := seeds
	for _, name := range []string{"many", "single", "bare-parts", "html", "unclosed"} {
		text, err := os.ReadFile("../../internal/mailmessage/testdata/" + name + ".eml")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all[:len(all):len(all)], seed{"", "S", "2022-07-01T00:00:00Z", string(text)})
	}
	for n, s := range all {
		at, err := time.Parse(time.RFC3339, s.at)
		if err != nil {
			t.Fatal(err)
		}
		dir := u.Maildir(i)
		switch {
		case s.folder == "":
		case fs:
			for level := range strings.SplitSeq(s.folder, ".") {
				dir = filepath.Join(dir, level)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				own(t, u, i, dir)
			}
		default:
			dir = filepath.Join(dir, "."+s.folder)
		}
		for _, d := range []string{dir, dir + "/cur", dir + "/new", dir + "/tmp"} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
			own(t, u, i, d)
		}
		file := fmt.Sprintf("%s/cur/%d.M%dP1.host:2,%s", dir, at.Unix(), n, s.flags)
		if s.flags == "-" {
			file = fmt.Sprintf("%s/new/%d.M%dP1.host", dir, at.Unix(), n)
		}
		if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
			t.Fatal(err)
		}
		own(t, u, i, file)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func own(t *testing.T, u system.Users, i int, path string) {
	t.Helper()
	if err := os.Chown(path, u.UID(i), u.GID(i)); err != nil {
		t.Fatal(err)
	}
}

// release is one of Dovecot's.
type release struct {
	name  string
	start func(*testing.T, string, system.Users) *system.Dovecot
	fs    bool // LAYOUT=fs
}

var releases = []release{{name: "2.3", start: startDovecot}, {name: "2.4", start: startDovecot24}}

// at is where a server's doveadm listens.
func at(socket string, port int, tcp bool) string {
	if tcp {
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	return socket
}

// startDovecotOn gives n users mailboxes with Dovecot, which has seen them all
// when they are copied to dir/copy: so that both have the same UIDs and GUIDs.
func startDovecotOn(t *testing.T, n int, r release) (d *system.Dovecot, copied string, users, theirs system.Users) {
	t.Helper()
	dir, users := someUsers(t, n)
	return startDovecotFor(t, dir, users, r)
}

func startDovecotFor(t *testing.T, dir string, u system.Users, r release) (d *system.Dovecot, copied string, users, theirs system.Users) {
	t.Helper()
	users = u
	for i := range users.N {
		sow(t, users, i+1, r.fs)
	}
	d = r.start(t, dir, users)
	for i := range users.N {
		if said, err := d.Doveadm("", "search", "-u", users.Name(i+1), "mailbox", "*", "all"); err != nil || said.Code != 0 {
			t.Fatalf("Dovecot cannot read the mail: %+v (%v)", said, err)
		}
	}
	copied = filepath.Join(dir, "copy")
	if err := os.Mkdir(copied, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", users.Home, copied+"/homes").CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	theirs = users
	theirs.Home = copied + "/homes"
	return d, copied, users, theirs
}

// What differs between two runs of the same command, and tells nothing.
var incidental = regexp.MustCompile(`<[0-9]+><[^>]*>|remote\([^)]*\): |doveadm: [0-9]+ users ok,.*\n|/[^ ]*/(run|culver)/[^ :]*`)

// Who has seen a message is known to Dovecot's index alone.
var recent = regexp.MustCompile(` \\+Recent|\\+Recent ?`)

// same runs a step with both twins, and wants the same output and exit code of
// both, and words on stderr where the first has some.
func same(t *testing.T, first, second twin, user string, s step) {
	t.Helper()
	var said [2]system.Said
	for i, w := range []twin{first, second} {
		if s.alone && i == 0 {
			continue
		}
		var err error
		if said[i], err = w.run(s.input, s.at(w.server, user)...); err != nil {
			t.Fatal(err)
		}
		said[i].Err = incidental.ReplaceAllString(said[i].Err, "")
	}
	want, got := said[0], said[1]
	want.Out, got.Out = recent.ReplaceAllString(want.Out, ""), recent.ReplaceAllString(got.Out, "")
	if s.unordered {
		want.Out, got.Out = sorted(want.Out), sorted(got.Out)
	}
	got.Out = strings.ReplaceAll(got.Out, "/copy/homes/", "/homes/")
	if s.differs {
		want.Out, want.Code, want.Err = s.out, s.code, got.Err
	}
	if got.Out != want.Out || got.Code != want.Code || (got.Err == "") != (want.Err == "") {
		at := 0
		for at < len(got.Out) && at < len(want.Out) && got.Out[at] == want.Out[at] {
			at++
		}
		at = max(0, at-40)
		t.Errorf("doveadm %q\n got %d ...%.300q\n     %s\nwant %d ...%.300q\n     %s", s.args, got.Code, got.Out[at:], got.Err, want.Code, want.Out[min(at, len(want.Out)):], want.Err)
	}
}

func sorted(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}
