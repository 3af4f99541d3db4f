package peer

import (
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// An MTA's patience with auth, after which the client sees 454.
const mtaPatience = 10 * time.Second

// smtpLogin is an SMTP session in which somebody authenticates.
type smtpLogin struct {
	*textproto.Conn
	mechanisms []string // what EHLO offered
}

// reply is what the MTA said to an AUTH, and after what time.
type reply struct {
	code int
	text string
	took time.Duration
}

func (r reply) String() string { return fmt.Sprintf("%d %q after %v", r.code, r.text, r.took) }

// greetSMTP reads the greeting on a connection, which it takes over, and says
// the commands before AUTH; the last is EHLO.
func greetSMTP(t *testing.T, conn net.Conn, before ...string) *smtpLogin {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	s := &smtpLogin{Conn: textproto.NewConn(conn)}
	_, text, err := s.ReadResponse(220)
	for _, c := range append(before, "EHLO client.example.net") {
		if err == nil {
			err = s.PrintfLine("%s", c)
		}
		if err == nil {
			_, text, err = s.ReadResponse(2)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if list, ok := strings.CutPrefix(strings.TrimSpace(line), "AUTH "); ok {
			s.mechanisms = strings.Fields(list)
			slices.Sort(s.mechanisms)
		}
	}
	return s
}

// login runs one AUTH to its end.
func (s *smtpLogin) login(t *testing.T, mechanism, user, password string) reply {
	t.Helper()
	c := startSASL(t, mechanism, user, password)
	defer c.stop()
	first := c.says(t)
	begun := time.Now()
	err := s.PrintfLine("%s", strings.TrimSpace("AUTH "+mechanism+" "+first))
	for err == nil {
		var code int
		var text string
		if code, text, err = s.ReadResponse(0); err == nil && code != 334 {
			return reply{code, text, time.Since(begun)}
		}
		if err == nil {
			err = s.PrintfLine("%s", c.answers(t, text))
		}
	}
	t.Fatalf("AUTH %s for %s: %v", mechanism, user, err)
	return reply{}
}

// mta is one that asks auth.
type mta struct {
	offers []string // the mechanisms in EHLO
	// dial gives a session from a client's address. It asks the service that has
	// users, or the one down, whose source was never there.
	dial func(t *testing.T, service, client string) *smtpLogin
}

// Those of SMTP, of all that the services here have.
var smtpMechanisms = []string{"CRAM-MD5", "DIGEST-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"}

const saslUsers = `right@example.org:{PLAIN}correct horse:5000:5000::/srv/right::
never@example.org:{PLAIN}correct horse:5000:5000::/srv/never::nologin reason=closed
`

// attempt is one login and the beginning of its reply.
type attempt struct{ name, service, user, password, want string }

var attempts = []attempt{
	{"right password", "users", "right", "correct horse", "235"},
	{"wrong password", "users", "right", "incorrect horse", "535"},
	{"a user who may not log in", "users", "never", "correct horse", "535"},
	{"no source of users", "down", "right", "correct horse", "4"},
}

func (a attempt) check(t *testing.T, m mta, client, mechanism string) {
	t.Helper()
	got := m.dial(t, a.service, client).login(t, mechanism, a.user+"@example.org", a.password)
	if !strings.HasPrefix(strconv.Itoa(got.code), a.want) || got.took >= mtaPatience {
		t.Errorf("%s of %s: got %v, want %s within %v", mechanism, a.user, got, a.want, mtaPatience)
	}
	t.Logf("%s of %s: %v", mechanism, a.user, got)
}

// client gives an address that no other test has: what one client does must not
// slow another.
var clients atomic.Uint32

func client() string {
	n := clients.Add(1)
	return fmt.Sprintf("127.7.%d.%d", n/250, n%250+1)
}

// checkMechanisms makes the attempts by every mechanism that is to be there.
func checkMechanisms(w *waits, m mta, attempts []attempt) {
	w.t.Helper()
	if got := m.dial(w.t, "users", client()).mechanisms; !slices.Equal(got, m.offers) {
		w.t.Errorf("EHLO offers %q, want %q", got, m.offers)
	}
	for _, mechanism := range m.offers {
		for _, a := range attempts {
			w.run(mechanism+", "+a.name, func(t *testing.T) { a.check(t, m, client(), mechanism) })
		}
	}
}

// checkPatience: a client who guesses is answered each time before the MTA gives
// up, which would be a 454; and one whose auth cannot know is told to come again.
func checkPatience(w *waits, m mta) {
	w.run("five failures in a row, then the right password", func(t *testing.T) {
		from := client()
		for i := range 5 {
			attempt{service: "users", user: "right", password: fmt.Sprint("guess ", i), want: "535"}.check(t, m, from, "PLAIN")
		}
		attempts[0].check(t, m, from, "PLAIN")
	})
	w.run("five unknown users in a row", func(t *testing.T) {
		from := client()
		for i := range 5 {
			attempt{service: "users", user: fmt.Sprint("nobody", i), password: "x", want: "535"}.check(t, m, from, "PLAIN")
		}
	})
	w.run("the source stays away", func(t *testing.T) {
		from := client()
		for i := range 8 {
			attempt{service: "down", user: fmt.Sprint("somebody", i%2), password: "x", want: "4"}.check(t, m, from, "PLAIN")
		}
	})
}

// checkRestart: who was connected when auth died may be told to come again, and
// then it works.
func checkRestart(t *testing.T, m mta, kill func()) {
	const user = "right@example.org"
	from := client()
	s := m.dial(t, "users", from)
	if got := s.login(t, "PLAIN", user, "incorrect horse"); got.code != 535 {
		t.Errorf("before: got %v, want 535", got)
	}
	kill()
	if got := s.login(t, "PLAIN", user, "correct horse"); got.code/100 != 4 && got.code != 235 {
		t.Errorf("in between: got %v, want 4xx, or 235 from the next one", got)
	}
	var got reply
	if !waitFor(20*time.Second, func() bool {
		got = m.dial(t, "users", from).login(t, "PLAIN", user, "correct horse")
		return got.code/100 != 4
	}) || got.code != 235 {
		t.Errorf("afterwards: got %v, want 235", got)
	}
}
