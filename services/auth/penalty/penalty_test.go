package penalty

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/anvilproto"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
)

// fake is an anvil that says what it is told to say.
type fake struct {
	wait    time.Duration
	refuse  bool
	err     error
	hang    bool
	asked   int
	settled []anvilproto.Outcome
	last    anvilproto.Attempt
}

func (f *fake) Before(ctx context.Context, a anvilproto.Attempt) (time.Duration, bool, error) {
	f.asked++
	f.last = a
	if f.hang {
		<-ctx.Done()
		return 0, false, ctx.Err()
	}
	return f.wait, f.refuse, f.err
}

func (f *fake) After(_ context.Context, a anvilproto.Attempt, o anvilproto.Outcome) error {
	f.last = a
	f.settled = append(f.settled, o)
	return f.err
}

func client(f *fake) (*Client, *[]string) {
	var lines []string
	c := New("/nowhere")
	c.anvil, c.FailureDelay = f, 2*time.Second
	c.Logf = func(_ logline.Level, _, format string, args ...any) {
		lines = append(lines, fmt.Sprintf(format, args...))
	}
	return c, &lines
}

func TestDelayFitsTheClientsPatience(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		says, patience time.Duration
		want           time.Duration
	}{
		{"no penalty", 0, 8 * time.Second, 0},
		{"Postfix, a small one", 2 * time.Second, 8 * time.Second, 2 * time.Second},
		{"Postfix, a large one: with the failure delay it is below eight seconds", 15 * time.Second, 8 * time.Second, 4500 * time.Millisecond},
		{"a client that waits", 15 * time.Second, 150 * time.Second, 15 * time.Second},
		{"a client of whom nothing is known", 15 * time.Second, 0, 15 * time.Second},
		{"a client with less patience than a failure takes", 15 * time.Second, time.Second, 0},
	} {
		c, _ := client(&fake{wait: tt.says})
		if got, refuse := c.Before(context.Background(), Who{User: "ann", Patience: tt.patience}); got != tt.want || refuse {
			t.Errorf("%s: got %v, %t, want %v", tt.name, got, refuse, tt.want)
		}
	}
}

func TestWhatAnvilIsTold(t *testing.T) {
	t.Parallel()
	f := &fake{refuse: true}
	c, _ := client(f)
	ctx, cancel := context.WithCancel(context.Background())
	w := Who{IP: "::ffff:192.0.2.1", User: "ann", Checksum: c.Checksum("ann", "secret")}
	if _, refuse := c.Before(ctx, w); !refuse || f.last.IP.String() != "192.0.2.1" || f.last.User != "ann" || len(f.last.Checksum) != 16 {
		t.Errorf("got %t, %+v, want a refusal of ann from 192.0.2.1", refuse, f.last)
	}
	cancel() // the client left: its failure counts
	c.After(ctx, w, false)
	c.After(ctx, w, true)
	c.Abandon(ctx, w)
	if want := []anvilproto.Outcome{anvilproto.Failed, anvilproto.Succeeded, anvilproto.Undecided}; !slices.Equal(f.settled, want) {
		t.Errorf("got %q, want %q", f.settled, want)
	}
	if c.Before(ctx, Who{IP: "not an address", User: "ann"}); f.last.IP.IsValid() {
		t.Errorf("got %v, want no address", f.last.IP)
	}
}

// TestWhateverTheClientSends makes sure that nothing a client says makes anvil
// refuse the question, which would end the penalties of all for a while.
func TestWhateverTheClientSends(t *testing.T) {
	t.Parallel()
	for _, w := range []Who{
		{User: strings.Repeat("u", 20000), IP: "192.0.2.1"},
		{User: strings.Repeat("\x00", 300), IP: "fe80::1%" + strings.Repeat("z", 2000), Checksum: strings.Repeat("c", 99)},
		{User: "a\tb\nc\r\x01", IP: "192.0.2.1\n"},
		{},
	} {
		a := w.attempt()
		line := anvilproto.Line(append([]string{anvilproto.After}, append(a.Fields(), string(anvilproto.Undecided))...)...)
		if len(line) > anvilproto.MaxLine {
			t.Errorf("%.40q makes a line of %d bytes", w.User, len(line))
		}
		if back, err := anvilproto.ParseAttempt(tabline.Split(strings.TrimSuffix(string(line), "\n"))[1:]); err != nil || back != a {
			t.Errorf("%.40q became %+v, %v", w.User, back, err)
		}
	}
}

func TestChecksumsTellPasswordsApart(t *testing.T) {
	t.Parallel()
	c, _ := client(&fake{})
	other, _ := client(&fake{})
	one := c.Checksum("ann", "secret")
	switch {
	case one != c.Checksum("ann", "secret"):
		t.Error("the same password has two checksums")
	case one == c.Checksum("ann", "secreT"), one == c.Checksum("bob", "secret"), c.Checksum("an", "nsecret") == one:
		t.Error("two attempts have one checksum")
	case one == other.Checksum("ann", "secret"):
		t.Error("another process's key makes the same checksum")
	}
}

func TestLoginsGoOnWithoutAnvil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		f := &fake{hang: true, wait: time.Second}
		c, lines := client(f)
		began := time.Now()
		for range 100 {
			if d, refuse := c.Before(ctx, Who{User: "ann"}); d != 0 || refuse {
				t.Fatalf("got %v, %t of an anvil that hangs", d, refuse)
			}
		}
		if took := time.Since(began); took != Limit || f.asked != 1 {
			t.Errorf("a hundred attempts waited %v for anvil and asked it %d times, want %v and once", took, f.asked, Limit)
		}
		f.hang, f.err = false, errors.New("anvil: connection refused")
		time.Sleep(pause)
		c.Before(ctx, Who{})
		time.Sleep(pause)
		f.err = nil
		if d, _ := c.Before(ctx, Who{}); d != time.Second {
			t.Errorf("got %v after anvil came back, want its answer", d)
		}
		c.Before(ctx, Who{})
		if len(*lines) != 2 || !strings.Contains((*lines)[0], "without penalties") || !strings.Contains((*lines)[1], "answers again") {
			t.Errorf("logged %q, want its absence and its return, once each", *lines)
		}
	})
}

func TestNoPenalties(t *testing.T) {
	t.Parallel()
	var c *Client
	if d, refuse := c.Before(context.Background(), Who{Patience: time.Second}); d != 0 || refuse || c.Checksum("a", "b") != "" {
		t.Errorf("got %v, %t without a client", d, refuse)
	}
	c.After(context.Background(), Who{}, true)
	c.Abandon(context.Background(), Who{})
}
