package deliver

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/mailstore/maildir"
	"culver/internal/mailtest"
	"culver/internal/settings/finished"
)

const hello = "Message-ID: <1@x>\r\nSubject: hi\r\nFrom: A <a@b>\r\n\r\nText\r\n"

// TestOutcomes is one row per situation of spec/lmtp.md 6 that a worker decides:
// reply, log line, and the place where the message is.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	const internal = "451 4.2.0 <bob+Lists@x> Internal error occurred. Refer to server log for more information. ["
	detail := finished.Bag{"lmtp_save_to_detail_mailbox": "yes"}
	full := finished.Bag{"quota_rule": "*:bytes=10"}
	for _, tt := range []struct {
		name          string
		change, grant finished.Bag
		prep          func(t *testing.T, root string)
		reply         string
		logs          []string
		place         string // folder that has the message
	}{
		{name: "detail is off by default", reply: "250 2.0.0 <bob+Lists@x> abc:R1 Saved",
			logs: []string{"i msgid=<1@x>: saved mail to INBOX"}, place: "new"},
		{name: "a missing detail folder falls back to INBOX", change: detail, reply: "250 2.0.0",
			logs: []string{"i msgid=<1@x>: save failed to open mailbox Lists: Mailbox doesn't exist: Lists", "i msgid=<1@x>: saved mail to INBOX"}, place: "new"},
		{name: "an existing one is used", change: detail, prep: func(t *testing.T, root string) { mkdirs(t, root+"/.Lists") },
			reply: "250 2.0.0", logs: []string{"i msgid=<1@x>: saved mail to Lists"}, place: ".Lists/new"},
		{name: "one that is made", change: finished.Bag{"lmtp_save_to_detail_mailbox": "yes", "lda_mailbox_autocreate": "yes", "lda_mailbox_autosubscribe": "yes"},
			reply: "250 2.0.0", logs: []string{"i msgid=<1@x>: saved mail to Lists"}, place: ".Lists/new"},
		{name: "an auto folder of the namespace", change: finished.Bag{"lmtp_save_to_detail_mailbox": "yes", "namespace/count": "1", "namespace/0/inbox": "yes",
			"namespace/0/prefix": "INBOX/", "namespace/0/separator": "/", "namespace/0/mailbox/count": "1", "namespace/0/mailbox/0/name": "Lists", "namespace/0/mailbox/0/auto": "create"},
			reply: "250 2.0.0", logs: []string{"i msgid=<1@x>: saved mail to INBOX/Lists"}, place: ".Lists/new"},
		{name: "a symlink where the folder should be", change: detail, prep: func(t *testing.T, root string) {
			mkdirs(t, root+"/.Other")
			if err := os.Symlink(".Other", root+"/.Lists"); err != nil {
				t.Fatal(err)
			}
		}, reply: "250 2.0.0", logs: []string{"e msgid=<1@x>: save failed to open mailbox Lists: Permission denied", "i msgid=<1@x>: saved mail to INBOX"}, place: "new"},
		{name: "over quota", change: full, reply: "552 5.2.2 <bob+Lists@x> Quota exceeded (mailbox for user is full)",
			logs: []string{"i msgid=<1@x>: save failed to INBOX: Quota exceeded (mailbox for user is full)"}},
		{name: "over quota, to be tried again", change: finished.Bag{"quota_rule": "*:bytes=10", "quota_full_tempfail": "yes"},
			reply: "452 4.2.2 <bob+Lists@x> Quota exceeded (mailbox for user is full)", logs: []string{"i msgid=<1@x>: save failed to INBOX: Quota"}},
		{name: "the user's own limit", change: full, grant: finished.Bag{"quota_rule": "*:storage=1M"}, reply: "250 2.0.0",
			logs: []string{"i msgid=<1@x>: saved"}, place: "new"},
		{name: "quota that is not enforced", change: finished.Bag{"quota_rule": "*:bytes=10", "quota_enforce": "none"}, reply: "250 2.0.0",
			logs: []string{"i msgid=<1@x>: saved"}, place: "new"},
		{name: "a Maildir that is a file", prep: func(t *testing.T, root string) {
			if err := os.WriteFile(root, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, reply: internal, logs: []string{"e msgid=<1@x>: save failed to open mailbox INBOX: Permission denied: open "}},
		{name: "a FIFO for new", prep: func(t *testing.T, root string) {
			mkdirs(t, root)
			if err := os.Remove(root + "/new"); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(root+"/new", 0o600); err != nil {
				t.Fatal(err)
			}
		}, reply: internal, logs: []string{"e msgid=<1@x>: save failed to open mailbox INBOX: mailbox INBOX: Permission denied"}},
		{name: "verbose replies", change: finished.Bag{"lmtp_verbose_replies": "yes"}, grant: finished.Bag{"mail_path": "/nonexistent/a/b"},
			reply: "451 4.2.0 <bob+Lists@x> open /nonexistent/a: no such file or directory", logs: []string{"e msgid=<1@x>: save failed to open mailbox INBOX: open /nonexistent"}},
		{name: "every log variable", change: finished.Bag{"deliver_log_format": "%m|%s|%f|%e|%p|%w|%{to_envelope}|%%|%$"}, reply: "250 2.0.0",
			logs: []string{"i <1@x>|hi|a@b|sender@example.org|"}, place: "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "Maildir")
			if tt.prep != nil {
				tt.prep(t, root)
			}
			grant := grantFor(root)
			for k, v := range tt.grant {
				grant[k] = v
			}
			m := startWorker(t, tt.change)
			rcpt, data := m.access(grant).deliver("bob+Lists@x", hello)
			if rcpt != "250 2.1.5 OK" || !strings.HasPrefix(data, tt.reply) {
				t.Errorf("got %q and %q, want %q", rcpt, data, tt.reply)
			}
			m.wantStatus(0, 1)
			m.wantExit(0)
			for _, want := range tt.logs {
				want = want[:1] + " abc:R1 bob@x" + want[1:]
				if got := m.logLine(); !strings.HasPrefix(got, want) {
					t.Errorf("log: got %q, want %q", got, want)
				}
			}
			if rest, _ := io.ReadAll(m.log); len(rest) > 0 {
				t.Errorf("more in the log: %q", rest)
			}
			if tt.place != "" {
				oneFile(t, filepath.Join(root, tt.place))
			}
		})
	}
}

func mkdirs(t *testing.T, mailbox string) {
	t.Helper()
	for _, d := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(mailbox, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQuotaAtRcpt(t *testing.T) {
	t.Parallel()
	m := startWorker(t, finished.Bag{"lmtp_rcpt_check_quota": "yes", "quota_rule": "*:bytes=1000"})
	f := m.access(grantFor(filepath.Join(t.TempDir(), "Maildir")))
	f.send(nil, "LHLO front", "MAIL FROM:<> SIZE=2000", "RCPT TO:<bob@x>", "QUIT")
	f.want("220 ", "250 ", "250 2.1.0 OK", "552 5.2.2 <bob@x> Quota exceeded", "221 ")
	m.wantStatus(0, 1)
}

// A front that is gone has answered 451, or never will: its MTA sends the message
// again, and a copy saved now would be the first of two.
func TestNothingIsSavedForAFrontThatIsGone(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		root := filepath.Join(t.TempDir(), "Maildir")
		front, worker, err := fdpass.Pair(unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		msg := memfd(t, []byte(hello))
		commands := "LHLO front\r\nMAIL FROM:<>\r\nRCPT TO:<bob@x>\r\nXFD " + strconv.Itoa(len(hello)) + " LAST\r\nQUIT\r\n"
		if err := unix.Sendmsg(front, []byte(commands), unix.UnixRights(int(msg.Fd())), nil, 0); err != nil {
			t.Fatal(err)
		}
		want := 1
		if there {
			defer unix.Close(front)
		} else {
			unix.Close(front)
			want = 0
		}
		Serve(settingsForTest(), &maildir.Names{}, grantFor(root), worker)
		if n := len(filesIn(t, root+"/new")); n != want {
			t.Errorf("front there %v: %d files in new, want %d", there, n, want)
		}
		if n := len(filesIn(t, root+"/tmp")); n != 0 {
			t.Errorf("front there %v: %d files left in tmp", there, n)
		}
	}
}

// TestFrontThatWaits reads each answer before the next command.
func TestFrontThatWaits(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "Maildir")
	m := startWorker(t, nil)
	f := m.access(grantFor(root))
	f.want("220 ")
	for _, step := range []struct{ command, reply string }{
		{"RCPT TO:<bob@x>", "503 5.5.0 MAIL needed first"},
		{"MAIL FROM:<>", "250 2.1.0 OK"},
		{"MAIL FROM:<>", "503 5.5.0 MAIL already given"},
		{"XFD 5 LAST", "503 5.5.0 No valid recipients"},
		{"RCPT TO:<bob@x> NOTIFY=NEVER", "555 5.5.4"},
		{"RCPT TO:<bob@x> ORCPT=rfc822;list@y", "250 2.1.5 OK"},
		{"RCPT TO:<eve@x>", "451 4.5.3 Too many recipients"},
		{"XFD 5", "501 5.5.4"},
		{"XFD 5 LAST", "503 5.5.0 No message came along"},
		{"EHLO x", "500 5.5.1 Unknown command"},
		{"RSET", "250 2.0.0 OK"},
		{"XFD 5 LAST", "503 5.5.0 No valid recipients"},
		{"QUIT", "221 2.0.0 Bye"},
	} {
		f.send(nil, step.command)
		f.want(step.reply)
	}
	m.wantStatus(0, 1)
	if _, err := os.Stat(root); err == nil {
		t.Error("a Maildir was made for nothing")
	}
}

func TestMessageShorterThanPromised(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "Maildir")
	m := startWorker(t, nil)
	f := m.access(grantFor(root))
	f.send(memfd(t, []byte("short")), "MAIL FROM:<>", "RCPT TO:<bob@x>", "XFD 6 LAST", "QUIT")
	f.want("220 ", "250 ", "250 ", "451 4.2.0 <bob@x> Internal error occurred", "221 ")
	if got := m.logLine(); !strings.Contains(got, "save failed: message: 5 bytes") {
		t.Errorf("log: got %q", got)
	}
	if got := filesIn(t, filepath.Join(root, "new")); len(got) != 0 {
		t.Errorf("saved %q", got)
	}
}

// TestDescriptorOffsetStays: other recipients' workers share it.
func TestDescriptorOffsetStays(t *testing.T) {
	t.Parallel()
	m := startWorker(t, nil)
	f := m.access(grantFor(filepath.Join(t.TempDir(), "Maildir")))
	big := strings.Repeat("0123456789abcde\n", 40000)
	file := memfd(t, []byte("xx"+big))
	if _, err := file.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	f.send(file, "MAIL FROM:<>", "RCPT TO:<bob@x>", "XFD 100000 LAST", "QUIT")
	f.want("220 ", "250 ", "250 ", "250 2.0.0 <bob@x>", "221 ")
	if at, _ := file.Seek(0, io.SeekCurrent); at != 2 {
		t.Errorf("offset: got %d, want 2", at)
	}
}

func TestServiceCount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, count string
		users       int
		ends        bool
	}{
		{"two", "2", 2, true},
		{"no limit", "0", 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := startWorker(t, finished.Bag{"service_count": tt.count})
			for i := range tt.users {
				root := filepath.Join(t.TempDir(), "Maildir")
				grant := grantFor(root)
				grant["user"] = "u" + string(rune('a'+i))
				if _, data := m.access(grant).deliver("bob@x", hello); !strings.HasPrefix(data, "250 2.0.0") {
					t.Errorf("got %q", data)
				}
				if got := m.logLine(); !strings.Contains(got, " "+grant["user"]+" msgid") {
					t.Errorf("log: got %q", got)
				}
				oneFile(t, filepath.Join(root, "new"))
				available := uint64(1)
				if tt.ends && i == tt.users-1 {
					available = 0
				}
				m.wantStatus(available, uint64(i+1))
			}
			if !tt.ends {
				drain := handoff.Message{Kind: handoff.KindDrain}
				if err := m.control.Send(drain.Append(nil), -1); err != nil {
					t.Fatal(err)
				}
			}
			m.wantExit(0)
		})
	}
}

func TestWorkerEndsWithItsMaster(t *testing.T) {
	t.Parallel()
	m := startWorker(t, nil)
	m.control.Close()
	m.wantExit(0)
}

// TestSignalsDoNotInterrupt: a stop reaches all processes at once; what was
// begun is finished.
func TestSignalsDoNotInterrupt(t *testing.T) {
	t.Parallel()
	m := startWorker(t, nil)
	f := m.access(grantFor(filepath.Join(t.TempDir(), "Maildir")))
	f.want("220 ")
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := m.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	f.send(memfd(t, []byte(hello)), "MAIL FROM:<>", "RCPT TO:<bob@x>", "XFD 30 LAST", "QUIT")
	f.want("250 ", "250 ", "250 2.0.0 <bob@x>", "221 ")
	m.wantExit(0)
}

func TestFrontThatDies(t *testing.T) {
	t.Parallel()
	m := startWorker(t, nil)
	f := m.access(grantFor(filepath.Join(t.TempDir(), "Maildir")))
	f.send(nil, "MAIL FROM:<>", "RCPT TO:<bob@x>")
	f.c.Close()
	m.wantStatus(0, 1)
	m.wantExit(0)
}

// TestRootDiskFull: a small tmpfs stands for the full disk.
func TestRootDiskFull(t *testing.T) {
	t.Parallel()
	mailtest.NeedRoot(t)
	dir := t.TempDir()
	mailtest.Need(t, "the right to mount a tmpfs", unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	root := filepath.Join(dir, "Maildir")
	m := startWorker(t, nil)
	_, data := m.access(grantFor(root)).deliver("bob@x", "Message-ID: <1@x>\r\n\r\n"+strings.Repeat("x", 200<<10))
	if !strings.HasPrefix(data, "451 4.2.0 <bob@x> Internal error occurred.") {
		t.Errorf("got %q", data)
	}
	if got := m.logLine(); !strings.HasPrefix(got, "e abc:R1 bob@x msgid=<1@x>: save failed to INBOX: write to INBOX: no space left on device") {
		t.Errorf("log: got %q", got)
	}
	if left := append(filesIn(t, root+"/tmp"), filesIn(t, root+"/new")...); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestImports keeps the program that lives for two milliseconds small.
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	barred := map[string]bool{"net": true, "regexp": true, "crypto/tls": true, "net/http": true, "log/slog": true, "encoding/json": true}
	for dep := range strings.FieldsSeq(string(out)) {
		if barred[dep] {
			t.Errorf("links %s", dep)
		}
	}
}

// A worker that serves many may outlive the mount that its users' mail is on.
func TestMountThatIsGone(t *testing.T) {
	t.Parallel()
	m := startWorker(t, finished.Bag{"service_count": "0"})
	root := filepath.Join(t.TempDir(), "Maildir")
	grant := grantFor(root)
	grant["mail_mount_marker"] = filepath.Join(filepath.Dir(root), ".mounted")
	f := m.access(grant)
	if _, err := f.br.ReadByte(); err != io.EOF {
		t.Errorf("got %v, want the end of the stream", err)
	}
	if got, want := m.logLine(), "e  bob@x mail_mount_marker: "; !strings.HasPrefix(got, want) {
		t.Errorf("log: got %q, want %q first", got, want)
	}
	m.wantStatus(1, 1)
	if _, err := os.Lstat(root); !os.IsNotExist(err) {
		t.Errorf("Maildir: got %v, want none made", err)
	}
}
