package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/services/auth/attempt"
	"culver/services/auth/field"
	"culver/services/auth/reach"
	"culver/services/auth/sasl"
	"culver/services/auth/ticket"
)

const mailUsers = `x@example.org:{PLAIN}x:5000:5000::/srv/x::
y@example.org:{PLAIN}x:5001:5000::/srv/y::
x@other.org:{PLAIN}x:5002:5000::/srv/o::
alias@example.org:{PLAIN}x:5002:5000::/srv/o::userdb_user=x@other.org
near@example.org:{PLAIN}x:5001:5000::/srv/y::userdb_user=y@example.org
tf@example.org:{PLAIN}x:5002:5001::/srv::userdb_tempfail userdb_reason=maintenance
`

// letIn is a judge who lets everybody in, as far as these fields reach.
type letIn struct {
	sasl.Backend
	fields []string
	result Result
}

func (l *letIn) Subject(authcid, _ string) string { return authcid }
func (l *letIn) Result() Result                   { return l.result }

func (l *letIn) Verify(_ context.Context, authcid, _, _ string) error {
	var fields field.List
	for _, f := range l.fields {
		fields.Set(field.Cut(f))
	}
	far, err := reach.Parse(fields)
	l.result = Result{User: authcid, Reach: far}
	return err
}

// office is a server that gives out tickets: a login over its socket, and the
// master's own connection.
type office struct {
	*house
	login  *authproto.Login
	id     uint32
	master *authproto.Client
	now    time.Time

	mu     sync.Mutex
	record []string
}

func newOffice(t *testing.T, allowed []string, fields ...string) *office {
	t.Helper()
	o := &office{house: start(t, "auth-doveadm", mailUsers, nil), now: time.Now()}
	o.Mechanisms = mechanisms()
	o.try = func(Role, asked) Try { return &letIn{fields: fields} }
	o.Commands, o.Cleartext = allowed, true
	o.Tickets.Now = func() time.Time { return o.now }
	o.Audit = func(r attempt.Record) {
		o.mu.Lock()
		defer o.mu.Unlock()
		r.Time = time.Time{}
		o.record = append(o.record, r.String())
	}
	ctx := context.Background()
	nc, err := net.Dial("unix", o.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if o.login, err = authproto.OpenLogin(ctx, nc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.login.Close() })
	ok, err := o.login.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN",
		Params:  authproto.Params{Service: "doveadm", Session: "s1", RemoteIP: "192.0.2.1"},
		Initial: authproto.PlainResponse("", "admin@example.org", "pw")})
	if err != nil {
		t.Fatal(err)
	}
	o.id = ok.ID
	ours, theirs := streams(t)
	o.ServeConn(theirs)
	o.master = &authproto.Client{Dial: authproto.Once(ours)}
	t.Cleanup(func() { o.master.Close() })
	return o
}

// streams is a pair, as the master makes it. Both ends write first, which a
// net.Pipe has no room for.
func streams(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "pair"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// recorded waits for a line of the record, as ENDED has no answer.
func (o *office) recorded(t *testing.T, want string) {
	t.Helper()
	var all string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		o.mu.Lock()
		all = strings.Join(o.record, "\n")
		o.mu.Unlock()
		if strings.Contains(all, want) {
			return
		}
	}
	t.Errorf("record:\n%s\nwant %q", all, want)
}

var domainAdmin = []string{"allow_users=*@example.org", "allow_commands=search,copy,batch,mailbox*"}

func TestATicketIsAsFarAsTheReachGoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		fields   []string
		allowed  []string
		target   string
		commands string // with commas
		user     string // whose ticket it is; else
		want     string // the refusal
	}{
		{"in its domain", domainAdmin, nil, "x@example.org", "search", "x@example.org", ""},
		{"by another spelling, which the ticket has not", domainAdmin, nil, "X@Example.ORG", "search", "x@example.org", ""},
		{"in another", domainAdmin, nil, "x@other.org", "search", "", `allow_users does not cover "x@other.org"`},
		{"whether he is there is not told", domainAdmin, nil, "nobody@other.org", "search", "", `allow_users does not cover "nobody@other.org"`},
		{"nobody in its own", domainAdmin, nil, "nobody@example.org", "search", "", "unknown"},
		{"a name that no entry can have", domainAdmin, nil, "*@example.org", "search", "", "auth_username_chars"},
		{"whose mail is another domain's", domainAdmin, nil, "alias@example.org", "search", "", "its mail is another user's"},
		{"whose mail is another's within", domainAdmin, nil, "near@example.org", "search", "near@example.org", ""},
		{"a source that fails", domainAdmin, nil, "tf@example.org", "search", "", "maintenance"},
		{"a command out of reach", domainAdmin, nil, "x@example.org", "expunge", "", `allow_commands does not cover "expunge"`},
		{"one of several out of reach", domainAdmin, nil, "x@example.org", "batch,search,expunge", "", `"expunge"`},
		{"of two words", domainAdmin, nil, "x@example.org", "mailbox list", "x@example.org", ""},
		{"in capitals", domainAdmin, nil, "x@example.org", "SEARCH", "", "A ticket is for"},
		{"with a comma, which parts them", nil, nil, "x@example.org", "search\tmailbox list", "", "A ticket is for"},
		{"not in doveadm_allowed_commands", domainAdmin, []string{"mailbox list"}, "x@example.org", "search", "", `doveadm_allowed_commands does not have search`},
		{"without bounds", nil, nil, "x@other.org", "expunge", "x@other.org", ""},
		{"but not to send as him", nil, nil, "x@other.org", "smtp", "", `"smtp"`},
		{"from another address", []string{"allow_nets=198.51.100.0/24"}, nil, "x@example.org", "search", "", "allow_nets"},
		{"too late", []string{"allow_until=1"}, nil, "x@example.org", "search", "", "allow_until"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, tt.allowed, tt.fields...)
			got, err := o.login.Ticket(context.Background(), o.id, tt.target, strings.Split(tt.commands, ","))
			switch {
			case tt.user != "":
				if err != nil || got.User != tt.user || len(got.Text) != 32 {
					t.Errorf("got %+v, %v, want one for %s", got, err, tt.user)
				}
				return
			case tt.want == "unknown":
				if !errors.Is(err, authproto.ErrNotFound) {
					t.Errorf("got %+v, %v", got, err)
				}
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %+v, %v, want %q", got, err, tt.want)
			}
			if !strings.Contains(tt.want, "A ticket is for") {
				o.recorded(t, "event=ticket")
			}
		})
	}
}

func TestATicketIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	params := authproto.Params{Service: "doveadm"}
	for _, tt := range []struct {
		name string
		show func(o *office, text string) (string, string)
		want error
	}{
		{"by whom it is for", func(_ *office, text string) (string, string) { return text, "x@example.org" }, nil},
		{"for another user", func(_ *office, text string) (string, string) { return text, "y@example.org" }, authproto.ErrTicket},
		{"by another spelling of him", func(_ *office, text string) (string, string) { return text, "X@example.org" }, authproto.ErrTicket},
		{"made up", func(*office, string) (string, string) { return strings.Repeat("0", 32), "x@example.org" }, authproto.ErrTicket},
		{"in capitals", func(_ *office, text string) (string, string) { return strings.ToUpper(text) + "A", "x@example.org" }, authproto.ErrTicket},
		{"a part of it", func(_ *office, text string) (string, string) { return text[:31], "x@example.org" }, authproto.ErrTicket},
		{"too late", func(o *office, text string) (string, string) {
			o.now = o.now.Add(ticket.Lifetime)
			return text, "x@example.org"
		}, authproto.ErrTicket},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, nil, domainAdmin...)
			one, err := o.login.Ticket(ctx, o.id, "x@example.org", []string{"batch", "search", "search", "mailbox list"})
			if err != nil {
				t.Fatal(err)
			}
			text, user := tt.show(o, one.Text)
			got, err := o.master.Redeem(ctx, text, user, params)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %+v, %v, want %v", got, err, tt.want)
			}
			if tt.want != nil {
				o.recorded(t, "event=redeem")
				if text != one.Text {
					return // the ticket itself was not shown
				}
			} else if what := fmt.Sprintf("%s %q %s %d %s", got.Principal, got.Commands, got.Name, got.UID, got.Home); what !=
				`admin@example.org ["batch" "search" "mailbox list"] x@example.org 5000 /srv/x` {
				t.Errorf("got %+v", got)
			}
			if _, err := o.master.Redeem(ctx, one.Text, "x@example.org", params); !errors.Is(err, authproto.ErrTicket) {
				t.Errorf("the second time: %v, want it used up", err)
			}
		})
	}
}

// Neither end takes the other's commands, and no other listener takes either.
func TestWhoMayTicketAndRedeem(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"auth-userdb", "auth-master"} {
		h := start(t, role, mailUsers, nil)
		c := client(t, h)
		c.Timeout = time.Minute
		if got, err := c.Redeem(context.Background(), strings.Repeat("0", 32), "x@example.org", authproto.Params{}); err == nil || errors.Is(err, authproto.ErrTicket) {
			t.Errorf("%s took REDEEM: %+v, %v", role, got, err)
		}
	}
	o := newOffice(t, nil)
	if _, err := o.login.Ticket(context.Background(), o.id+1, "x@example.org", []string{"search"}); !errors.Is(err, authproto.ErrTempfail) {
		t.Errorf("a login that was never made: %v", err)
	}
}

func TestTheRecordHasTheLifeOfACommand(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, domainAdmin...)
	ctx := context.Background()
	one, err := o.login.Ticket(ctx, o.id, "X@example.org", []string{"search"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.master.Redeem(ctx, one.Text, one.User, authproto.Params{}); err != nil {
		t.Fatal(err)
	}
	for range 3 { // only as many as there were tickets
		o.login.Ended(ctx, o.id, one.User, 77, []string{"search"})
	}
	o.login.Ticket(ctx, o.id, "x@other.org?forged", []string{"search"})
	o.recorded(t, "forged")
	const (
		when = ` time=0001-01-01T00:00:00.000Z principal="admin@example.org" target=`
		who  = ` rip="192.0.2.1"`
		what = ` command="search"`
		in   = ` session="s1"`
	)
	want := strings.Join([]string{
		"event=ticket result=ok" + when + `"x@example.org"` + who + ` service="doveadm"` + what + in,
		"event=redeem result=ok" + when + `"x@example.org"` + who + what + in,
		"event=end result=failed" + when + `"x@example.org"` + who + ` service="doveadm"` + what + ` reason="the front says that it ended with 77"` + in,
	}, "\n")
	if got := strings.Join(o.record[:3], "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(strings.Join(o.record, "\n")+o.logged(), one.Text) {
		t.Error("a ticket is in the record or in the log")
	}
}

// What the userdb says may hang on what the front says of the login, and change.
func TestATicketIsForTheMailThatWasInReach(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, domainAdmin...)
	var err error
	if o.Server.Users.Links[0].Overrides, err = field.ParseTemplates([]string{"user=x@%s.org"}); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for _, tt := range []struct {
		service string
		want    error
	}{{"other", nil}, {"doveadm", nil}, {"example", authproto.ErrTicket}} {
		ok, err := o.login.Auth(ctx, authproto.Attempt{Mechanism: "PLAIN",
			Params: authproto.Params{Service: tt.service}, Initial: authproto.PlainResponse("", "admin@example.org", "pw")})
		if err != nil {
			t.Fatal(err)
		}
		one, err := o.login.Ticket(ctx, ok.ID, "y@example.org", []string{"search"})
		if tt.want == nil {
			if err == nil || !strings.Contains(err.Error(), "its mail is another user's") {
				t.Errorf("%s: got %+v, %v, want it out of reach", tt.service, one, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := o.master.Redeem(ctx, one.Text, one.User, authproto.Params{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %+v, %v, want %v", tt.service, got, err, tt.want)
		}
	}
}

// A front has no record written of users and commands that it had no leave for.
func TestTheEndOfWhatNeverWasIsNoRecord(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, domainAdmin...)
	ctx := context.Background()
	if _, err := o.login.Ticket(ctx, o.id, "x@example.org", []string{"search"}); err != nil {
		t.Fatal(err)
	}
	o.login.Ended(ctx, o.id, "x@other.org", 0, []string{"search"})
	o.login.Ended(ctx, o.id, strings.Repeat("x", 300), 0, []string{"search"})
	o.login.Ended(ctx, o.id, "x@example.org", 0, []string{"expunge"})
	o.login.Ended(ctx, o.id, "x@example.org", 0, []string{"search"})
	o.recorded(t, "event=end")
	o.mu.Lock()
	defer o.mu.Unlock()
	if all := strings.Join(o.record, "\n"); strings.Contains(all, "other.org") || strings.Contains(all, "xxx") || strings.Contains(all, "expunge") {
		t.Errorf("got the record\n%s", all)
	}
}
