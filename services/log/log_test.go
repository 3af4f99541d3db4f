package log

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
)

func TestMain(m *testing.M) {
	if os.Getenv("PLAY") == "dies-in-mid-line" {
		logline.Print(logline.Info, "S", "", "whole")
		os.Stderr.WriteString("\x01eS\t\thalf")
		unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	os.Exit(m.Run())
}

// start runs the service against one end of a control socket and gives the
// other, the master's.
func start(t *testing.T, w *Writer) (master *fdpass.Conn, ended chan int) {
	t.Helper()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	master, _ = fdpass.New(a, "master")
	child, _ := fdpass.New(b, "control")
	ended = make(chan int, 1)
	go func() {
		s := Service{Writer: w}
		ended <- s.Serve(&worker.Process{Service: "log", Control: child})
	}()
	buf := make([]byte, handoff.MaxMessage)
	n, err := master.RecvPlain(buf)
	if m, perr := handoff.Parse(buf[:n]); err != nil || perr != nil || m.Kind != handoff.KindStatus {
		t.Fatalf("got %+v, %v, %v; want the readiness", m, err, perr)
	}
	return master, ended
}

// source hands the service a new pipe and gives its write end.
func source(t *testing.T, master *fdpass.Conn, from Source) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m := handoff.Message{Kind: handoff.KindLogSource, ID: from.PID, Service: from.Service, User: from.User}
	if err := master.Send(m.Append(nil), int(r.Fd())); err != nil {
		t.Fatal(err)
	}
	return w
}

func drain(m *fdpass.Conn) { m.Send((&handoff.Message{Kind: handoff.KindDrain}).Append(nil), -1) }

func TestServiceReadsOnUntilEveryPipeHasEnded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := &File{Stream: &out}
	master, ended := start(t, NewWriter(f, f, f, f))
	w := source(t, master, Source{PID: 5, Service: "lmtp", User: "bob"})
	master.Close() // it died, or this is its farewell
	w.Write(logline.Append(nil, logline.Info, "S", "", "said after the end"))
	select {
	case <-ended:
		t.Fatal("the service ended while a pipe was open")
	default:
	}
	w.Close()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if want := "lmtp(bob)<5><S>: Info: said after the end\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// A child that never pauses writes through a change of log services, some of its
// lines in two parts: each line comes out once, whole and in order.
func TestADrainHandsThePipesOverAtALineEnd(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const lines = 3000
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "lmtp(bob)<5>: Error: line %d\n", i)
	}
	half := make(chan struct{})
	go func() {
		defer w.Close()
		for i := range lines {
			line := fmt.Sprintf("line %d\n", i)
			w.WriteString(line[:3])
			if i == lines/2 {
				close(half)
			}
			w.WriteString(line[3:])
		}
	}()
	var out bytes.Buffer
	for round := range 2 {
		f := &File{Stream: &out}
		master, ended := start(t, NewWriter(f, f, f, f))
		m := handoff.Message{Kind: handoff.KindLogSource, ID: 5, Service: "lmtp", User: "bob"}
		if err := master.Send(m.Append(nil), int(r.Fd())); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			<-half
			drain(master)
		} else {
			master.Close()
		}
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	}
	if out.String() != want.String() {
		t.Errorf("got %d bytes, want %d: a line was lost, torn or moved", out.Len(), want.Len())
	}
}

// Nobody is waited for who keeps his pipe open and says no more.
func TestADrainWaitsForNoPipesEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := &File{Stream: &out}
	master, ended := start(t, NewWriter(f, f, f, f))
	bob := source(t, master, Source{PID: 5, Service: "lmtp", User: "bob"})
	defer bob.Close()
	eve := source(t, master, Source{PID: 6, Service: "lmtp", User: "eve"})
	defer eve.Close()
	bob.Write(logline.Append(nil, logline.Info, "", "", "whole"))
	drain(master)
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if want := "lmtp(bob)<5>: Info: whole\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestNothingIsLostWhenAChildIsKilledInMidLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := &File{Stream: &out}
	master, ended := start(t, NewWriter(f, f, f, f))
	w := source(t, master, Source{PID: 5, Service: "lmtp", User: "bob"})
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"PLAY=dies-in-mid-line"}
	cmd.Stderr = w
	if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with %v, want killed", err)
	}
	w.Close()
	master.Close()
	<-ended
	if want := "lmtp(bob)<5><S>: Info: whole\nlmtp(bob)<5><S>: Error: half\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// The master waits for the log service to end, so the service must not wait for
// the master's pipe; but what is in it is written.
func TestTheMastersOwnPipeHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := &File{Stream: &out}
	master, ended := start(t, NewWriter(f, f, f, f))
	pipe := source(t, master, Source{PID: 1, Service: "master"})
	defer pipe.Close()
	pipe.Write(logline.Append(nil, logline.Warn, "", "", "stopping"))
	master.Close()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if want := "master: Warning: stopping\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
