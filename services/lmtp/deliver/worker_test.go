package deliver

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/lmtpproto"
	"culver/internal/settings/finished"
	"culver/internal/tabline"
	"culver/internal/worker"
)

// The test binary plays the worker; each test plays the master and the front.
func TestMain(m *testing.M) {
	if os.Getenv("PLAY") == "worker" {
		os.Exit(Run(worker.Begin(false)))
	}
	os.Exit(m.Run())
}

func settingsForTest() finished.Bag {
	return finished.Bag{
		"hostname": "mx.example.org", "login_greeting": "Culver ready.", "service_count": "1",
		"mail_fsync": "optimized", "mail_save_crlf": "no", "mail_temp_scan_interval": "604800000000000",
		"quota_rule": "", "quota_grace": "10%", "quota_enforce": "maildirsize", "quota_full_tempfail": "no",
		"lda_mailbox_autocreate": "no", "lda_mailbox_autosubscribe": "no",
		"recipient_delimiter": "+", "lmtp_save_to_detail_mailbox": "no", "lmtp_hdr_delivery_address": "final",
		"lmtp_add_received_header": "yes", "deliver_log_format": "msgid=%m: %$",
		"lda_original_recipient_header": "",
		"lmtp_rcpt_check_quota":         "no", "lmtp_verbose_replies": "no", "zoneinfo": "",
	}
}

// workerProgram is the test binary, unless a benchmark asks for the real one.
func workerProgram() string {
	if p := os.Getenv("LMTP_DELIVER"); p != "" {
		return p
	}
	return os.Args[0]
}

// testMaster holds one worker process.
type testMaster struct {
	t       testing.TB
	cmd     *exec.Cmd
	control *fdpass.Conn
	log     *bufio.Reader
}

// startWorker starts the worker with changes to the usual settings.
func startWorker(t testing.TB, change finished.Bag) *testMaster {
	t.Helper()
	b := settingsForTest()
	maps.Copy(b, change)
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	control, err := fdpass.New(ours, "control")
	if err != nil {
		t.Fatal(err)
	}
	logRead, logWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	groups, _ := syscall.Getgroups()
	slices.Sort(groups)
	cmd := exec.Command(workerProgram())
	cmd.Env = []string{"PLAY=worker", "GOMAXPROCS=1", handoff.EnvService + "=lmtp-deliver",
		handoff.EnvIdentity + "=" + worker.Identity(os.Getuid(), os.Getgid(), groups)}
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(theirs), "control"), memfd(t, b.Encode())}
	cmd.Stderr = logWrite
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles[0].Close()
	logWrite.Close()
	m := &testMaster{t, cmd, control, bufio.NewReader(logRead)}
	t.Cleanup(func() {
		control.Close()
		if cmd.ProcessState == nil {
			cmd.Wait()
		}
		logRead.Close()
	})
	m.wantStatus(1, 0)
	return m
}

func memfd(t testing.TB, content []byte) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func (m *testMaster) wantStatus(available, served uint64) {
	m.t.Helper()
	buf := make([]byte, handoff.MaxMessage)
	n, err := m.control.RecvPlain(buf)
	if err != nil {
		log, _ := io.ReadAll(m.log)
		m.t.Fatalf("status: %v; log %q", err, log)
	}
	got, err := handoff.Parse(buf[:n])
	if err != nil || got.Kind != handoff.KindStatus || got.Available != available || got.Served != served {
		m.t.Fatalf("status: got %+v, %v, want %d available, %d served", got, err, available, served)
	}
}

// access hands the worker a user and gives the front's end.
func (m *testMaster) access(grant finished.Bag) *testFront {
	m.t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	msg := handoff.Message{Kind: handoff.KindAccess, Text: string(grant.Encode())}
	if err := m.control.Send(msg.Append(nil), theirs); err != nil {
		m.t.Fatal(err)
	}
	unix.Close(theirs)
	c, err := fdpass.New(ours, "front")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	return &testFront{m.t, c, bufio.NewReaderSize(c, 8192)}
}

func (m *testMaster) wantExit(code int) {
	m.t.Helper()
	m.cmd.Wait()
	if got := m.cmd.ProcessState.ExitCode(); got != code {
		m.t.Errorf("exit code: got %d, want %d", got, code)
	}
}

// logLine reads one framed line.
func (m *testMaster) logLine() string {
	m.t.Helper()
	line, err := m.log.ReadString('\n')
	if err != nil {
		m.t.Fatalf("log: %v", err)
	}
	if len(line) < 2 || line[0] != 1 {
		m.t.Fatalf("log line %q", line)
	}
	f := tabline.Split(strings.TrimSuffix(line[2:], "\n"))
	return line[1:2] + " " + strings.Join(f, " ")
}

type testFront struct {
	t  testing.TB
	c  *fdpass.Conn
	br *bufio.Reader
}

// send sends commands, with a message's descriptor or nil.
func (f *testFront) send(msg *os.File, lines ...string) {
	f.t.Helper()
	fd := -1
	if msg != nil {
		fd = int(msg.Fd())
	}
	if err := f.c.Send([]byte(strings.Join(lines, "\r\n")+"\r\n"), fd); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFront) reply() string {
	f.t.Helper()
	r, err := lmtpproto.ReadReply(f.br)
	if err != nil {
		f.t.Fatalf("reply: %v", err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text))
}

func (f *testFront) want(replies ...string) {
	f.t.Helper()
	for _, want := range replies {
		if got := f.reply(); !strings.HasPrefix(got, want) {
			f.t.Errorf("reply: got %q, want %q", got, want)
		}
	}
}

// deliver sends a whole conversation and gives the replies to RCPT and XFD.
func (f *testFront) deliver(rcpt, msg string) (toRcpt, toData string) {
	f.t.Helper()
	f.send(memfd(f.t, []byte(msg)), "LHLO front.example.org",
		"XCLIENT ADDR=192.0.2.9 PORT=2525 HELO=relay PROTO=LMTP SESSION=abc:R1 LOGIN=[UNAVAILABLE]",
		"MAIL FROM:<sender@example.org> BODY=8BITMIME", "RCPT TO:<"+rcpt+">",
		fmt.Sprintf("XFD %d LAST", len(msg)), "QUIT")
	f.want("220  mx.example.org Culver ready.", "250  mx.example.org", "220 ", "250 2.1.0 OK")
	toRcpt, toData = f.reply(), f.reply()
	f.want("221 2.0.0 Bye")
	if _, err := f.br.ReadByte(); err != io.EOF {
		f.t.Errorf("after QUIT: got %v, want EOF", err)
	}
	return toRcpt, toData
}

func grantFor(root string) finished.Bag {
	return finished.Bag{"user": "bob@x", "mail_path": root, "mail_layout": "maildir++", "mail_utf8": "no", "service": "lmtp",
		"mail_home_create": "yes"}
}

func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}

func oneFile(t testing.TB, dir string) string {
	t.Helper()
	names := filesIn(t, dir)
	if len(names) != 1 {
		t.Fatalf("%s: got %d files, want 1", dir, len(names))
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWorkerDeliversOneMessage(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "Maildir")
	m := startWorker(t, nil)
	rcpt, data := m.access(grantFor(root)).deliver("bob@x", "Message-ID: <1@x>\r\nSubject: hi\r\n\r\nText\r\n")
	if rcpt != "250 2.1.5 OK" || data != "250 2.0.0 <bob@x> abc:R1 Saved" {
		t.Errorf("got %q and %q", rcpt, data)
	}
	if got, want := m.logLine(), "i abc:R1 bob@x msgid=<1@x>: saved mail to INBOX"; got != want {
		t.Errorf("log: got %q, want %q", got, want)
	}
	m.wantStatus(0, 1)
	m.wantExit(0)
	text := oneFile(t, filepath.Join(root, "new"))
	want := "Return-Path: <sender@example.org>\nDelivered-To: bob@x\nReceived: from relay ([192.0.2.9])\n" +
		"\tby mx.example.org with LMTP\n\tid abc:R1\n\t(envelope-from <sender@example.org>)\n\tfor <bob@x>; "
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, " +0000\nMessage-ID: <1@x>\nSubject: hi\n\nText\n") {
		t.Errorf("got %q", text)
	}
	if names := filesIn(t, filepath.Join(root, "tmp")); len(names) != 0 {
		t.Errorf("left in tmp: %q", names)
	}
}
