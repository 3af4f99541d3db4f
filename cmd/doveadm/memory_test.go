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
	"culver/internal/mailtest"
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

// million is one, or what a short test makes do with.
func million() int {
	if testing.Short() {
		return 50_000
	}
	return 1_000_000
}

// resident is the most memory that a process had, in bytes.
func resident(cmd *exec.Cmd) int64 {
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

func TestResumeKnowsAMillionUsersInLittleMemory(t *testing.T) {
	users := million()
	journal := filepath.Join(t.TempDir(), "journal")
	f, err := os.Create(journal)
	if err != nil {
		t.Fatal(err)
	}
	server := mailtest.Listen(t, "server", searches)
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, `{"doveadm-journal":1,"command":"search","args":["--","all"],"users":{"all":true},"server":%q}`+"\n", server)
	for i := range users {
		fmt.Fprintf(w, "+user%07d@example.com\n", i)
		if i != users/2 {
			fmt.Fprintf(w, "=user%07d@example.com\t0\n", i)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	goOn := make(chan struct{})
	close(goOn)
	cmd := doveadm(t, "-c", "/nonexistent", "-o", "auth_socket_path="+mailtest.Listen(t, "auth", lists(users, goOn)), "resume", journal)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err, errs.String())
	}
	if want := fmt.Sprintf("user%07d@example.com 0123456789abcdef0123456789abcdef 1\n", users/2); string(out) != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if want := fmt.Sprintf("doveadm: 1 users ok, 0 failed, %d skipped; ", users-1); !strings.HasPrefix(errs.String(), want) {
		t.Errorf("said %q, want %q", errs.String(), want)
	}
	t.Logf("at most %d KiB resident", resident(cmd)>>10)
	if got := resident(cmd); got > mostMemory {
		t.Errorf("%d bytes resident, want at most %d", got, mostMemory)
	}
}

func TestAMillionUsersInLittleMemory(t *testing.T) {
	for _, tt := range []struct {
		name  string
		users int
		extra []string
	}{
		{"as they finish", 100_000, nil},
		{"with all there is", million(), []string{"--ordered", "--progress=ndjson", "--journal", filepath.Join(t.TempDir(), "journal"), "--failed-file", filepath.Join(t.TempDir(), "failed")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			users := tt.users
			goOn := make(chan struct{})
			auth := mailtest.Listen(t, "auth", lists(users, goOn))
			server := mailtest.Listen(t, "server", searches)
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
			t.Logf("%d users in %v, at most %d KiB resident", users, time.Since(began), resident(cmd)>>10)
			if got := resident(cmd); got > mostMemory {
				t.Errorf("%d bytes resident, want at most %d", got, mostMemory)
			}
		})
	}
}
