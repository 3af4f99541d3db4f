package ticket

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Unix(1800000000, 0)

// book is one with a clock of its own.
func book() (*Book, *time.Time) {
	now := start
	return &Book{Now: func() time.Time { return now }}, &now
}

func TestRedeem(t *testing.T) {
	t.Parallel()
	good := Ticket{Principal: "admin@example.org", User: "bob@example.org", Commands: []string{"fetch"}, Session: "s1", RemoteIP: "192.0.2.1"}
	for _, tt := range []struct {
		name   string
		after  time.Duration
		change func(text string) string
		user   string
		want   error
	}{
		{"at once", 0, nil, "bob@example.org", nil},
		{"in the last moment", Lifetime - 1, nil, "bob@example.org", nil},
		{"expired", Lifetime, nil, "bob@example.org", ErrNone},
		{"long expired", time.Hour, nil, "bob@example.org", ErrNone},
		{"another user", 0, nil, "eve@example.org", ErrNone},
		{"the user in capitals", 0, nil, "Bob@example.org", ErrNone},
		{"the user with a blank", 0, nil, "bob@example.org ", ErrNone},
		{"the user as a mask", 0, nil, "*", ErrNone},
		{"no user", 0, nil, "", ErrNone},
		{"the principal for the user", 0, nil, "admin@example.org", ErrNone},
		{"made up", 0, func(string) string { return "0123456789abcdef0123456789abcdef" }, "bob@example.org", ErrNone},
		{"of zeros", 0, func(string) string { return strings.Repeat("0", 32) }, "bob@example.org", ErrNone},
		{"empty", 0, func(string) string { return "" }, "bob@example.org", ErrNone},
		{"truncated", 0, func(s string) string { return s[:31] }, "bob@example.org", ErrNone},
		{"without its beginning", 0, func(s string) string { return s[1:] }, "bob@example.org", ErrNone},
		{"with a digit more", 0, func(s string) string { return s + "0" }, "bob@example.org", ErrNone},
		{"with a blank", 0, func(s string) string { return " " + s }, "bob@example.org", ErrNone},
		{"with NUL", 0, func(s string) string { return s + "\x00" }, "bob@example.org", ErrNone},
		{"in capitals", 0, func(s string) string { return strings.ToUpper(s) + "A" }, "bob@example.org", ErrNone},
		{"one digit off", 0, func(s string) string {
			last := byte('0')
			if s[31] == last {
				last = '1'
			}
			return s[:31] + string(last)
		}, "bob@example.org", ErrNone},
		{"backwards", 0, func(s string) string {
			b := []byte(s)
			slices.Reverse(b)
			return string(b)
		}, "bob@example.org", ErrNone},
	} {
		b, now := book()
		text, err := b.Issue(good)
		if err != nil || len(text) != 32 {
			t.Fatalf("%s: got %q %v", tt.name, text, err)
		}
		shown := text
		if tt.change != nil {
			shown = tt.change(text)
		}
		*now = start.Add(tt.after)
		got, err := b.Redeem(shown, tt.user)
		if !errors.Is(err, tt.want) || err == nil && !slices.Equal(got.Commands, good.Commands) {
			t.Errorf("%s: got %+v %v, want %v", tt.name, got, err, tt.want)
		}
		_, again := b.Redeem(text, "bob@example.org")
		switch {
		case shown == text && !errors.Is(again, ErrNone):
			t.Errorf("%s: replayed: got %v, want %v", tt.name, again, ErrNone)
		case shown == text && (len(b.open) != 0 || len(b.of) != 0):
			t.Errorf("%s: %d tickets and %d principals stay", tt.name, len(b.open), len(b.of))
		case shown != text && again != nil:
			t.Errorf("%s: the right one after it: got %v", tt.name, again)
		}
	}
}

// A ticket is for the commands in it, whatever becomes of the list it was made of.
func TestOtherCommand(t *testing.T) {
	t.Parallel()
	b, _ := book()
	commands := []string{"fetch", "mailbox list"}
	text, err := b.Issue(Ticket{Principal: "admin", User: "bob", Commands: commands})
	commands[0] = "expunge"
	got, err2 := b.Redeem(text, "bob")
	if want := []string{"fetch", "mailbox list"}; err != nil || err2 != nil || !slices.Equal(got.Commands, want) {
		t.Errorf("got %v %v %v, want %v", got.Commands, err, err2, want)
	}
}

func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		Ticket
	}{
		{"no principal", Ticket{User: "bob", Commands: []string{"fetch"}}},
		{"no user", Ticket{Principal: "admin", Commands: []string{"fetch"}}},
		{"a user that is none", Ticket{Principal: "admin", User: "bob\n", Commands: []string{"fetch"}}},
		{"no command: that would be leave for all", Ticket{Principal: "admin", User: "bob"}},
		{"an empty command", Ticket{Principal: "admin", User: "bob", Commands: []string{""}}},
		{"two commands in one", Ticket{Principal: "admin", User: "bob", Commands: []string{"fetch,expunge"}}},
		{"one that is none among good ones", Ticket{Principal: "admin", User: "bob", Commands: []string{"fetch", "Expunge"}}},
		{"too many", Ticket{Principal: "admin", User: "bob", Commands: slices.Repeat([]string{"fetch"}, 65)}},
	} {
		if text, err := new(Book).Issue(tt.Ticket); err == nil || text != "" {
			t.Errorf("%s: got %q, want an error", tt.name, text)
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	b, now := book()
	issue := func(principal string) error {
		_, err := b.Issue(Ticket{Principal: principal, User: "bob", Commands: []string{"fetch"}})
		return err
	}
	for i := range MaxOpenOf {
		if err := issue("greedy"); err != nil {
			t.Fatalf("ticket %d: %v", i, err)
		}
	}
	if err := issue("greedy"); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "greedy") {
		t.Errorf("one more of the same: got %v, want %v with the name", err, ErrFull)
	}
	if err := issue("other"); err != nil {
		t.Errorf("another's: got %v", err)
	}
	for i := MaxOpenOf + 1; i < MaxOpen; i++ {
		if err := issue(fmt.Sprint("p", i%100)); err != nil {
			t.Fatalf("ticket %d: %v", i, err)
		}
	}
	if err := issue("late"); !errors.Is(err, ErrFull) {
		t.Errorf("one more than all: got %v, want %v", err, ErrFull)
	}
	*now = start.Add(Lifetime)
	if err := issue("late"); err != nil || len(b.open) != 1 || len(b.of) != 1 {
		t.Errorf("when they have expired: got %v with %d tickets of %d, want 1 of 1", err, len(b.open), len(b.of))
	}
}

// Of many who show one ticket at the same time one has it.
func TestOneWins(t *testing.T) {
	t.Parallel()
	var b Book
	text, err := b.Issue(Ticket{Principal: "admin", User: "bob", Commands: []string{"fetch"}})
	if err != nil {
		t.Fatal(err)
	}
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := b.Redeem(text, "bob"); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("got %d who have it, want 1", won.Load())
	}
}

func TestTextsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var b Book
	for i := range 1000 {
		text, err := b.Issue(Ticket{Principal: fmt.Sprint(i), User: "bob", Commands: []string{"fetch"}})
		if err != nil || seen[text] || strings.Trim(text, "0123456789abcdef") != "" {
			t.Fatalf("got %q %v after %d others", text, err, i)
		}
		seen[text] = true
	}
}
