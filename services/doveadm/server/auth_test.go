package server

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"culver/internal/tabline"
)

// fakeAuth is as much of auth as a front of the network needs. doveadm may do
// everything; admin@example.org search and copy in its own domain.
type fakeAuth struct {
	path string
	hold chan struct{} // closed: whoever logs in as "held" is refused now

	mu      sync.Mutex
	logins  int // that came
	at      int // that are being judged
	peak    int
	line    string   // what the last login said of its connection
	lines   []string // TICKET and ENDED, without their ids
	tickets int
}

func startAuth(t testing.TB) *fakeAuth {
	t.Helper()
	a := &fakeAuth{path: filepath.Join(t.TempDir(), "auth-doveadm"), hold: make(chan struct{})}
	l, err := net.Listen("unix", a.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(c)
		}
	}()
	return a
}

func (a *fakeAuth) serve(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, "VERSION\t1\t4\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
	who := ""
	for in := bufio.NewScanner(c); in.Scan(); {
		f := tabline.Split(in.Text())
		reply := ""
		switch f[0] {
		case "AUTH":
			if who, reply = a.judge(f[2:]); reply == "" {
				return
			}
		case "TICKET":
			if reply = a.ticket(who, f[3], f[4:]); reply == "" {
				return
			}
		case "ENDED":
			a.note("ended " + strings.Join(f[3:], " "))
		}
		if reply != "" {
			verb, rest, _ := strings.Cut(reply, "\t")
			fmt.Fprintf(c, "%s\t%s\t%s\n", verb, f[1], rest)
		}
	}
}

func (a *fakeAuth) judge(f []string) (who, reply string) {
	a.mu.Lock()
	a.logins++
	a.line = ""
	for _, p := range f {
		if strings.HasPrefix(p, "secured") {
			a.line = p
		}
	}
	a.at++
	a.peak = max(a.peak, a.at)
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.at--
	}()
	text, _ := strings.CutPrefix(f[len(f)-1], "resp=")
	response, _ := base64.StdEncoding.DecodeString(text)
	_, who, _ = strings.Cut(string(response), "\x00")
	who, password, _ := strings.Cut(who, "\x00")
	switch who + " " + password {
	case "doveadm secretpw", "admin@example.org adminpw":
		return who, "OK\tuser=" + who
	case "slow x":
		return "", "FAIL\tcode=temp_fail"
	case "gone x":
		return "", ""
	case "held x":
		<-a.hold
	}
	return "", "FAIL\tuser=" + who
}

func (a *fakeAuth) ticket(who, target string, commands []string) string {
	a.note("ticket " + target + " " + strings.Join(commands, ","))
	switch {
	case target == "down":
		return "FAIL\tcode=temp_fail\treason=Source is down"
	case target == "lost":
		return ""
	case strings.HasPrefix(target, "nobody"):
		return "NOTFOUND\t"
	case who == "doveadm":
	case !strings.HasSuffix(target, "@example.org"):
		return "FAIL\tcode=authz_fail\treason=" + target + " is out of reach"
	case slices.ContainsFunc(commands, func(c string) bool { return c != "search" && c != "copy" && c != "batch" }):
		return "FAIL\tcode=authz_fail\treason=" + strings.Join(commands, ",") + " is out of reach"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tickets++
	return fmt.Sprintf("TICKET\tt%d\tuser=%s", a.tickets, strings.ToLower(target))
}

func (a *fakeAuth) note(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, line)
}

func (a *fakeAuth) noted() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.lines, "\n")
}

func (a *fakeAuth) secured() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.line
}

func (a *fakeAuth) seen() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.logins
}

func (a *fakeAuth) most() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peak
}

// login is a client's line.
func login(user, password string) string {
	return "PLAIN\t" + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)) + "\n"
}

// in is a client of minor 2 that has logged in.
func (w *world) in(user, password string) *testClient {
	w.t.Helper()
	c := w.dial()
	c.send("VERSION\tdoveadm-server\t1\t2\n" + login(user, password))
	c.line()
	c.line()
	if got := c.line(); got != "+" {
		w.t.Fatalf("got %q, want +", got)
	}
	return c
}

func TestEachCommandOfTheNetworkHasATicket(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in     string
		status       string
		log          string // what the client is told
		auth         string // what auth was asked and told
		asked, leave string // whom the master was asked for, and with what
	}{
		{"a command within reach", "\tX@example.org\tsearch\tall\n", "+", "",
			"ticket X@example.org search\nended x@example.org 0 search", "x@example.org", "t1"},
		{"a user out of reach", "\tx@other.org\tsearch\tall\n", "-NOPERM", "x@other.org is out of reach",
			"ticket x@other.org search", "", ""},
		{"a command out of reach", "\tx@example.org\texpunge\tmailbox\tINBOX\tall\n", "-NOPERM", "expunge is out of reach",
			"ticket x@example.org expunge", "", ""},
		{"all of a batch, each once", "\tx@example.org\tbatch\t,\tsearch\tall\t,\tsearch\tall\n", "+", "",
			"ticket x@example.org batch,search\nended x@example.org 0 batch search", "x@example.org", "t1"},
		{"a batch with a command out of reach", "\tx@example.org\tbatch\t,\tsearch\tall\t,\texpunge\tmailbox\tINBOX\tall\n", "-NOPERM", "is out of reach",
			"ticket x@example.org batch,search,expunge", "", ""},
		{"nobody", "\tnobody@example.org\tsearch\tall\n", "-NOUSER", "User doesn't exist",
			"ticket nobody@example.org search", "", ""},
		{"a source that is down", "\tdown\tsearch\tall\n", "-TEMPFAIL", "Source is down", "ticket down search", "", ""},
		{"auth is gone", "\tlost\tsearch\tall\n", "-TEMPFAIL", "connect again", "ticket lost search", "", ""},
		{"a copy from one out of reach starts no worker", "\tx@example.org\tcopy\tINBOX\tuser\ty@other.org\tall\n", "-NOPERM", "y@other.org is out of reach",
			"ticket x@example.org copy\nticket y@other.org copy\nended x@example.org 77 copy", "", ""},
		{"a copy within reach has a ticket for each half", "\tx@example.org\tcopy\tINBOX\tuser\ty@example.org\tall\n", "-TEMPFAIL", "",
			"ticket x@example.org copy\nticket y@example.org copy\nended x@example.org 75 copy\nended y@example.org 75 copy", "x@example.org y@example.org", "t1 t2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := startOn(t, testOptions(), "tcp", Listener{})
			w.plays("y@example.org", func(*fakeWorker) {})
			w.plays("x@example.org", func(k *fakeWorker) {
				if cmd := k.take(); cmd.Name != "copy" {
					k.packet('\x00', "\n+\n")
				}
			})
			c := w.in("admin@example.org", "adminpw")
			got, logs := c.ask(tt.in)
			if !strings.HasSuffix(got, "\n"+tt.status+"\n") || !strings.Contains(logs, tt.log) {
				t.Errorf("got %q, log %q, want %q, %q", got, logs, tt.status, tt.log)
			}
			until(t, tt.auth, func() bool { return w.auth.noted() == tt.auth })
			w.mu.Lock()
			asked, tickets, sessions := strings.Join(w.asked, " "), strings.Join(w.tickets, " "), slices.Clone(w.sessions)
			w.mu.Unlock()
			if asked != tt.asked || tickets != tt.leave {
				t.Errorf("the master was asked for %q with %q, want %q, %q", asked, tickets, tt.asked, tt.leave)
			}
			slices.Sort(sessions)
			if sessions = slices.Compact(sessions); len(sessions) != 1 {
				t.Errorf("log lines of one session have the names %q", sessions)
			}
			if tt.name == "auth is gone" && !c.closed() {
				t.Error("a session without a login goes on")
			}
		})
	}
}

func TestTheSharedPasswordReachesEverybody(t *testing.T) {
	t.Parallel()
	w := startOn(t, testOptions(), "tcp", Listener{})
	c := w.in("doveadm", "secretpw")
	for _, user := range []string{"x@other.org", "ann"} {
		if got, logs := c.ask("\t" + user + "\tsearch\tall\n"); !strings.HasSuffix(got, "\n+\n") {
			t.Errorf("%s: got %q, %q", user, got, logs)
		}
	}
}

func TestLocalClientsNeedNoTicket(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	if got, _ := w.hello(2).ask("\tann\tsearch\tall\n"); !strings.HasSuffix(got, "\n+\n") {
		t.Errorf("got %q", got)
	}
	if w.tickets[0] != "" {
		t.Errorf("the master got the ticket %q", w.tickets[0])
	}
}

// Who takes over a front of the network finds one login in it.
func TestAFrontOfTheNetworkTakesOneClient(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Single = true
	w := startOn(t, o, "tcp", Listener{})
	said := make(chan [2]int, 10)
	go w.front.Report(func(available, served int) error {
		said <- [2]int{available, served}
		return nil
	})
	if got := <-said; got != [2]int{1, 0} {
		t.Errorf("before anybody comes: %v", got)
	}
	c := w.in("doveadm", "secretpw")
	for got := range said {
		if got == [2]int{0, 1} {
			break
		}
		if got != [2]int{0, 0} {
			t.Fatalf("with its client: %v", got)
		}
	}
	if other, err := net.Dial("tcp", w.addr.String()); err == nil {
		other.Close()
		t.Error("it listens for a second one")
	}
	if got, _ := c.ask("\tann\tsearch\tall\n"); !strings.HasSuffix(got, "\n+\n") {
		t.Errorf("got %q", got)
	}
	c.Close()
	<-w.served
}
