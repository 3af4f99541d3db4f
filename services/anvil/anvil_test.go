package anvil

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/anvilproto"
	"culver/internal/maillog/logline"
)

// start serves on a socket in a temporary folder.
func start(t *testing.T, may Rights) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "anvil")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Penalties: NewPenalties(), Now: func() time.Time { return time.Unix(1e9, 0) }, Clients: 10,
		Logf: func(_ logline.Level, format string, args ...any) { t.Errorf(format, args...) }}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l, func(net.Conn) (Rights, error) { return may, nil }) }()
	t.Cleanup(func() { l.Close(); s.Close(); <-done })
	return path
}

var all = Rights{Count: true, Administer: true}

func TestTranscripts(t *testing.T) {
	t.Parallel()
	const hello = "VERSION\tculver-anvil\t1\t0\n"
	for _, tt := range []struct {
		name, in, want string
		may            Rights
	}{
		{"an attempt", hello + "PENALTY-BEFORE\t192.0.2.1\tann\tx\nPENALTY-AFTER\t192.0.2.1\tann\tx\tfailed\nPENALTY-LIST\n",
			hello + "OK\t0\nOK\nROW\t192.0.2.1/32\t1\t1000000000\t1000000000\tann\nOK\t1\n", all},
		{"one without an address", hello + "PENALTY-AFTER\t\tann\tx\tfailed\nPENALTY-LIST\t\n",
			hello + "OK\nROW\t\t1\t1000000000\t1000000000\tann\nOK\t1\n", all},
		{"a later minor", "VERSION\tculver-anvil\t1\t7\nPENALTY-LIST\n", hello + "OK\t0\n", all},
		{"another major", "VERSION\tculver-anvil\t2\t0\nPENALTY-LIST\n", hello, all},
		{"Dovecot's anvil", "VERSION\tanvil\t1\t0\nPENALTY-LIST\n", hello, all},
		{"no handshake", "PENALTY-LIST\n", hello, all},
		{"an unknown command leaves the connection", hello + "CONNECT\t1\tx\nPENALTY-CLEAR\n", hello + "FAIL\tunknown command\nOK\t0\n", all},
		{"an empty line too", hello + "\n\n", hello + "FAIL\tunknown command\nFAIL\tunknown command\n", all},
		{"no address", hello + "PENALTY-BEFORE\tx\tann\tx\n", hello + "FAIL\twrong arguments\n", all},
		{"too few arguments", hello + "PENALTY-BEFORE\t192.0.2.1\tann\n", hello + "FAIL\twrong arguments\n", all},
		{"a user too long", hello + "PENALTY-BEFORE\t\t" + strings.Repeat("u", 256) + "\tx\n", hello + "FAIL\twrong arguments\n", all},
		{"a checksum too long", hello + "PENALTY-BEFORE\t\tann\t" + strings.Repeat("c", 33) + "\n", hello + "FAIL\twrong arguments\n", all},
		{"an unknown outcome", hello + "PENALTY-AFTER\t\tann\tx\tmaybe\n", hello + "FAIL\twrong arguments\n", all},
		{"no network", hello + "PENALTY-LIST\t192.0.2.0/99\n", hello + "FAIL\t\"192.0.2.0/99\" is no address and no network as IP/BITS\n", all},
		{"a front may not count", hello + "PENALTY-AFTER\t\tann\tx\tok\nPENALTY-LIST\nPENALTY-CLEAR\n",
			hello + strings.Repeat("FAIL\tnot allowed\n", 3), Rights{}},
		{"auth may not clear", hello + "PENALTY-AFTER\t\tann\tx\tok\nPENALTY-CLEAR\n", hello + "OK\nFAIL\tnot allowed\n", Rights{Count: true}},
		{"a line too long ends it", hello + "PENALTY-BEFORE\t" + strings.Repeat("x", anvilproto.MaxLine) + "\nPENALTY-LIST\n", hello, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("unix", start(t, tt.may))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			io.WriteString(c, tt.in)
			c.(*net.UnixConn).CloseWrite()
			got, err := io.ReadAll(c)
			if errors.Is(err, net.ErrClosed) || string(got) != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	const self, auth, front = 10, 11, 12
	for peer, want := range map[int]Rights{0: all, self: all, auth: {Count: true}, front: {}} {
		if got := rightsOf(peer, self, auth); got != want {
			t.Errorf("uid %d: got %+v, want %+v", peer, got, want)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	c := anvilproto.NewClient(start(t, all))
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range 11 {
		a := attemptOf("192.0.2.1", "ann\tsmith", fmt.Sprint(i))
		wait, refuse, err := c.Before(ctx, a)
		if want := waits[min(i, len(waits)-1)]; err != nil || refuse != (i == 10) || !refuse && wait != want {
			t.Errorf("attempt %d: got %v, %t, %v, want %v", i, wait, refuse, err, want)
		}
		if err := c.After(ctx, a, bad); err != nil {
			t.Error(err)
		}
	}
	rows, err := c.List(ctx, "192.0.2.0/24")
	if err != nil || len(rows) != 1 || rows[0].User != "ann\tsmith" || rows[0].Level != 11 {
		t.Errorf("got %+v, %v, want one row", rows, err)
	}
	var refused *anvilproto.RefusedError
	if _, err := c.List(ctx, "nowhere"); !errors.As(err, &refused) {
		t.Errorf("got %v, want the server's refusal", err)
	}
	if n, err := c.Clear(ctx, "192.0.2.1", "ann\tsmith"); n != 1 || err != nil {
		t.Errorf("cleared %d, %v, want 1", n, err)
	}
}

// FuzzAnswer throws lines at a connection: none may end it, all have an answer.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"", "PENALTY-BEFORE\t192.0.2.1\tann\tx", "PENALTY-AFTER\t::1\tann\t\tok", "PENALTY-LIST\t10.0.0.0/8",
		"PENALTY-CLEAR\t\tann", "PENALTY-BEFORE\t::ffff:192.0.2.1\ta\x01tb\t", "PENALTY-LIST\tfe80::1%eth0", "PENALTY-BEFORE\tfe80::1%e\tx\ty", "\x01\t\x01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ReplaceAll(line, "\n", "")
		if len(line) >= anvilproto.MaxLine {
			return
		}
		s := &Server{Penalties: NewPenalties(), Now: func() time.Time { return time.Unix(1e9, 0) }}
		s.slots = make(chan struct{}, 1)
		s.once.Do(func() {})
		ours, theirs := net.Pipe()
		s.slots <- struct{}{}
		s.start(theirs, all)
		defer s.Close()
		defer ours.Close()
		ours.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReader(ours)
		if hello, err := r.ReadString('\n'); err != nil || anvilproto.CheckVersion(strings.TrimSuffix(hello, "\n")) != nil {
			t.Fatalf("hello %q, %v", hello, err)
		}
		io.WriteString(ours, "VERSION\tculver-anvil\t1\t0\n"+line+"\n")
		for {
			got, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%q ended the connection: %v", line, err)
			}
			if !strings.HasPrefix(got, anvilproto.Row+"\t") {
				return
			}
		}
	})
}
