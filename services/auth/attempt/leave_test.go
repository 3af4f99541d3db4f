package attempt

import (
	"context"
	"errors"
	"strings"
	"testing"

	"culver/services/auth/ticket"
	"culver/services/auth/userdb"
	"culver/services/auth/vars"
)

// login logs a principal in.
func (s *site) login(t *testing.T, name, password string) Result {
	t.Helper()
	c := imap()
	principal(&c)
	a := s.Begin(c)
	if err := a.Verify(context.Background(), name, "", password); err != nil {
		t.Fatal(err)
	}
	s.records = nil
	return a.Result()
}

// padded are commands that are none, as many as a line of the record has room for.
var padded = strings.Repeat(strings.Repeat("a", 63)+",", 8)

func TestTicket(t *testing.T) {
	t.Parallel()
	const (
		out  = "out of reach"
		none = "unknown"
		late = "temporary"
	)
	for _, tt := range []struct {
		name     string
		who      string // name and password
		target   string
		commands string
		want     string // the user, or one of the above
	}{
		{"in reach", "admin sesame", "bob@example.org", "search", "bob@example.org"},
		{"in capitals", "admin sesame", "BOB@Example.ORG", "search", "bob@example.org"},
		{"the realm is added", "admin sesame", "bob", "mailbox list,fetch", "bob@example.org"},
		{"another domain", "admin sesame", "carol@example.net", "search", out},
		{"another domain, where nobody is", "admin sesame", "eve@example.net", "search", out},
		{"nobody", "admin sesame", "eve@example.org", "search", none},
		{"a name that is none", "admin sesame", "b ob", "search", out},
		{"a mask", "admin sesame", "*@example.org", "search", out},
		{"an empty target", "admin sesame", "", "search", out},
		{"another command", "admin sesame", "bob@example.org", "move", out},
		{"another command among good ones", "admin sesame", "bob@example.org", "search,move", out},
		{"batch with good ones", "admin sesame", "bob@example.org", "batch,search,fetch", out},
		{"a command with a blank", "admin sesame", "bob@example.org", "search ", out},
		{"no command", "admin sesame", "bob@example.org", "", out},
		{"too many", "boss bosss", "bob@example.org", strings.Repeat("search,", 64) + "search", out},
		{"mail that is another's", "admin sesame", "moved@example.org", "search", out},
		{"mail that is another's, who is in reach", "boss bosss", "moved@example.org", "search", "moved@example.org"},
		{"no bounds", "boss bosss", "carol@example.net", "expunge", "carol@example.net"},
		{"what comes first keeps what comes last out of the record", "boss bosss", "carol@example.net", padded + "expunge", out},
		{"no bounds, and a name that is none", "boss bosss", "b ob", "expunge", none},
		{"no bounds, nobody", "boss bosss", "eve@example.net", "expunge", none},
		{"no bounds, and not a login", "boss bosss", "bob@example.org", "smtp", out},
		{"the shared password", "doveadm shared", "carol@example.net", "expunge", "carol@example.net"},
		{"the shared password, nobody", "doveadm shared", "eve@example.net", "expunge", none},
		{"a source that is down", "boss bosss", "brokenmail@example.org", "search", late},
		{"what nobody may run", "boss bosss", "bob@example.org", "import", out},
	} {
		s := newSite(t)
		if tt.commands != padded+"expunge" {
			s.Commands = []string{"search", "fetch", "mailbox list", "move", "expunge", "batch", "smtp"}
		}
		name, password, _ := strings.Cut(tt.who, " ")
		who := s.login(t, name, password)
		var commands []string
		if tt.commands != "" {
			commands = strings.Split(tt.commands, ",")
		}
		text, got, err := s.Ticket(context.Background(), vars.Values{Service: "doveadm", RemoteIP: "192.0.2.9"}, who, tt.target, commands)
		var no *Refusal
		switch {
		case errors.As(err, &no) && no.Code == CodeOutOfReach && no.Reason != "":
			got = out
		case errors.Is(err, userdb.ErrUnknown):
			got = none
		case err != nil:
			got = late
		}
		if got != tt.want || (text == "") != (err != nil) {
			t.Errorf("%s: got %q %q %v, want %q", tt.name, got, text, err, tt.want)
		}
		want := map[string]string{out: ResultRefused, none: ResultRefused, late: ResultFailed}[tt.want]
		if len(s.records) != 1 || want != "" && s.records[0].Result != want || s.records[0].Command != tt.commands || s.records[0].Principal != who.User {
			t.Errorf("%s: got the records %v, want one", tt.name, s.records)
		}
		if err != nil {
			continue
		}
		if worth, err := s.Redeem(text, got); err != nil || strings.Join(worth.Commands, ",") != tt.commands || worth.Principal != who.User {
			t.Errorf("%s: redeemed: got %+v %v", tt.name, worth, err)
		}
		if _, err := s.Redeem(text, got); !errors.Is(err, ticket.ErrNone) {
			t.Errorf("%s: redeemed again: got %v", tt.name, err)
		}
		if n := len(s.records); n != 3 || s.records[1].Result != ResultOK || s.records[2].Result != ResultRefused {
			t.Errorf("%s: got the records %v, want three", tt.name, s.records)
		}
	}
}

// Who has not logged in as a principal has no reach.
func TestNoTicketForOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, names := range [][3]string{{"alice", "", "secret"}, {"boss", "bob", "bosss"}} {
		a := s.Begin(imap())
		if err := a.Verify(context.Background(), names[0], names[1], names[2]); err != nil {
			t.Fatal(err)
		}
		if text, _, err := s.Ticket(context.Background(), vars.Values{}, a.Result(), "bob@example.org", []string{"search"}); err == nil || text != "" {
			t.Errorf("%q: got %q, want none", names, text)
		}
	}
	if _, _, err := s.Ticket(context.Background(), vars.Values{}, Result{}, "bob@example.org", []string{"search"}); err == nil {
		t.Error("nobody: got a ticket, want none")
	}
}

func TestRedeemForAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	who := s.login(t, "admin", "sesame")
	text, _, err := s.Ticket(context.Background(), vars.Values{Session: "s7"}, who, "bob@example.org", []string{"search"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Redeem(text, "alice@example.org"); !errors.Is(err, ticket.ErrNone) {
		t.Errorf("for another: got %v, want %v", err, ticket.ErrNone)
	}
	if got := s.records[1]; got.Target != "alice@example.org" || got.Principal != "admin@example.org" || got.Session != "s7" || !strings.Contains(got.Reason, "bob") {
		t.Errorf("got the record %v", got)
	}
	if _, err := s.Redeem(text, "bob@example.org"); !errors.Is(err, ticket.ErrNone) {
		t.Errorf("then for its own: got %v, want %v", err, ticket.ErrNone)
	}
}
