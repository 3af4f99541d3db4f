package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"culver/internal/doveadmproto"
)

func TestMain(m *testing.M) {
	if os.Getenv("PLAY") == "doveadm" {
		os.Args = append([]string{"doveadm"}, os.Args[1:]...)
		main()
	}
	os.Exit(m.Run())
}

// doveadm starts the command as a process of its own.
func doveadm(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "PLAY=doveadm")
	return cmd
}

func listen(t testing.TB, name string, serve func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), name)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return socket
}

// searches answers each command with one row, which has nothing of the user.
func searches(c net.Conn) {
	r := bufio.NewReader(c)
	r.ReadSlice('\n')
	io.WriteString(c, doveadmproto.ServerVersion+"+\n")
	answer := doveadmproto.AppendPacket(nil, doveadmproto.ChReply, []byte("0123456789abcdef0123456789abcdef\t1\t\n+\n"))
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(string(line), "\t\t") {
			continue // OPTION
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// lists gives so many users; it stops after the first until go on is closed.
func lists(users int, goOn <-chan struct{}) func(net.Conn) {
	return func(c net.Conn) {
		w := bufio.NewWriterSize(c, 64<<10)
		fmt.Fprint(w, "VERSION\t1\t1\nSPID\t1\n")
		w.Flush()
		in := bufio.NewScanner(c)
		for in.Scan() {
			f := strings.Split(in.Text(), "\t")
			if f[0] != "LIST" {
				continue
			}
			for i := range users {
				if i == 1 {
					w.Flush()
					<-goOn
				}
				if _, err := fmt.Fprintf(w, "LIST\t%s\tuser%07d@example.com\n", f[1], i); err != nil {
					return
				}
			}
			fmt.Fprintf(w, "DONE\t%s\n", f[1])
			w.Flush()
		}
	}
}

// What a run over a million users may need.
const mostMemory = 64 << 20

func TestAMillionUsersInLittleMemory(t *testing.T) {
	users := 1_000_000
	if testing.Short() {
		users = 50_000
	}
	for _, tt := range []struct {
		name  string
		extra []string
	}{
		{"as they finish", nil},
		{"with all there is", []string{"--ordered", "--progress=ndjson", "--journal", filepath.Join(t.TempDir(), "journal"), "--failed-file", filepath.Join(t.TempDir(), "failed")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			goOn := make(chan struct{})
			auth := listen(t, "auth", lists(users, goOn))
			server := listen(t, "server", searches)
			args := []string{"-c", "/nonexistent", "-o", "auth_socket_path=" + auth, "search", "-S", server, "-A"}
			cmd := doveadm(t, append(append(args, tt.extra...), "all")...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = io.Discard
			began := time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			lines := bufio.NewScanner(out)
			count := 0
			for lines.Scan() {
				if count++; count == 1 {
					// Auth has listed one user and waits for us.
					t.Logf("first result after %v", time.Since(began))
					close(goOn)
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if count != users {
				t.Errorf("%d rows, want one for each of %d users", count, users)
			}
			rusage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			t.Logf("%d users in %v, at most %d KiB resident", users, time.Since(began), rusage.Maxrss)
			if got := rusage.Maxrss << 10; got > mostMemory {
				t.Errorf("%d bytes resident, want at most %d", got, mostMemory)
			}
		})
	}
}
