package brain

import (
	"testing"

	"culver/internal/doveadmproto"
)

// rowsOf answers with one row of a search for each user.
func oneRow(a *asked) int {
	a.reply.Value("guid-of-" + a.User)
	a.reply.Value("1")
	a.reply.Row()
	return 0
}

func TestOneUsersRowsHaveNoNames(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, oneRow)
	got := doveadm(t, Global{}, "search", "-S", s.socket, "-u", "alice", "mailbox", "INBOX", "all")
	if want := (ran{0, "guid-of-alice 1\n", ""}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if want := "search -u alice -- mailbox INBOX all"; s.args[0] != want {
		t.Errorf("sent %q, want %q", s.args[0], want)
	}
}

var _ = doveadmproto.OK
