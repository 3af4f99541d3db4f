package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
)

// works takes a command, says so, and ends it when it is cancelled: or never.
func works(begun chan<- struct{}, never bool) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		r.ReadSlice('\n')
		io.WriteString(c, doveadmproto.ServerVersion+"+\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case line == "\t\t"+doveadmproto.NameCancel+"\n":
				if never {
					begun <- struct{}{}
					continue
				}
				c.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChTouched, []byte("3")))
				c.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChReply, []byte("\n-TEMPFAIL\n")))
			case !strings.HasPrefix(line, "\t\t"):
				begun <- struct{}{}
			}
		}
	}
}

func TestCtrlC(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		never bool
		sent  []os.Signal
		want  []string
	}{
		{"once ends the run at a message, with a summary", false, []os.Signal{unix.SIGINT}, []string{
			"doveadm: stopping at the next message; again to leave at once\n",
			"doveadm(alice): Error: temporary failure\n",
			"doveadm: 0 users ok, 1 failed, 0 skipped; 3 messages; ", "; stopped before the end\n"}},
		{"two signals of one timeout(1) are one", false, []os.Signal{unix.SIGTERM, unix.SIGINT}, []string{
			"doveadm: 0 users ok, 1 failed, 0 skipped; 3 messages; ", "; stopped before the end\n"}},
		{"twice leaves at once", true, []os.Signal{unix.SIGINT}, []string{"doveadm: left; what was begun may be done or not; ", " lacks those who were not begun\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{}, 2)
			server := mailtest.Listen(t, "server", works(begun, tt.never))
			failed := filepath.Join(t.TempDir(), "failed")
			cmd := doveadm(t, "-c", "/nonexistent", "-o", "doveadm_worker_count=1",
				"expunge", "-S", server, "-F", "-", "--failed-file", failed, "mailbox", "Trash", "all")
			users, ours, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close() // where we leave at once, the list never ends
			io.WriteString(ours, "alice\n")
			var errs strings.Builder
			cmd.Stdin, cmd.Stderr = users, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			users.Close()
			<-begun
			for _, sig := range tt.sent {
				cmd.Process.Signal(sig)
			}
			if tt.never {
				<-begun // CANCEL has come
				go func() {
					for range time.Tick(onePress / 10) { // until one counts as another
						if cmd.Process.Signal(unix.SIGINT) != nil {
							return
						}
					}
				}()
			} else {
				ours.Close()
			}
			cmd.Wait()
			list, err := os.ReadFile(failed)
			if err != nil || !strings.HasPrefix(string(list), "alice\t") || strings.Count(string(list), "\n") != 1 {
				t.Errorf("the failed file has %q (%v), want alice", list, err)
			}
			if got := cmd.ProcessState.ExitCode(); got != exitTemp {
				t.Errorf("exit status %d, want %d", got, exitTemp)
			}
			for _, part := range tt.want {
				if !strings.Contains(errs.String(), part) {
					t.Errorf("standard error lacks %q: %q", part, errs.String())
				}
			}
		})
	}
}
