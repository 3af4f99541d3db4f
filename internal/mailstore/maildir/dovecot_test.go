package maildir

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culver/internal/mailtest"
)

// TestRootBesideDovecot opens and changes folders that Dovecot's own programs
// have open. Dovecot serves no mail of root's, so the test binary runs itself
// again as an ordinary user.
func TestRootBesideDovecot(t *testing.T) {
	if dir := os.Getenv("MAILDIR_BESIDE_DOVECOT"); dir != "" {
		besideDovecot(t, dir)
		return
	}
	t.Parallel()
	mailtest.NeedRoot(t)
	setpriv := mailtest.NeedProgram(t, "setpriv", "util-linux")
	mailtest.NeedProgram(t, "doveadm", "dovecot-core")
	mailtest.NeedProgram(t, "/usr/lib/dovecot/imap", "dovecot-imapd")
	dir, err := os.MkdirTemp("", "dovecot") // t.TempDir is closed to others
	must(t, err, os.Chmod(dir, 0o755), os.Chown(dir, 7001, 7001))
	t.Cleanup(func() { os.RemoveAll(dir) })
	cmd := exec.Command(setpriv, "--reuid=7001", "--regid=7001", "--clear-groups", copySelf(t, dir), "-test.run=^TestRootBesideDovecot$", "-test.v")
	cmd.Env, cmd.Dir = []string{"MAILDIR_BESIDE_DOVECOT=" + dir, "PATH=" + os.Getenv("PATH")}, "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("--- PASS")) {
		t.Fatalf("nothing was tested:\n%s", out)
	}
}

// peer is Dovecot over one Maildir, without a server.
type peer struct {
	t   *testing.T
	dir string
}

func newPeer(t *testing.T, dir string) *peer {
	p := &peer{t, dir}
	must(t, os.MkdirAll(dir, 0o700), os.WriteFile(p.conf(), fmt.Appendf(nil, `
base_dir = %[1]s/run
log_path = /dev/stderr
ssl = no
mail_location = maildir:%[1]s/Maildir
first_valid_uid = 1
mail_uid = 7001
mail_gid = 7001
`, dir), 0o600))
	return p
}

func (p *peer) conf() string { return filepath.Join(p.dir, "dovecot.conf") }

func (p *peer) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, append([]string{"-c", p.conf()}, args...)...)
	c.Env = []string{"USER=u", "HOME=" + p.dir, "PATH=" + os.Getenv("PATH")}
	return c
}

// doveadm runs a command, which must succeed without a word of complaint.
func (p *peer) doveadm(input string, args ...string) string {
	p.t.Helper()
	c := p.command("doveadm", args...)
	c.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil || errOut.Len() > 0 {
		p.t.Fatalf("doveadm %q: %v\n%s", args, err, errOut.String())
	}
	return out.String()
}

func (p *peer) save(folder, text string) { p.doveadm(text, "save", "-m", folder) }

// fetch gives one line for each message: UID, flags, GUID.
func (p *peer) fetch(folder string) []string {
	p.t.Helper()
	var lines []string
	out := p.doveadm("", "-f", "tab", "fetch", "uid flags guid", "mailbox", folder)
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if f[0] == "uid" || len(f) < 3 {
			continue
		}
		flags := slices.DeleteFunc(strings.Fields(f[1]), func(s string) bool { return s == `\Recent` })
		slices.Sort(flags)
		lines = append(lines, f[0]+" "+strings.Join(flags, " ")+" "+f[2])
	}
	return lines
}

// status gives UIDVALIDITY, next UID and GUID.
func (p *peer) status(folder string) string {
	return strings.TrimSpace(p.doveadm("", "-f", "flow", "mailbox", "status", "messages uidnext uidvalidity guid", folder))
}

// imapFlags are the names of the letters in IMAP.
var imapFlags = map[Flags]string{Draft: `\Draft`, Flagged: `\Flagged`, Answered: `\Answered`, Seen: `\Seen`, Deleted: `\Deleted`}

// ours gives what fetch gives.
func ours(m *Mailbox) (lines []string) {
	for i := range m.Len() {
		e := m.Entry(i)
		flags := m.KeywordNames(i)
		for bit, name := range imapFlags {
			if e.Flags&bit != 0 {
				flags = append(flags, name)
			}
		}
		slices.Sort(flags)
		lines = append(lines, fmt.Sprint(e.UID, " ", strings.Join(flags, " "), " ", m.MessageGUID(i)))
	}
	return lines
}

func ourStatus(m *Mailbox) string {
	return fmt.Sprintf("%s messages=%d uidnext=%d uidvalidity=%d guid=%s", m.Name, m.Len(), m.UIDNext(), m.UIDValidity(), m.GUID())
}

// same compares what both see of a folder; Dovecot looks first, then again.
func (p *peer) same(s *Store, folder string) {
	p.t.Helper()
	listed := p.fetch(folder)
	before := p.status(folder)
	m := open(p.t, s, folder)
	if got := ours(m); !slices.Equal(got, listed) {
		p.t.Fatalf("%s: we see\n%s\nDovecot sees\n%s", folder, strings.Join(got, "\n"), strings.Join(listed, "\n"))
	}
	if got := ourStatus(m); got != before {
		p.t.Fatalf("we see %s, Dovecot sees %s", got, before)
	}
	if after := p.status(folder); after != before {
		p.t.Fatalf("Dovecot saw %s, then %s", before, after)
	}
}

func besideDovecot(t *testing.T, dir string) {
	dirOf := func(t *testing.T) string {
		return filepath.Join(dir, strings.NewReplacer("/", "_", " ", "_", ",", "_").Replace(t.Name()))
	}
	for name, test := range map[string]func(t *testing.T, p *peer, s *Store){
		"what Dovecot made":          readsDovecots,
		"what was delivered":         numbersDelivered,
		"a folder Dovecot never saw": startsList,
		"flags and expunge":          changesUnderSession,
		"copies":                     copiesBeside,
		"append":                     appendsBeside,
		"a random life":              livesBeside,
		"its lock":                   waitsForDovecot,
		"a lock of a dead one":       takesOverOurs,
		"a list made shorter":        compactsUnderSession,
		"saved dates":                savedBeside,
		"many processes":             stressBeside,
		"folders":                    foldersBeside,
		"a folder under a session":   removedUnderSession,
		"identity":                   identityBeside,
		"a mended list":              mendedBeside,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, dirOf(t))
			s := newStore(t, Config{Root: filepath.Join(p.dir, "Maildir"), Host: hostname(t)})
			test(t, p, s)
		})
	}
}

func hostname(t *testing.T) string {
	h, err := os.Hostname()
	must(t, err)
	return h
}

func readsDovecots(t *testing.T, p *peer, s *Store) {
	for i := range 5 {
		p.save("INBOX", fmt.Sprintf("Subject: %d\n\nText\n", i))
	}
	p.doveadm("", "flags", "add", `\Seen $Label1 Work`, "uid", "2,4")
	p.doveadm("", "expunge", "uid", "3", "mailbox", "INBOX")
	p.save("INBOX", "Subject: later\n\nText\n")
	p.same(s, "INBOX")
	m := open(t, s, "INBOX")
	size, err := m.Size(0)
	must(t, err)
	virtual, err := m.Virtual(0)
	must(t, err)
	received, err := m.Received(0)
	must(t, err)
	want := p.doveadm("", "-f", "tab", "fetch", "size.physical size.virtual date.received.unixtime", "uid", "1", "mailbox", "INBOX")
	if got := fmt.Sprintf("%d\t%d\t%d\n", size, virtual, received.Unix()); !strings.HasSuffix(want, "\n"+got) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func numbersDelivered(t *testing.T, p *peer, s *Store) {
	p.save("INBOX", "Subject: first\n\nText\n")
	before := p.status("INBOX")
	f := inbox(t, s)
	for range 3 {
		_, err := f.Save(message("x\r\n"))
		must(t, err)
	}
	m := open(t, s, "INBOX")
	if m.Len() != 4 || m.UIDNext() != 5 {
		t.Fatalf("got %s", ourStatus(m))
	}
	p.same(s, "INBOX")
	if after := strings.Replace(p.status("INBOX"), "messages=4 uidnext=5", "messages=1 uidnext=2", 1); after != before {
		t.Errorf("got %s, want %s and three more", after, before)
	}
}

func startsList(t *testing.T, p *peer, s *Store) {
	f := inbox(t, s)
	for range 3 {
		_, err := f.Save(message("x\r\n"))
		must(t, err)
	}
	m := open(t, s, "INBOX")
	want := ours(m)
	p.same(s, "INBOX")
	if got := p.fetch("INBOX"); !slices.Equal(got, want) {
		t.Errorf("Dovecot sees %q, want %q", got, want)
	}
	p.doveadm("", "mailbox", "create", "Next")
	if next := open(t, s, "Next"); next.UIDValidity() <= m.UIDValidity() {
		t.Errorf("Dovecot's new folder has UIDVALIDITY %d, ours %d", next.UIDValidity(), m.UIDValidity())
	}
}

func changesUnderSession(t *testing.T, p *peer, s *Store) {
	for i := range 6 {
		p.save("INBOX", fmt.Sprintf("Subject: %d\n\nText\n", i))
	}
	session := p.imap()
	session.do("SELECT INBOX")
	m := open(t, s, "INBOX")
	must(t,
		m.SetFlags(0, Change{Add: Seen | Flagged, AddKeywords: []string{"$Label1"}}),
		m.SetFlags(1, Change{Add: Answered}),
		m.SetFlags(1, Change{Remove: Answered, AddKeywords: []string{"Work"}}),
		m.SetFlags(2, Change{Replace: true, Add: Draft}),
		m.Expunge(3))
	said := session.do("NOOP")
	for _, want := range []string{"* 4 EXPUNGE", `* 1 FETCH (FLAGS (\Flagged \Seen`, "$Label1", "Work"} {
		if !strings.Contains(said, want) {
			t.Errorf("session did not hear %q:\n%s", want, said)
		}
	}
	// The session renames behind our back.
	session.do(`STORE 1:* +FLAGS (\Flagged)`)
	must(t, m.SetFlags(4, Change{Add: Seen}), m.SetFlags(5, Change{Add: Deleted}))
	session.do(`UID STORE 6 +FLAGS.SILENT (\Deleted)`)
	session.do("EXPUNGE")
	if err := m.SetFlags(5, Change{Add: Seen}); err != ErrGone {
		t.Errorf("flags of an expunged message: got %v, want ErrGone", err)
	}
	session.end()
	p.same(s, "INBOX")
}

func copiesBeside(t *testing.T, p *peer, s *Store) {
	for i := range 3 {
		p.save("INBOX", fmt.Sprintf("Subject: %d\n\nText\n", i))
	}
	p.doveadm("", "mailbox", "create", "Foo")
	p.save("Foo", "Subject: there\n\nText\n")
	p.doveadm("", "flags", "add", "Other", "mailbox", "Foo")
	p.doveadm("", "flags", "add", `\Seen Work`, "uid", "2", "mailbox", "INBOX")
	session := p.imap()
	session.do("SELECT Foo")
	src, dst := open(t, s, "INBOX"), open(t, s, "Foo")
	var uids []uint32
	must(t, dst.CopyAll(src, []int{0, 1, 2, 1}, func(_ int, uid uint32) error { uids = append(uids, uid); return nil }))
	if want := []uint32{2, 3, 4, 5}; !slices.Equal(uids, want) {
		t.Errorf("got UIDs %v, want %v", uids, want)
	}
	if said := session.do("NOOP"); !strings.Contains(said, "* 5 EXISTS") {
		t.Errorf("session heard %s", said)
	}
	session.end()
	p.same(s, "Foo")
	dst = open(t, s, "Foo")
	if a, b := dst.MessageGUID(2), dst.MessageGUID(4); a != b || a != src.MessageGUID(1) {
		t.Errorf("GUIDs %q, %q, want %q", a, b, src.MessageGUID(1))
	}
	// Dovecot's own copy of a name that is taken, and a move back.
	p.doveadm("", "copy", "Foo", "mailbox", "INBOX", "uid", "1")
	p.same(s, "Foo")
	dst = open(t, s, "Foo")
	must(t, open(t, s, "INBOX").MoveAll(dst, []int{0, 1, 2}, func(int, uint32) error { return nil }))
	p.same(s, "Foo")
	p.same(s, "INBOX")
}

func appendsBeside(t *testing.T, p *peer, s *Store) {
	p.save("INBOX", "Subject: first\n\nText\n")
	session := p.imap()
	session.do("SELECT INBOX")
	m := open(t, s, "INBOX")
	received := time.Unix(1_000_000_000, 0)
	uid, err := m.Append(Appended{Body: strings.NewReader("Subject: a\r\n\r\nb\r\n"), Flags: Seen | Draft,
		Keywords: []string{"$Junk", "work"}, Received: received, GUID: "1234.its-own"})
	must(t, err)
	plain, err := m.Append(Appended{Body: strings.NewReader("Subject: c\n\nd")})
	must(t, err)
	if uid != 2 || plain != 3 {
		t.Errorf("got UIDs %d and %d, want 2 and 3", uid, plain)
	}
	if said := session.do("NOOP"); !strings.Contains(said, "* 3 EXISTS") {
		t.Errorf("session heard %s", said)
	}
	said := session.do("UID FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
	for _, want := range []string{"$Junk", "work", `\Draft`, "2001 ", "RFC822.SIZE 17", "Subject: a\r\n\r\nb\r\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in %s", want, said)
		}
	}
	session.end()
	p.same(s, "INBOX")
}

// livesBeside: both change two folders in turn; after each step both see the
// same, and no UID ever means another message.
func livesBeside(t *testing.T, p *peer, s *Store) {
	p.doveadm("", "mailbox", "create", "Foo")
	seen := map[string]string{} // folder and UID: GUID
	for step := range 60 {
		folder, other := "INBOX", "Foo"
		if step%7 > 3 {
			folder, other = other, folder
		}
		m := open(t, s, folder)
		last := m.Len() - 1
		switch step * 31 % 11 {
		case 0, 5:
			p.save(folder, fmt.Sprintf("Subject: %d\n\nText\n", step))
		case 1:
			f, err := s.Folder(folder, Create{})
			must(t, err)
			_, err = f.Save(message("x\r\n"))
			must(t, err)
			f.Close()
		case 2, 6:
			_, err := m.Append(Appended{Body: strings.NewReader("Subject: x\n\n"), Flags: Flags(step) & (Seen | Flagged)})
			must(t, err)
		case 3:
			if last >= 0 {
				must(t, m.SetFlags(step%(last+1), Change{Add: Answered, AddKeywords: []string{fmt.Sprint("k", step%5)}}))
			}
		case 4:
			p.doveadm("", "flags", "add", fmt.Sprint(`\Seen d`, step%5), "mailbox", folder)
		case 7:
			if last > 2 {
				must(t, m.Expunge(step%(last+1)))
			}
		case 8:
			if last >= 0 {
				must(t, open(t, s, other).MoveAll(m, []int{last}, func(int, uint32) error { return nil }))
			}
		case 9:
			if last >= 0 {
				_, err := open(t, s, other).CopyFrom(m, 0)
				must(t, err)
			}
		case 10:
			p.doveadm("", "move", other, "mailbox", folder, "1")
		}
		for _, name := range []string{folder, other} {
			p.same(s, name)
			m := open(t, s, name)
			for i := range m.Len() {
				key := fmt.Sprint(name, m.UIDValidity(), m.Entry(i).UID)
				if guid, ok := seen[key]; ok && guid != m.MessageGUID(i) {
					t.Fatalf("step %d: %s was %s and is %s", step, key, guid, m.MessageGUID(i))
				}
				seen[key] = m.MessageGUID(i)
			}
		}
	}
}

// waitsForDovecot: while we hold the lock, Dovecot waits, and takes nothing
// over that lives.
func waitsForDovecot(t *testing.T, p *peer, s *Store) {
	p.save("INBOX", "Subject: first\n\nText\n")
	m := open(t, s, "INBOX")
	lock, err := s.lockList(m.control)
	must(t, err)
	_, err = inbox(t, s).Save(message("x\r\n"))
	must(t, err)
	session := p.imap()
	done := make(chan string, 1)
	go func() { done <- session.do("SELECT INBOX") }()
	select {
	case said := <-done:
		t.Errorf("Dovecot did not wait: %s", said)
	case <-time.After(300 * time.Millisecond):
	}
	lock.release()
	if said := <-done; !strings.Contains(said, "* 2 EXISTS") {
		t.Errorf("got %s", said)
	}
	session.end()
	p.same(s, "INBOX")
}

// takesOverOurs: the lock of a process of ours that died stops Dovecot for two
// seconds, not for two minutes: it knows the host by the name that we write.
func takesOverOurs(t *testing.T, p *peer, s *Store) {
	p.save("INBOX", "Subject: first\n\nText\n")
	lock, err := s.lockList(open(t, s, "INBOX").control)
	must(t, err)
	_, err = inbox(t, s).Save(message("x\r\n"))
	must(t, err)
	path := filepath.Join(s.c.Root, lockName)
	must(t, os.WriteFile(path, fmt.Append(nil, deadPID(t), strings.TrimLeft(read(t, path), "0123456789")), 0o600))
	session, begin := p.imap(), time.Now()
	if said := session.do("SELECT INBOX"); !strings.Contains(said, "* 2 EXISTS") || time.Since(begin) > 30*time.Second {
		t.Errorf("after %v: %s", time.Since(begin), said)
	}
	session.end()
	lock.release()
}

// compactsUnderSession: a session that has the folder open, and one that comes
// later, see the same UIDs when we leave the records of gone messages out.
func compactsUnderSession(t *testing.T, p *peer, s *Store) {
	f := inbox(t, s)
	for range 100 {
		_, err := f.Save(message("Subject: x\r\n\r\nText\r\n"))
		must(t, err)
	}
	session := p.imap()
	session.do("SELECT INBOX")
	m := open(t, s, "INBOX")
	for i := range 60 {
		must(t, m.Expunge(i))
	}
	aged(t, s.c.Root)
	if m = open(t, s, "INBOX"); m.list.count != 40 || m.Entry(0).UID != 61 {
		t.Fatalf("the list has %d records, the first UID is %d", m.list.count, m.Entry(0).UID)
	}
	if said := session.do("NOOP"); strings.Count(said, " EXPUNGE\r\n") != 60 {
		t.Errorf("session heard of %d expunges, want 60", strings.Count(said, " EXPUNGE\r\n"))
	}
	session.do(`STORE 1:5 +FLAGS (\Flagged Work)`)
	session.do("COPY 1:3 INBOX")
	_, err := open(t, s, "INBOX").Append(Appended{Body: strings.NewReader("Subject: y\n\nText\n")})
	must(t, err)
	if said := session.do("NOOP"); !strings.Contains(said, "* 44 EXISTS") {
		t.Errorf("session heard %s", said)
	}
	// The last ones too: their UIDs must not come again.
	session.do(`STORE 11:* +FLAGS.SILENT (\Deleted)`)
	session.do("EXPUNGE")
	aged(t, s.c.Root)
	if m = open(t, s, "INBOX"); m.list.end > smallList && m.list.count > 13 || m.Len() != 10 || m.UIDNext() != 105 {
		t.Errorf("the list has %d records, %d messages, next UID %d", m.list.count, m.Len(), m.UIDNext())
	}
	p.save("INBOX", "Subject: z\n\nText\n")
	session.end()
	p.same(s, "INBOX")
	if m = open(t, s, "INBOX"); m.Entry(m.Len()-1).UID != 105 {
		t.Errorf("the last UID is %d, want 105", m.Entry(m.Len()-1).UID)
	}
}

// savedBeside: a message that Dovecot moves away and back has its old name and
// a new date.
func savedBeside(t *testing.T, p *peer, s *Store) {
	p.doveadm("", "mailbox", "create", "Foo")
	for range 2 {
		p.save("INBOX", "Subject: x\n\nText\n")
	}
	now := time.Unix(1_000_000_000, 0)
	s.c.Now = func() time.Time { return now }
	m := open(t, s, "INBOX")
	m.addSaved([]uint32{1, 2}, now)
	base := m.Base(0)
	p.doveadm("", "move", "Foo", "mailbox", "INBOX", "uid", "1")
	p.doveadm("", "move", "INBOX", "mailbox", "Foo", "all")
	m = open(t, s, "INBOX")
	if m.Len() != 2 || m.Entry(1).UID != 3 {
		t.Fatalf("got %d messages, the last %+v", m.Len(), m.Entry(1))
	}
	t.Logf("%s came back as %s", base, m.Base(1))
	if stayed, back := savedDate(t, m, 0), savedDate(t, m, 1); stayed != now.Unix() || back < time.Now().Unix()-60 {
		t.Errorf("got %d for the one that stayed and %d for the one that came back", stayed, back)
	}
}

// session is an IMAP session of Dovecot's.
type session struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	errs  bytes.Buffer
	n     int
}

func (p *peer) imap() *session {
	s := &session{t: p.t, cmd: p.command("/usr/lib/dovecot/imap")}
	var err error
	s.in, err = s.cmd.StdinPipe()
	must(p.t, err)
	out, err := s.cmd.StdoutPipe()
	must(p.t, err)
	s.lines = bufio.NewReader(out)
	s.cmd.Stderr = &s.errs
	must(p.t, s.cmd.Start())
	return s
}

func (s *session) do(command string) string {
	s.n++
	tag := fmt.Sprintf("a%d ", s.n)
	fmt.Fprintf(s.in, "%s%s\r\n", tag, command)
	var said strings.Builder
	for {
		line, err := s.lines.ReadString('\n')
		said.WriteString(line)
		if err != nil || strings.HasPrefix(line, tag) {
			if !strings.HasPrefix(line, tag+"OK") {
				s.t.Errorf("%s: got %q (%v) %s", command, line, err, s.errs.String())
			}
			return said.String()
		}
	}
}

func (s *session) end() {
	s.t.Helper()
	s.do("LOGOUT")
	s.in.Close()
	io.Copy(io.Discard, s.lines)
	s.cmd.Wait()
	for line := range strings.Lines(s.errs.String()) {
		if !strings.Contains(line, "Info: ") {
			s.t.Errorf("Dovecot complains: %s", line)
		}
	}
}
