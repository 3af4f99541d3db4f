package worker

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

// The test binary plays the worker; each test plays the master and the front.
func TestMain(m *testing.M) {
	if os.Getenv("PLAY") == "worker" {
		os.Exit(Run(worker.Begin(false)))
	}
	os.Exit(m.Run())
}

// process is one worker process, seen from its master.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	control *fdpass.Conn
}

func startProcess(t testing.TB, settings finished.Bag) *process {
	t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	control, err := fdpass.New(ours, "control")
	if err != nil {
		t.Fatal(err)
	}
	program := os.Args[0]
	if p := os.Getenv("DOVEADM_WORKER"); p != "" { // a benchmark wants the real one
		program = p
	}
	fd, err := unix.MemfdCreate("settings", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "settings")
	if _, err := memory.Write(settings.Encode()); err != nil {
		t.Fatal(err)
	}
	groups, _ := syscall.Getgroups()
	slices.Sort(groups)
	cmd := exec.Command(program)
	cmd.Env = []string{"PLAY=worker", "GOMAXPROCS=1", handoff.EnvService + "=doveadm-worker",
		handoff.EnvIdentity + "=" + worker.Identity(os.Getuid(), os.Getgid(), groups)}
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(theirs), "control"), memory}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles[0].Close()
	memory.Close()
	p := &process{t, cmd, control}
	p.wantStatus(1, 0)
	return p
}

func (p *process) wantStatus(available, served uint64) {
	p.t.Helper()
	buf := make([]byte, handoff.MaxMessage)
	n, err := p.control.RecvPlain(buf)
	if err != nil {
		p.t.Fatalf("status: %v", err)
	}
	got, err := handoff.Parse(buf[:n])
	if err != nil || got.Kind != handoff.KindStatus || got.Available != available || got.Served != served {
		p.t.Fatalf("status: got %+v, %v, want %d available, %d served", got, err, available, served)
	}
}

// access hands the worker a user and a command.
func (p *process) access(dir, name string, args ...string) *fdpass.Conn {
	p.t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	grant := finished.Bag{"user": "alice", "mail_path": dir, "home": filepath.Dir(dir)}
	msg := handoff.Message{Kind: handoff.KindAccess, Text: string(grant.Encode())}
	if err := p.control.Send(msg.Append(nil), theirs); err != nil {
		p.t.Fatal(err)
	}
	unix.Close(theirs)
	c, err := fdpass.New(ours, "worker")
	if err != nil {
		p.t.Fatal(err)
	}
	line := (&doveadmproto.Command{User: "alice", Name: name, Args: args}).Append(nil)
	if _, err := c.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChRun, line[:len(line)-1])); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestAWorkerServesItsCountAndEnds(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.write("INBOX", 1)
	u.settings["service_count"] = "2"
	p := startProcess(t, u.settings)
	for served := uint64(1); served <= 2; served++ {
		c := p.access(u.dir, "search", "mailbox", "INBOX", "seen")
		all, err := io.ReadAll(c)
		c.Close()
		if err != nil || !slices.Contains(values(all), "1") {
			t.Errorf("reply %q, %v, want UID 1", all, err)
		}
		p.wantStatus(2-served, served)
	}
	p.control.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// values gives the cells of packets on the reply channel.
func values(b []byte) (all []string) {
	var rr doveadmproto.ReplyReader
	cell := ""
	for len(b) >= 5 {
		n := 5 + int(b[3])<<8 + int(b[4])
		if b[0] == doveadmproto.ChReply {
			rr.Feed(b[5:n], func(piece []byte, last bool) error {
				if cell += string(piece); last {
					all, cell = append(all, cell), ""
				}
				return nil
			})
		}
		b = b[n:]
	}
	return all
}

// BenchmarkLife is a worker's whole life on a mailbox of 100 messages.
func BenchmarkLife(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "mail")
	for _, sub := range []string{"cur", "new", "tmp"} {
		os.MkdirAll(filepath.Join(dir, sub), 0o700)
	}
	for i := range 100 {
		name := filepath.Join(dir, "cur", "16000000"+strconv.Itoa(10+i)+".M1P1.host:2,S")
		os.WriteFile(name, []byte("Subject: x\nFrom: someone@example.com\n\n"+string(make([]byte, 3000))), 0o600)
	}
	settings := (&user{}).defaults()
	settings["service_count"] = "1"
	for _, query := range [][]string{{"seen"}, {"since", "1d"}, {"subject", "nothing"}, {"body", "nothing"}} {
		b.Run(query[0], func(b *testing.B) {
			for b.Loop() {
				p := startProcess(b, settings)
				c := p.access(dir, "search", append([]string{"mailbox", "INBOX"}, query...)...)
				io.Copy(io.Discard, bufio.NewReader(c))
				c.Close()
				p.wantStatus(0, 1)
				p.control.Close()
				p.cmd.Wait()
			}
		})
	}
}
