package master

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/handoff"
	"culver/internal/tabline"
)

// ticketAuth is an auth that knows one ticket, "good", for ann's search, and
// takes it once.
func ticketAuth() func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			used := false
			for in := bufio.NewScanner(theirs); in.Scan(); {
				f := tabline.Split(in.Text())
				switch {
				case f[0] == "VERSION":
					fmt.Fprint(theirs, "VERSION\t1\t1\nSPID\t1\n")
				case f[0] == "USER":
					fmt.Fprintf(theirs, "USER\t%s\t%s\tuid=1000\tgid=1000\thome=/home/ann\n", f[1], f[2])
				case f[2] == "good" && f[3] == "ann" && !used:
					used = true
					fmt.Fprintf(theirs, "REDEEM\t%s\tadmin\tsearch,mailbox list\tann\tuid=1000\tgid=1000\thome=/home/ann\n", f[1])
				case f[2] == "for nothing":
					fmt.Fprintf(theirs, "REDEEM\t%s\tadmin\t\tann\tuid=1000\tgid=1000\thome=/home/ann\n", f[1])
				case f[2] == "of one who left":
					fmt.Fprintf(theirs, "NOTFOUND\t%s\n", f[1])
				case f[2] == "source is down":
					fmt.Fprintf(theirs, "FAIL\t%s\n", f[1])
				default: // expired, used, another user's, made up: auth tells nobody which
					fmt.Fprintf(theirs, "FAIL\t%s\tcode=bad_ticket\n", f[1])
				}
			}
		}()
		return ours, nil
	}
}

// asking is a front on a real control socket, and the master's loop.
type asking struct {
	*Master
	front *process
	fd    int // the front's end
	log   bytes.Buffer
	pool  *workers
}

func newAsking(t *testing.T) *asking {
	t.Helper()
	a := &asking{}
	a.Master, a.pool, _, _ = testWorker(t, 1)
	a.Master.log = slog.New(slog.NewTextHandler(&a.log, nil))
	a.pool.class, a.pool.logName, a.pool.queueLimit, a.pool.queueTimeout = "doveadm", "doveadm", 10, time.Hour
	a.pool.procs, a.pool.limits.Processes = nil, 0 // whoever is let in stays in the queue
	a.gen = &generation{
		pools: map[string]*workers{"doveadm-worker": a.pool}, births: testBirths(t, "maildir:%h/Maildir"),
		lookupTimeout: time.Minute, users: &authLink{client: &authproto.Client{Dial: ticketAuth()}},
	}
	t.Cleanup(func() { a.gen.users.client.Close() })
	a.front = &process{service: "doveadm", pid: 1 << 30}
	var log int
	var err error
	if a.fd, log, err = a.channels(a.front); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(a.fd); unix.Close(log); a.unborn(a.front) })
	return a
}

// request gives the answer, or "waits" where it is in the queue of those who get
// a worker.
func (a *asking) request(t *testing.T, id uint64, by asker, user, ticket string) string {
	t.Helper()
	a.favour(a.front, by, handoff.Message{Kind: handoff.KindRequest, ID: id, Service: "doveadm-worker", User: user, Ticket: ticket})
	r := a.requests[requestKey{a.front, id}]
	for r != nil && r.state == looking {
		(<-a.loop)()
	}
	if r != nil && r.state == waiting {
		return "waits"
	}
	buf := make([]byte, handoff.MaxMessage)
	n, err := unix.Read(a.fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	m, err := handoff.Parse(buf[:n])
	if err != nil || m.ID != id {
		t.Fatalf("got %+v, %v", m, err)
	}
	return map[handoff.Code]string{handoff.CodeForbidden: "forbidden", handoff.CodeNoUser: "no user", handoff.CodeTempfail: "later"}[m.Code]
}

func TestAWorkerForTheNetworkNeedsATicket(t *testing.T) {
	t.Parallel()
	network, local, lmtp := asker{"doveadm", true}, asker{"doveadm", false}, asker{"lmtp", false}
	for _, tt := range []struct {
		name         string
		by           asker
		user, ticket string
		want, log    string
	}{
		{"a good ticket", network, "ann", "good", "waits", ""},
		{"none", network, "ann", "", "forbidden", "asks without a ticket"},
		{"made up, expired or used: auth does not know it", network, "ann", "0123456789abcdef", "forbidden", "does not know the ticket"},
		{"another user's", network, "bob", "good", "forbidden", "does not know the ticket"},
		{"with bytes that no ticket has", network, "ann", "good\nbob", "forbidden", "does not know the ticket"},
		{"for no command at all", network, "ann", "for nothing", "later", "is no command"},
		{"of a user who is no more", network, "ann", "of one who left", "no user", ""},
		{"when auth cannot tell", network, "ann", "source is down", "later", "temporary failure"},
		{"a local front needs none", local, "ann", "", "waits", ""},
		{"and has none", local, "ann", "good", "forbidden", "asks with one"},
		{"another service's front, with a ticket of doveadm's", lmtp, "ann", "good", "forbidden", ""},
		{"and without", lmtp, "ann", "", "forbidden", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t)
			if got := a.request(t, 1, tt.by, tt.user, tt.ticket); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if log := a.log.String(); !strings.Contains(log, tt.log) || tt.ticket != "" && tt.ticket != "for nothing" && strings.Contains(log, tt.ticket) {
				t.Errorf("log %q, want %q and never the ticket", log, tt.log)
			}
		})
	}
}

func TestATicketIsGoodOnceAndForItsCommands(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	network := asker{"doveadm", true}
	if got := a.request(t, 1, network, "ann", "good"); got != "waits" {
		t.Fatalf("got %q", got)
	}
	got := a.pool.queue[0].grant["commands"]
	if want := "search\tmailbox list"; got != want {
		t.Errorf("its worker is told %q, want %q", got, want)
	}
	if got := a.request(t, 2, network, "ann", "good"); got != "forbidden" {
		t.Errorf("the second time: %q, want forbidden", got)
	}
}

func TestAuthOfAnotherServerRedeemsNothing(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	a.gen.users.socket = "/run/other/auth-userdb"
	if got := a.request(t, 1, asker{"doveadm", true}, "ann", "good"); got != "forbidden" {
		t.Errorf("got %q, want forbidden", got)
	}
	if got := a.request(t, 2, asker{"doveadm", false}, "ann", ""); got != "waits" {
		t.Errorf("a local front: got %q, want waits", got)
	}
}
