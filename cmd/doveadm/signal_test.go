package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
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
		want  []string
	}{
		{"once ends the run at a message, with a summary", false, []string{
			"doveadm: stopping at the next message; again to leave at once\n",
			"doveadm(alice): Error: temporary failure\n",
			"doveadm: 0 users ok, 1 failed, 0 skipped; 3 messages; ", "; stopped before the end\n"}},
		{"twice leaves at once", true, []string{"doveadm: left; what was begun may be done or not\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begun := make(chan struct{}, 2)
			server := listen(t, "server", works(begun, tt.never))
			cmd := doveadm(t, "-c", "/nonexistent", "-o", "doveadm_worker_count=1",
				"expunge", "-S", server, "-F", "-", "mailbox", "Trash", "all")
			users, ours, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close() // the list never ends
			io.WriteString(ours, "alice\n")
			var errs strings.Builder
			cmd.Stdin, cmd.Stderr = users, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			users.Close()
			<-begun
			cmd.Process.Signal(unix.SIGINT)
			if tt.never {
				<-begun // CANCEL has come
				cmd.Process.Signal(unix.SIGINT)
			}
			cmd.Wait()
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
