package anvilproto

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/tabline"
)

func TestNetworks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"192.0.2.1", "192.0.2.1/32"},
		{"::ffff:192.0.2.1", "192.0.2.1/32"},
		{"192.0.2.9/24", "192.0.2.0/24"},
		{"2001:db8::9/48", "2001:db8::/48"},
		{"fe80::1%eth0", "fe80::1/128"},
		{"", "invalid Prefix"},
		{"192.0.2.0/33", ""},
		{"example.org", ""},
	} {
		p, err := ParseNet(tt.text)
		if (err != nil) != (tt.want == "") || err == nil && p.String() != tt.want {
			t.Errorf("%q: got %v, %v, want %q", tt.text, p, err, tt.want)
		}
	}
}

// answering gives a Client whose server says the same to every request.
func answering(t *testing.T, answers ...string) *Client {
	t.Helper()
	c := NewClient("")
	turn := 0
	c.Dial = func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		answer := answers[min(turn, len(answers)-1)]
		turn++
		go func() {
			defer theirs.Close()
			r := bufio.NewReader(theirs)
			r.ReadString('\n')
			theirs.Write(Version())
			for {
				if _, err := r.ReadString('\n'); err != nil || answer == "" {
					return
				}
				io.WriteString(theirs, answer)
			}
		}()
		return ours, nil
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "\n", "OK\tsoon\n", "OK\t-1\n", "OK\n", "FAIL\n", "ROW\tx\nOK\t1\n", "YES\n", strings.Repeat("x", 2*MaxLine) + "\n"} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if wait, refuse, err := answering(t, answer).Before(ctx, Attempt{User: "ann"}); err == nil || wait != 0 || refuse {
			t.Errorf("%.20q: got %v, %t, %v, want an error alone", answer, wait, refuse, err)
		}
		cancel()
	}
}

func TestARestartOfAnvilIsNotNoticed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := answering(t, "OK\t1000\n", "OK\t2000\n")
	for i, want := range []time.Duration{time.Second, 2 * time.Second} {
		if wait, _, err := c.Before(ctx, Attempt{User: "ann"}); err != nil || wait != want {
			t.Errorf("request %d: got %v, %v, want %v", i, wait, err, want)
		}
		c.conn.Close() // as when the process at the other end dies
	}
}

func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	c := answering(t, "ROW\t\t1\t0\t0\tann\n") // and no end
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.List(ctx, ""); err == nil {
		t.Error("got a list without an end")
	}
}

// FuzzPenalty checks that rows of any kind are read or refused, and that what is
// read can be written.
func FuzzPenalty(f *testing.F) {
	for _, s := range []string{"192.0.2.1/32\t1\t1000000000\t1000000060\tann", "\t0\t0\t0\t", "2001:db8::/48\t-1\tx\t0\tb\x01tc", "x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p, err := ParsePenalty(tabline.Split(line))
		if err != nil {
			return
		}
		again, err := ParsePenalty(p.Fields())
		if err != nil || again != p {
			t.Errorf("%q became %+v and then %+v, %v", line, p, again, err)
		}
	})
}

// FuzzAttempt checks that an attempt that is read is within the limits.
func FuzzAttempt(f *testing.F) {
	for _, s := range []string{"192.0.2.1\tann\tx", "::ffff:192.0.2.1\ta\x01tb\t", "\t\t", "fe80::1%eth0\tann\tx\tok"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := ParseAttempt(tabline.Split(line))
		if err != nil {
			return
		}
		if len(a.User) > MaxUser || len(a.Checksum) > MaxChecksum || a.IP.Is4In6() || a.IP.Zone() != "" {
			t.Errorf("%q gave %+v", line, a)
		}
		if again, err := ParseAttempt(a.Fields()); err != nil || again != a {
			t.Errorf("%q became %+v and then %+v, %v", line, a, again, err)
		}
		if n := len(Line(append([]string{Before}, a.Fields()...)...)); n > MaxLine {
			t.Errorf("%+v makes a line of %d bytes", a, n)
		}
	})
}
