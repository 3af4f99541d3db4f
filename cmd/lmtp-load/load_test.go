package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"culver/internal/mailtest"
)

// fake is a small LMTP server whose answers a test row sets.
type fake struct {
	lhlo   string                      // reply to LHLO
	rcpt   func(addr string) string    // reply to RCPT, "" closes
	done   func(addr string) string    // reply after the dot, "" closes
	single bool                        // fail the test when lines come pipelined
	seen   func(message string, n int) // a whole message and its number of recipients
}

func (f fake) serve(t *testing.T, c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	fmt.Fprint(c, "220 fake ready\r\n")
	var to []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if f.single && in.Buffered() > 0 {
			t.Errorf("got %d bytes behind %q, want none: the server does not pipeline", in.Buffered(), line)
		}
		switch verb, arg, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "LHLO":
			fmt.Fprint(c, f.lhlo)
		case "MAIL":
			to = nil
			fmt.Fprint(c, "250 ok\r\n")
		case "RCPT":
			addr := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
			answer := f.rcpt(addr)
			if answer == "" {
				return
			}
			if strings.HasPrefix(answer, "2") {
				to = append(to, addr)
			}
			fmt.Fprint(c, answer+"\r\n")
		case "DATA":
			if len(to) == 0 {
				fmt.Fprint(c, "503 no valid recipients\r\n")
				continue
			}
			if !f.data(c, in, to) {
				return
			}
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		}
	}
}

func (f fake) data(c net.Conn, in *bufio.Reader, to []string) bool {
	fmt.Fprint(c, "354 go\r\n")
	var m strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		m.WriteString(line)
	}
	if f.seen != nil {
		f.seen(m.String(), len(to))
	}
	for _, a := range to {
		answer := f.done(a)
		if answer == "" {
			return false
		}
		fmt.Fprint(c, answer+"\r\n")
	}
	return true
}

func (f fake) listen(t *testing.T) string {
	t.Helper()
	return "unix:" + mailtest.Listen(t, "s", func(c net.Conn) { f.serve(t, c) })
}

func always(s string) func(string) string { return func(string) string { return s } }

const pipelining = "250-fake\r\n250-8BITMIME\r\n250 PIPELINING\r\n"

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		server     fake
		args       []string
		exit       int
		good, temp int
		perm       int
		errs       map[string]int
	}{
		{"all accepted", fake{lhlo: pipelining, rcpt: always("250 ok"), done: always("250 saved")},
			[]string{"--total=20", "--messages=3", "--recipients=5", "--users=7"}, 0, 100, 0, 0, nil},
		{"more recipients than one group", fake{lhlo: pipelining, rcpt: always("250 ok"), done: always("250 saved")},
			[]string{"--total=2", "--recipients=200", "--users=200"}, 0, 400, 0, 0, nil},
		{"a server without pipelining", fake{lhlo: "250 fake\r\n", single: true, rcpt: always("250 ok"), done: always("250-saved\r\n250 twice")},
			[]string{"--total=4", "--recipients=3"}, 0, 12, 0, 0, nil},
		{"one recipient refused", fake{lhlo: pipelining, rcpt: func(a string) string {
			if a == "user2@example.org" {
				return "550 who"
			}
			return "250 ok"
		}, done: always("250 saved")},
			[]string{"--total=1", "--recipients=3"}, 1, 2, 0, 1, nil},
		{"all recipients refused", fake{lhlo: pipelining, rcpt: always("451 later")},
			[]string{"--total=1", "--recipients=3"}, 1, 0, 3, 0, nil},
		{"replies after the dot differ", fake{lhlo: pipelining, rcpt: always("250 ok"), done: func(a string) string {
			if a == "user1@example.org" {
				return "452 full"
			}
			return "250 saved"
		}}, []string{"--total=1", "--recipients=2"}, 1, 1, 1, 0, nil},
		{"closed before the last reply", fake{lhlo: pipelining, rcpt: always("250 ok"), done: func(a string) string {
			if a == "user2@example.org" {
				return ""
			}
			return "250 saved"
		}}, []string{"--total=1", "--recipients=3"}, 1, 1, 0, 0,
			map[string]int{"end_of_file": 1, "messages_lost": 1, "recipients_unanswered": 2}},
		{"a session refused", fake{lhlo: "421 busy\r\n"},
			[]string{"--total=2", "--messages=2"}, 1, 0, 0, 0, map[string]int{"session_refused": 1, "messages_lost": 2}},
		{"not LMTP", fake{lhlo: "hello\r\n"},
			[]string{"--total=1"}, 1, 0, 0, 0, map[string]int{"protocol": 1, "messages_lost": 1}},
		{"sessions that start together", fake{lhlo: pipelining, rcpt: always("250 ok"), done: always("250 saved")},
			[]string{"--total=50", "--sessions=50", "--together"}, 0, 50, 0, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			args := append([]string{"--json", "--target=" + tt.server.listen(t)}, tt.args...)
			if got := run(args, &out, &errOut); got != tt.exit {
				t.Errorf("got exit %d, want %d (%s)", got, tt.exit, out.String())
			}
			var r Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v: %s%s", err, out.String(), errOut.String())
			}
			if r.Deliveries != tt.good || r.Temporary != tt.temp || r.Permanent != tt.perm {
				t.Errorf("got 2xx %d 4xx %d 5xx %d, want %d %d %d", r.Deliveries, r.Temporary, r.Permanent, tt.good, tt.temp, tt.perm)
			}
			if fmt.Sprint(r.Errors) != fmt.Sprint(tt.errs) {
				t.Errorf("got errors %v, want %v", r.Errors, tt.errs)
			}
		})
	}
}

func TestMessageIsWhatWasOrdered(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	f := fake{lhlo: pipelining, rcpt: always("250 ok"), done: always("250 saved"), seen: func(m string, _ int) { got <- m }}
	var out, errOut bytes.Buffer
	if exit := run([]string{"--target=" + f.listen(t), "--total=1", "--size=5000", "--id=x"}, &out, &errOut); exit != 0 {
		t.Fatalf("exit %d: %s%s", exit, out.String(), errOut.String())
	}
	m := <-got
	if len(m) != 5000 {
		t.Errorf("got %d bytes, want 5000", len(m))
	}
	if !strings.Contains(m, "\r\nMessage-ID: <x.0@load.example.org>\r\n") {
		t.Errorf("no Message-ID of ours in %.400q", m)
	}
	if strings.Contains(m, "\n.") || strings.Count(m, "\n") != strings.Count(m, "\r\n") {
		t.Error("a line begins with a dot or does not end in CRLF")
	}
	if !strings.Contains(out.String(), "deliveries   1 in ") {
		t.Errorf("got %q", out.String())
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"no target", "--target is missing", nil},
		{"target of no kind", "neither", []string{"--target=x"}},
		{"no message", "--total must be at least 1", []string{"--target=unix:x", "--total=0"}},
		{"more recipients than users", "greater than --users", []string{"--target=unix:x", "--users=1", "--recipients=2"}},
		{"template without number", "needs one %d", []string{"--target=unix:x", "--user=bob"}},
		{"injected line", "line break", []string{"--target=unix:x", "--from=a\r\nDATA"}},
		{"together in turns", "--together", []string{"--target=unix:x", "--together", "--total=9", "--sessions=8"}},
		{"unknown option", "not defined", []string{"--what"}},
		{"stray argument", "unexpected", []string{"--target=unix:x", "y"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			if got := run(tt.args, &out, &errOut); got != exitUsage {
				t.Errorf("got exit %d, want %d", got, exitUsage)
			}
			if !strings.Contains(errOut.String(), tt.want) {
				t.Errorf("got %q, want %q in it", errOut.String(), tt.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	d := make([]time.Duration, 100)
	for i := range d {
		d[i] = time.Duration(i+1) * time.Millisecond
	}
	for q, want := range map[float64]int{0.5: 50, 0.95: 95, 0.99: 99, 1: 100, 0: 1} {
		if got := percentile(d, q); got != time.Duration(want)*time.Millisecond {
			t.Errorf("percentile %v: got %v, want %d ms", q, got, want)
		}
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: got %v, want 0", got)
	}
}

// A unix listener whose backlog is full refuses a connect that does not block. The
// generator must wait like an MTA: the server did nothing wrong.
func TestFullBacklogIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 1)); err != nil {
		t.Fatal(err)
	}
	// Two connections fill a backlog of one; nobody accepts yet.
	for range 2 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if c, err := net.Dial("unix", path); !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("got %v, %v; want EAGAIN: the backlog should be full", c, err)
	}
	done := make(chan int)
	var out, errOut bytes.Buffer
	go func() { done <- run([]string{"--target=unix:" + path, "--total=20", "--sessions=10"}, &out, &errOut) }()
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server := fake{lhlo: pipelining, rcpt: always("250 ok"), done: always("250 saved")}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go server.serve(t, c)
		}
	}()
	if exit := <-done; exit != 0 {
		t.Errorf("got exit %d, want 0: %s%s", exit, out.String(), errOut.String())
	}
}
