package worker

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/fdpass"
	"culver/internal/settings/finished"
)

// user is somebody's mail, and a front to ask about it.
type user struct {
	t        *testing.T
	dir      string
	settings finished.Bag
	commands string // what the grant has leave for
}

func newUser(t *testing.T) *user {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mail")
	u := &user{t: t, dir: dir}
	u.settings = u.defaults()
	u.folder("INBOX")
	return u
}

func (*user) defaults() finished.Bag {
	return finished.Bag{
		"hostname": "mx.example.org", "mail_fsync": "never", "mail_save_crlf": "no", "mail_temp_scan_interval": "0",
		"quota_rule": "", "quota_grace": "10%", "quota_enforce": "none",
	}
}

func (u *user) path(folder string) string {
	if folder == "INBOX" {
		return u.dir
	}
	return filepath.Join(u.dir, "."+folder)
}

func (u *user) folder(name string) {
	u.t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(u.path(name), sub), 0o700); err != nil {
			u.t.Fatal(err)
		}
	}
}

// mail puts a message into a folder; n makes its name, and so its UID's order.
func (u *user) mail(folder string, n int, flags, text string) string {
	u.t.Helper()
	name := filepath.Join(u.path(folder), "cur", fmt.Sprintf("16000000%02d.M%dP1.host:2,%s", n, n, flags))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
	return name
}

// received sets the time at which a message came.
func (u *user) received(file string, t time.Time) {
	u.t.Helper()
	if err := os.Chtimes(file, t, t); err != nil {
		u.t.Fatal(err)
	}
}

// said is what came back from a worker.
type said struct {
	values  []string
	logs    []string
	code    int
	touched string
}

// front is the other end of one access.
type front struct {
	t    *testing.T
	conn *fdpass.Conn
	fd   int
	in   *doveadmproto.PacketReader
	out  *doveadmproto.PacketWriter
}

func (u *user) begin(name string, args ...string) *front {
	u.t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		u.t.Fatal(err)
	}
	conn, err := fdpass.New(ours, "worker")
	if err != nil {
		u.t.Fatal(err)
	}
	w := &Worker{settings: u.settings}
	grant := finished.Bag{"user": "alice", "mail_path": u.dir, "home": filepath.Dir(u.dir), "commands": u.commands}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.serve(grant, theirs)
	}()
	u.t.Cleanup(func() { conn.Close(); <-done })
	f := &front{u.t, conn, ours, doveadmproto.NewPacketReader(bufio.NewReader(conn)), doveadmproto.NewPacketWriter(conn)}
	line := (&doveadmproto.Command{User: "alice", Name: name, Args: args}).Append(nil)
	f.packet(doveadmproto.ChRun, string(line[:len(line)-1]))
	return f
}

func (f *front) packet(ch byte, data string) {
	f.t.Helper()
	if err := f.out.Packet(ch, []byte(data)); err != nil {
		f.t.Fatal(err)
	}
}

// reply reads up to the status; what comes on channel P goes to peer.
func (f *front) reply(peer func(data []byte)) said {
	f.t.Helper()
	var s said
	var rr doveadmproto.ReplyReader
	var lr doveadmproto.LogReader
	cell := ""
	for {
		p, err := f.in.Next()
		if err != nil {
			f.t.Fatalf("no status: %v; so far %+v", err, s)
		}
		switch p.Channel {
		case doveadmproto.ChReply:
			_, done, err := rr.Feed(p.Data, func(piece []byte, last bool) error {
				if cell += string(piece); last {
					s.values, cell = append(s.values, cell), ""
				}
				return nil
			})
			if err != nil {
				f.t.Fatal(err)
			}
			if done {
				s.code, _, err = doveadmproto.ParseStatus(rr.Status())
				if err != nil {
					f.t.Fatal(err)
				}
				return s
			}
		case doveadmproto.ChLog:
			lr.Feed(p.Data, func(_ byte, text string) { s.logs = append(s.logs, text) })
		case doveadmproto.ChTouched:
			s.touched = string(p.Data)
		case doveadmproto.ChPeer:
			peer(p.Data)
		}
	}
}

// run carries out a command; its words are separated by blanks, "_" is a blank
// within a word.
func (u *user) run(line string) said {
	u.t.Helper()
	name, args := "", strings.Fields(line)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "_", " ")
	}
	name, args = args[0], args[1:]
	if name == "flags" {
		name, args = name+" "+args[0], args[1:]
	}
	return u.begin(name, args...).reply(nil)
}

// uids gives every second value: what search prints, without the GUIDs.
func (s said) uids() string {
	var all []string
	for i := 1; i < len(s.values); i += 2 {
		all = append(all, s.values[i])
	}
	return strings.Join(all, " ")
}

func TestSearchFindsWhatTheQuerySays(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	day := func(d int) time.Time { return time.Date(2022, 6, d, 12, 0, 0, 0, time.UTC) }
	u.received(u.mail("INBOX", 1, "S", "From: \"Bob Ä\" <bob@Example.com>\nTo: alice@example.com\nSubject: Hello   there\n"+
		"Date: Wed, 01 Jun 2022 23:30:00 -0500\nMessage-ID: <1@x>\n\nplain body, Grüße\n"), day(1))
	u.received(u.mail("INBOX", 2, "F", "From: carol@example.net\nSubject: =?utf-8?q?Hall=C3=B6_Welt?=\nContent-Type: text/plain; charset=utf-8\n"+
		"Content-Transfer-Encoding: base64\nMessage-ID: <2@x>\nReferences: <1@x>\n\n"+"SGlkZGVuIHRyZWFzdXJl\n"), day(2))
	u.received(u.mail("INBOX", 3, "RS", "From: dave@example.org\nSubject: folded\n\tline\nX-Spam: yes\nMessage-ID: <3@x>\n"+
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"+
		"caf=E9 split=\n word\n--b\nContent-Type: image/png; name=\"a.png\"\nContent-Transfer-Encoding: base64\n\nSGlkZGVu\n--b--\n"), day(3))
	u.received(u.mail("INBOX", 4, "", "no header at all\n"+strings.Repeat("x", 5000)+"\n"), day(4))
	u.folder("Lists.Go")
	u.mail("Lists.Go", 5, "", "Subject: in another folder\n\nx\n")
	for _, tt := range []struct{ query, want string }{
		{"mailbox INBOX all", "1 2 3 4"},
		{"all", "1 2 3 4 1"},
		{"mailbox Lists.* all", "1"},
		{"mailbox inbox seen", "1 3"},
		{"mailbox INBOX unseen", "2 4"},
		{"mailbox INBOX ( flagged or answered )", "2 3"},
		{"mailbox INBOX uid 2:3", "2 3"},
		{"mailbox INBOX uid *", "4"},
		{"mailbox INBOX 9:*", "4"},
		{"mailbox INBOX since 2022-06-02 before 2022-06-04", "2 3"},
		{"mailbox INBOX on 3-Jun-2022", "3"},
		{"mailbox INBOX senton 2022-06-01", "1"},
		{"mailbox INBOX sentbefore 2000-01-01", "2 3 4"},
		{"mailbox INBOX savedsince 1d", "1 2 3 4"},
		{"mailbox INBOX savedbefore 1d", ""},
		{"mailbox INBOX larger 4k", "4"},
		{"mailbox INBOX from bob@example.COM", "1"},
		{"mailbox INBOX from ä", "1"},
		{"mailbox INBOX subject hello_there", "1"},
		{"mailbox INBOX subject HALLÖ", "2"},
		{"mailbox INBOX subject folded_line", "3"},
		{"mailbox INBOX header x-spam YES", "3"},

		{"mailbox INBOX body GRÜSSE", ""},
		{"mailbox INBOX body grüße", "1"},
		{"mailbox INBOX body GRÜ", "1"},
		{"mailbox INBOX body hidden_treasure", "2"},
		{"mailbox INBOX body hidden", "2"},
		{"mailbox INBOX body café", "3"},
		{"mailbox INBOX body split_word", "3"},
		{"mailbox INBOX body cafe", "3"},
		{"mailbox INBOX subject hallo", "2"},
		{"mailbox INBOX from \"bob", "1"},
		{"mailbox INBOX body boundary", ""},
		{"mailbox INBOX body plain_BODY", "1"},
		{"mailbox INBOX text carol", "2"},
		{"mailbox INBOX text image/png", "3"},
		{"mailbox INBOX text hallö_welt", "2"},
		{"mailbox INBOX inthread refs uid 1", "1 2"},
		{"mailbox INBOX inthread orderedsubject uid 1", "1"},
		{"mailbox INBOX mimepart ( type image filename ends .png )", "3"},
		{"mailbox INBOX mimepart ( depth min 1 body café )", "3"},
		{"mailbox INBOX keyword none", ""},
		{"mailbox INBOX oldestonly seen", "1"},
		{"mailbox Lists.Go or ( mailbox INBOX flagged )", "2 1"},
		{"not mailbox INBOX", "1"},
		{"mailbox Nope or mailbox Lists.Go", "1"},
	} {
		got := u.run("search " + tt.query)
		if got.code != 0 || len(got.logs) > 0 || got.uids() != tt.want {
			t.Errorf("%s: got %q, %d, %q, want %q", tt.query, got.uids(), got.code, got.logs, tt.want)
		}
	}
}

func TestErrorsAreDovecots(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "Subject: x\n\ny\n")
	for _, tt := range []struct {
		line, log string
		code      int
	}{
		{"search mailbox Nope all", "Couldn't get mailbox 'Nope' GUID: Mailbox doesn't exist: Nope", 68},
		{"search mailbox N* all", "", 0},
		{"search mailbox ../x all", "Syncing mailbox ../x failed: Invalid mailbox name", 64},
		{"search frm x", "unknown search key frm (did you mean from?)", 64},
		{"expunge mailbox Nope all", "Syncing mailbox 'Nope' failed: Mailbox doesn't exist: Nope", 68},
		{"expunge all", "expunge: To avoid accidents, search query must contain MAILBOX in all search branches", 64},
		{"expunge mailbox INBOX", "expunge: To avoid accidents, each branch", 64},
		{"flags add \\Foo mailbox INBOX all", "Invalid system flag: \\Foo", 75},
		{"flags add a*b mailbox INBOX all", "Invalid keywords: Invalid characters in keyword", 65},
		{"flags add \\Seen mailbox Nope all", "Mailbox Nope: Mailbox sync failed: Mailbox doesn't exist: Nope", 68},
		{"flags add \\Recent mailbox INBOX all", "", 0},
		{"deduplicate mailbox Nope all", "Mailbox Nope: Mailbox sync failed: Mailbox doesn't exist: Nope", 68},
		{"search", "", 64},
		{"nothing", "", 64},
		{"user x", "not for a user's worker", 64},
		{"purge", "", 0},
	} {
		got := u.run(tt.line)
		log := strings.Join(got.logs, "\n")
		if got.code != tt.code || !strings.Contains(log, tt.log) || tt.code == 0 && log != "" {
			t.Errorf("%s: got %d, %q, want %d, %q", tt.line, got.code, log, tt.code, tt.log)
		}
	}
}

func TestExpunge(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.folder("Trash")
	for i := 1; i <= 4; i++ {
		u.mail("Trash", i, "", "Subject: x\n\ny\n")
	}
	if got := u.run("expunge --dry-run mailbox Trash uid 2:3"); got.code != 0 || len(got.values) != 12 || got.values[0] != "Trash" ||
		got.values[3] != "2" || got.values[5] != "expunge" || got.touched != "2" {
		t.Errorf("dry run: got %+v", got)
	}
	if got := u.run("expunge --if-uidvalidity 1 mailbox Trash all"); got.code != 65 {
		t.Errorf("wrong UIDVALIDITY: got %+v, want 65", got)
	}
	if got := u.run("expunge mailbox Trash uid 2:3"); got.code != 0 || got.touched != "2" {
		t.Errorf("expunge: got %+v", got)
	}
	if got := u.run("search mailbox Trash all").uids(); got != "1 4" {
		t.Errorf("after expunge: got %q, want 1 4", got)
	}
	if got := u.run("expunge -d mailbox Trash all"); got.code != 0 || got.touched != "2" {
		t.Errorf("expunge -d: got %+v", got)
	}
	if _, err := os.Stat(u.path("Trash")); !os.IsNotExist(err) {
		t.Errorf("empty mailbox is still there: %v", err)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "S", "Subject: x\n\ny\n")
	u.mail("INBOX", 2, "", "Subject: x\n\ny\n")
	for _, tt := range []struct{ line, query, want string }{
		{"flags add \\Flagged_Work mailbox INBOX uid 1", "keyword work flagged seen", "1"},
		{"flags remove \\Seen mailbox INBOX all", "seen", ""},
		{"flags replace \\Deleted mailbox INBOX all", "deleted unflagged unkeyword Work", "1 2"},
	} {
		if got := u.run(tt.line); got.code != 0 || len(got.logs) > 0 {
			t.Fatalf("%s: got %+v", tt.line, got)
		}
		if got := u.run("search mailbox INBOX " + tt.query).uids(); got != tt.want {
			t.Errorf("after %s: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestDeduplicate(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	for i, id := range []string{"<a@x>", "<b@x>", "<a@x>", "", ""} {
		u.mail("INBOX", i+1, "", "Message-ID: "+id+"\n\ny\n")
	}
	if got := u.run("deduplicate -m mailbox INBOX all"); got.code != 0 || got.touched != "1" {
		t.Errorf("got %+v", got)
	}
	if got := u.run("search mailbox INBOX all").uids(); got != "1 2 4 5" {
		t.Errorf("left: got %q, want 1 2 4 5", got)
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "Subject: x\n\ny\n")
	got := u.run("batch / flags add \\Seen all / search mailbox INBOX seen / search mailbox INBOX 1")
	if got.code != 0 || got.uids() != "1 1" {
		t.Errorf("got %+v, want UID 1 twice", got)
	}
	for _, first := range []string{"copy Nope mailbox INBOX 1", "copy INBOX mailbox Nope 1", "search mailbox Nope 1"} {
		if got := u.run("batch / " + first + " / expunge mailbox INBOX all"); got.code != 68 {
			t.Errorf("%s: got %+v, want 68", first, got)
		}
	}
	if got := u.run("search mailbox INBOX all").uids(); got != "1" {
		t.Errorf("left: got %q: what follows a failure was done", got)
	}
}

func TestACancelledCommandStops(t *testing.T) {
	t.Parallel()
	ours, theirs, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ours)
	c := call{conn: newConn(theirs), w: &Worker{}, begun: time.Now(), said: time.Now()}
	c.reply()
	defer c.conn.close()
	unix.Write(ours, doveadmproto.AppendPacket(nil, doveadmproto.ChRun, []byte("\tu\tsearch\tall"))) // it stays in the reader's buffer
	if _, err := c.conn.next(); err != nil {
		t.Fatal(err)
	}
	if err := c.step(); err != nil {
		t.Fatalf("before: %v", err)
	}
	unix.Write(ours, doveadmproto.AppendPacket(nil, doveadmproto.ChCancel, nil))
	c.checked = time.Time{}
	if err := c.step(); err == nil || codeOf(err) != doveadmproto.TempFail {
		t.Errorf("got %v, want an end with 75", err)
	}
}

func (u *user) write(folder string, n int) {
	u.t.Helper()
	u.received(u.mail(folder, n, "S", fmt.Sprintf("Subject: number %d\n\nbody %d\n", n, n)), time.Unix(1600000000, 0))
}

func TestCopyAndMove(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.folder("Old")
	for n := 1; n <= 3; n++ {
		u.write("INBOX", n)
	}
	if got := u.run("copy Nope mailbox INBOX all"); got.code != 68 || got.logs[0] != "Can't open mailbox 'Nope': Mailbox doesn't exist: Nope" {
		t.Errorf("copy to nowhere: got %+v", got)
	}
	if got := u.run("copy Old mailbox Nope all"); got.code != 68 || got.logs[0] != "Mailbox Nope: Mailbox sync failed: Mailbox doesn't exist: Nope" {
		t.Errorf("copy from nowhere: got %+v", got)
	}
	if got := u.run("move Old all"); got.code != 64 {
		t.Errorf("move of everything: got %+v", got)
	}
	if got := u.run("move --dry-run Old mailbox INBOX uid 3"); got.code != 0 || len(got.values) != 6 || got.values[5] != "move" {
		t.Errorf("dry run: got %+v", got)
	}
	if got := u.run("copy Old mailbox INBOX uid 1:2"); got.code != 0 || got.touched != "2" {
		t.Errorf("copy: got %+v", got)
	}
	if got := u.run("move Old user alice mailbox INBOX uid 3"); got.code != 0 || got.touched != "1" {
		t.Errorf("move: got %+v", got)
	}
	if got := u.run("search mailbox INBOX all").uids(); got != "1 2" {
		t.Errorf("source: got %q, want 1 2", got)
	}
	if got := u.run("search mailbox Old seen on 2020-09-13 savedsince 1h").uids(); got != "1 2 3" {
		t.Errorf("destination: got %q, want 1 2 3", got)
	}
}

// between relays for the two workers of a pair, as the front does.
func between(dest, source *front) (d, s said) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended := false
		s = source.reply(func(data []byte) {
			ended = len(data) == 0
			dest.out.Packet(doveadmproto.ChPeer, data)
		})
		if !ended {
			dest.out.Packet(doveadmproto.ChPeer, nil)
		}
	}()
	d = dest.reply(func(data []byte) { source.out.Packet(doveadmproto.ChPeer, data) })
	if d.code != 0 {
		source.out.Packet(doveadmproto.ChCancel, nil)
	}
	<-done
	return d, s
}

func TestMessagesGoFromOneUserToAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		dest, source []string // command lines
		dcode, scode int
		left, came   string // of INBOX and Old
	}{
		{"copy", []string{"copy", "Old", "user", "bob", "mailbox", "INBOX", "uid", "2:100"},
			[]string{"--", "copy", "mailbox", "INBOX", "uid", "2:100"}, 0, 0, "200", "99"},
		{"move", []string{"move", "Old", "user", "bob", "mailbox", "INBOX", "uid", "2:100"},
			[]string{"--", "move", "mailbox", "INBOX", "uid", "2:100"}, 0, 0, "101", "99"},
		{"dry run", []string{"move", "--dry-run", "Old", "user", "bob", "mailbox", "INBOX", "all"},
			[]string{"--", "move", "mailbox", "INBOX", "all"}, 0, 0, "200", "0"},
		{"no such destination", []string{"move", "Nope", "user", "bob", "mailbox", "INBOX", "all"},
			[]string{"--", "move", "mailbox", "INBOX", "all"}, 68, 75, "200", "0"},
		{"no such source", []string{"move", "Old", "user", "bob", "mailbox", "Nope", "all"},
			[]string{"--", "move", "mailbox", "Nope", "all"}, 0, 68, "200", "0"},
		{"an unsafe move", []string{"copy", "Old", "user", "bob", "all"},
			[]string{"--", "move", "all"}, 0, 75, "200", "0"},
		{"an unknown key", []string{"copy", "Old", "user", "bob", "al"},
			[]string{"--", "copy", "al"}, 64, 64, "200", "0"},
		{"another UIDVALIDITY", []string{"move", "--if-uidvalidity", "1", "Old", "user", "bob", "mailbox", "INBOX", "all"},
			[]string{"--", "move", "mailbox", "INBOX", "all"}, 0, 65, "200", "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			alice, bob := newUser(t), newUser(t)
			alice.folder("Old")
			for n := 1; n <= 200; n++ {
				bob.write("INBOX", n)
			}
			d, s := between(alice.begin(tt.dest[0], tt.dest[1:]...), bob.begin("export", tt.source...))
			if d.code != tt.dcode || s.code != tt.scode {
				t.Errorf("got %d %q and %d %q, want %d and %d", d.code, d.logs, s.code, s.logs, tt.dcode, tt.scode)
			}
			if tt.name == "dry run" && len(d.values) != 6*200 {
				t.Errorf("dry run printed %d values, want %d", len(d.values), 6*200)
			}
			count := func(u *user, box string) string {
				return fmt.Sprint(len(u.run("search mailbox "+box+" seen on 2020-09-13").values) / 2)
			}
			if left, came := count(bob, "INBOX"), count(alice, "Old"); left != tt.left || came != tt.came {
				t.Errorf("%s left and %s came, want %s and %s", left, came, tt.left, tt.came)
			}
		})
	}
}

func TestSave(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	f := u.begin("save", "-m", "INBOX", "-r", "2022-06-01")
	f.packet(doveadmproto.ChInput, "Subject: sa")
	f.packet(doveadmproto.ChInput, "ved\r\n\r\nbody\r\n")
	f.packet(doveadmproto.ChInput, "")
	if got := f.reply(nil); got.code != 0 || got.touched != "1" {
		t.Fatalf("got %+v", got)
	}
	if got := u.run("search mailbox INBOX subject saved on 2022-06-01").uids(); got != "1" {
		t.Errorf("found %q, want 1", got)
	}
	if got := u.run("save -m Nope"); got.code != 68 || got.logs[0] != "Failed to open mailbox Nope: Mailbox doesn't exist: Nope" {
		t.Errorf("no such mailbox: got %+v", got)
	}
	f = u.begin("save")
	f.packet(doveadmproto.ChInput, "Subject: cut sho")
	unix.Shutdown(f.fd, unix.SHUT_WR)
	if got := f.reply(nil); got.code != 75 {
		t.Errorf("cut short: got %+v", got)
	}
	if got := u.run("search mailbox INBOX all").uids(); got != "1" {
		t.Errorf("after a save that was cut short: got %q, want 1", got)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	u, old := newUser(t), newUser(t)
	old.folder("Lists.Go")
	old.write("INBOX", 1)
	old.write("Lists.Go", 2)
	if got := u.run("import -s maildir:" + old.dir + " Old all"); got.code != 0 || got.touched != "2" {
		t.Fatalf("got %+v", got)
	}
	for _, box := range []string{"Old.INBOX", "Old.Lists.Go"} {
		if got := u.run("search mailbox " + box + " all").uids(); got != "1" {
			t.Errorf("%s: got %q, want 1", box, got)
		}
	}
	if got := u.run("import maildir:/nonexistent x all"); got.code != 68 {
		t.Errorf("no such location: got %+v", got)
	}
	d, s := between(u.begin("import", "-U", "bob", "--", "maildir:"+old.dir, "Bob", "mailbox", "Lists.*", "all"),
		old.begin("export", "--", "import", "maildir:"+old.dir, "mailbox", "Lists.*", "all"))
	if d.code != 0 || s.code != 0 || d.touched != "1" {
		t.Errorf("from another user: got %+v and %+v", d, s)
	}
	if got := u.run("search mailbox Bob.Lists.Go all").uids(); got != "1" {
		t.Errorf("from another user: got %q, want 1", got)
	}
}

// A uid list may be locked for longer than the front waits for a silent worker.
func TestAWorkerThatWaitsForALockBeats(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.mail("INBOX", 1, "", "Subject: x\n\n")
	lock := filepath.Join(u.dir, "dovecot-uidlist.lock")
	if err := os.WriteFile(lock, []byte("1:another.example"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := u.begin("search", "all")
	if p, err := f.in.Next(); err != nil || p.Channel != doveadmproto.ChBeat {
		t.Fatalf("got %+v, %v", p, err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if s := f.reply(nil); s.code != 0 || len(s.values) != 2 {
		t.Errorf("got %+v", s)
	}
}

// A source that another user took over may announce anything.
func TestAMessageLargerThanTheQuotaIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.settings["quota_enforce"], u.settings["quota_rule"] = "maildirsize", "*:storage=1M"
	f := u.begin("copy", "INBOX", "user", "mallory", "all")
	head := "M\tINBOX\t0123456789abcdef0123456789abcdef\t1\t1\t1099511627776\t\t\t1600000000\tguid\n"
	f.packet(doveadmproto.ChPeer, head+"Subject: x\n")
	if s := f.reply(func([]byte) {}); s.code != doveadmproto.OverQuota {
		t.Errorf("got %+v", s)
	}
}
