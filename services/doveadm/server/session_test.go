package server

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/handoff"
)

const all = "\talice\tsearch\t-u\talice\t--\tmailbox\tINBOX\tall\n"

func TestACommandIsRelayed(t *testing.T) {
	t.Parallel()
	c := start(t, testOptions()).hello(2)
	for range 2 {
		got, logs := c.ask(all)
		if want := "-u\talice\t--\tmailbox\tINBOX\tall\t\n+\n"; got != want || logs != "" {
			t.Errorf("got %q, logs %q, want %q", got, logs, want)
		}
	}
}

func TestAClientOfMinor0GetsNoPackets(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChLog, "\x04oops\n")
		k.packet(doveadmproto.ChReply, "a\t1\t\n-73\n")
	})
	c := w.hello(0)
	c.send("\tann\tsearch\tall\n")
	if a, b := c.line(), c.line(); a != "a\t1\t" || b != "-73" {
		t.Errorf("got %q, %q", a, b)
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	const (
		hello = "VERSION\tdoveadm-server\t1\t2\n"
		right = "PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n"
		ours  = "VERSION\tdoveadm-client\t1\t3\n"
	)
	private := Listener{Private: true, Owner: uint32(unix.Getuid())}
	for _, tt := range []struct {
		name     string
		network  string
		listener Listener
		change   func(*Options)
		in, want string
		log      string
	}{
		{"the owner of a private socket", "unix", private, nil, hello, ours + "+\n", ""},
		{"a socket that others may open", "unix", Listener{Owner: private.Owner}, nil, hello, ours + "-\n-\n", ""},
		{"a front of the network believes no socket", "unix", private, func(o *Options) { o.Network = true }, hello, ours + "-\n-\n", ""},
		{"the right password", "tcp", Listener{}, nil, hello + right, ours + "-\n+\n", "127.0.0.1: logged in"},
		{"the right password, minor 0", "tcp", Listener{}, nil, "VERSION\tdoveadm-server\t1\t0\n" + right, "-\n+\n", ""},
		{"a wrong password", "tcp", Listener{}, nil, hello + "PLAIN\tAGRvdmVhZG0AbGll\n", ours + "-\n-\n", "authentication failed"},
		{"another name", "tcp", Listener{}, nil, hello + login("root", "secretpw"), ours + "-\n-\n", "authentication failed"},
		{"an authzid", "tcp", Listener{}, nil, hello + "PLAIN\tYQBkb3ZlYWRtAHNlY3JldHB3\n", ours + "-\n-\n", "authorization identity"},
		{"a master user", "tcp", Listener{}, nil, hello + login("admin@example.org", "adminpw"), ours + "-\n+\n", "logged in as admin@example.org"},
		{"auth cannot tell: no word of a wrong password", "tcp", Listener{}, nil, hello + login("slow", "x"), ours + "-\n", "nobody can tell"},
		{"auth goes away", "tcp", Listener{}, nil, hello + login("gone", "x"), ours + "-\n", "nobody can tell"},
		{"auth is not there", "tcp", Listener{}, func(o *Options) { o.AuthSocket = "/nonexistent/auth-doveadm" }, hello + right, ours + "-\n", "nobody can tell"},
		{"no password", "tcp", Listener{}, nil, hello + "PLAIN\tAGRvdmVhZG0A\n", ours + "-\n-\n", "authentication failed"},
		{"broken base64", "tcp", Listener{}, nil, hello + "PLAIN\t!!\n", ours + "-\n-\n", "authentication failed"},
		{"STARTTLS", "tcp", Listener{}, nil, hello + "STARTTLS\n", ours + "-\n-\n", "authentication failed"},
		{"a command instead", "tcp", Listener{}, nil, hello + all, ours + "-\n-\n", "authentication failed"},
		{"a socket of this host, where nobody logs in", "unix", Listener{}, nil, hello + right, ours + "-\n-\n", "its owner's and root's"},
		{"another major", "unix", private, nil, "VERSION\tdoveadm-server\t2\t2\n", "", "VERSION"},
		{"another name", "unix", private, nil, "VERSION\tdoveadm-client\t1\t2\n", "", "VERSION"},
		{"HTTP", "unix", private, nil, "GET / HTTP/1.1\r\n", "", "VERSION"},
		{"a line without end", "unix", private, nil, strings.Repeat("x", 2*maxAuthLine), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			if tt.change != nil {
				tt.change(&o)
			}
			w := startOn(t, o, tt.network, tt.listener)
			c := w.dial()
			c.send(tt.in)
			c.Conn.(interface{ CloseWrite() error }).CloseWrite()
			if got, err := io.ReadAll(c); string(got) != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if tt.log != "" {
				until(t, tt.log, func() bool { return w.logged(tt.log) })
			}
		})
	}
}

func TestAStrangerHasLittleTime(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{"silent": "", "without password": "VERSION\tdoveadm-server\t1\t2\n", "in the middle": "VERS"} {
		o := testOptions()
		o.AuthTimeout = 20 * time.Millisecond
		c := startOn(t, o, "tcp", Listener{}).dial()
		c.send(in)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKnownClientMayRest(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.AuthTimeout = 20 * time.Millisecond
	c := start(t, o).hello(2)
	<-time.After(40 * time.Millisecond)
	if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") {
		t.Errorf("got %q", got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.ClientLimit = 2
	t.Run("clients beyond client_limit are closed", func(t *testing.T) {
		t.Parallel()
		w := start(t, o)
		w.hello(2)
		second := w.hello(2)
		third := w.dial()
		if !third.closed() || !w.logged("client_limit") {
			t.Error("the third client was let in, or nobody said so")
		}
		second.Close()
		until(t, "room", func() bool {
			w.front.house.mu.Lock()
			defer w.front.house.mu.Unlock()
			return len(w.front.house.sessions) == 1
		})
		w.hello(2)
	})
	t.Run("strangers have half of it", func(t *testing.T) {
		t.Parallel()
		w := startOn(t, o, "tcp", Listener{})
		first := w.dial()
		first.send("VERSION\tdoveadm-server\t1\t2\n")
		first.line()
		if !w.dial().closed() {
			t.Error("the second stranger was let in")
		}
		first.send("PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n")
		first.line()
		if got := first.line(); got != "+" {
			t.Fatalf("got %q", got)
		}
		again := w.dial()
		again.send("VERSION\tdoveadm-server\t1\t2\n")
		if got := again.line(); !strings.HasPrefix(got, "VERSION") {
			t.Errorf("who is known still counts as a stranger: %q", got)
		}
	})
}

// Silent connections, renewed as they are closed, do not keep the administrator
// out.
func TestASlowStrangerGoesForAnother(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.ClientLimit, o.strangerRest = 4, time.Nanosecond
	w := startOn(t, o, "tcp", Listener{})
	greet := func(c *testClient) {
		t.Helper()
		c.send("VERSION\tdoveadm-server\t1\t2\n")
		if got := c.line(); !strings.HasPrefix(got, "VERSION") {
			t.Fatalf("got %q", got)
		}
		c.line()
	}
	first := w.dial()
	greet(first)
	second := w.dial()
	greet(second)
	third := w.dial()
	greet(third)
	if !first.closed() {
		t.Error("the slowest stranger is still in")
	}
	for _, c := range []*testClient{second, third} {
		c.send("PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n")
		if got := c.line(); got != "+" {
			t.Errorf("got %q", got)
		}
	}
	until(t, "an empty account", func() bool {
		h := &w.front.house
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.strangers == 0 && len(h.sessions) == 2
	})
}

func TestEveryCommandHasAStatusLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in, status, log string
		more                  bool // the connection goes on
	}{
		{"an empty line", "\n", "-USAGE", "\x04doveadm: doveadm client: No command given\n", false},
		{"two fields", "\talice\n", "-USAGE", "No command given", false},
		{"an unknown flag", "q\talice\tsearch\tall\n", "-USAGE", "unknown flag", false},
		{"x of a client that cannot know it", "x\ta=b\talice\tsearch\tall\n", "-USAGE", "unknown flag", false},
		{"an unknown command", "\talice\tnosuchcmd\tfoo\n", "-", "\x04doveadm(alice): doveadm: Client sent unknown command: nosuchcmd\n", false},
		{"a bad option", "\talice\tsearch\t-Z\tall\n", "-USAGE", "unknown option", true},
		{"a missing argument", "\talice\tmailbox delete\n", "-USAGE", "missing argument", true},
		{"one too many", "\talice\tmailbox mutf7\ta\tb\n", "", "", true},
		{"a command of the host's", "\t\twho\n", "-", "is not for a server", true},
		{"another one", "\talice\tuser\t*\n", "-", "is not for a server", true},
		{"nobody", "\t\tsearch\tall\n", "-NOUSER", "no user was named", true},
		{"control bytes in a name", "\ta\x01nb\tsearch\tall\n", "-NOUSER", "control characters", true},
		{"a long name", "\t" + strings.Repeat("x", 300) + "\tsearch\tall\n", "-NOUSER", "too long", true},
		{"a user who is not there", "\tnosuch\tsearch\tall\n", "-NOUSER", "\x04doveadm(nosuch): User doesn't exist\n", true},
		{"a limit of the master's", "\tbusy\tsearch\tall\n", "-TEMPFAIL", "process_limit", true},
		{"a failure of the master's", "\tdown\tsearch\tall\n", "-TEMPFAIL", "no worker", true},
		{"a worker that dies", "\tdies\tsearch\tall\n", "-TEMPFAIL", "\x04doveadm(dies): worker ended before it answered\n", true},
		{"a worker that says nonsense", "\tnonsense\tsearch\tall\n", "-TEMPFAIL", "no status line", true},
		{"a worker that is over quota", "\tquota\tsearch\tall\n", "-73", "", true},
		{"help", "\talice\tsearch\t--help\n", "-USAGE", "no help", true},
		{"words apart", "\talice\tmailbox\tlist\n", "+", "", true},
		{"CRLF", "\talice\tmailbox\tlist\r\n", "+", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions())
			w.refuses("nosuch", handoff.Message{Code: handoff.CodeNoUser})
			w.refuses("busy", handoff.Message{Code: handoff.CodeLimit, Setting: "process_limit"})
			w.refuses("down", handoff.Message{Code: handoff.CodeTempfail})
			w.plays("dies", func(k *fakeWorker) { k.take() })
			w.plays("nonsense", says("\nnonsense\n"))
			w.plays("quota", says("\n-73\n"))
			c := w.hello(2)
			got, logs := c.ask(tt.in)
			if _, status, _ := strings.Cut(got, "\n"); tt.status != "" && status != tt.status+"\n" {
				t.Errorf("got %q, want %s", got, tt.status)
			}
			if !strings.Contains(logs, tt.log) || tt.log == "" && logs != "" && tt.status != "" {
				t.Errorf("client's log %q, want %q", logs, tt.log)
			}
			if tt.log != "" {
				until(t, "our own log", func() bool { return w.logged(strings.Trim(tt.log[strings.LastIndexByte(tt.log, ':')+1:], " \n")) })
			}
			if !tt.more {
				if !c.closed() {
					t.Error("the connection goes on")
				}
			} else if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") {
				t.Errorf("the next command: %q", got)
			}
		})
	}
}

func TestALineOf1MiBIsTheLongest(t *testing.T) {
	t.Parallel()
	const frame = len("\talice\tsearch\t\n")
	w := start(t, testOptions())
	c := w.hello(2)
	arg := strings.Repeat("x", doveadmproto.MaxLine-frame)
	if got, _ := c.ask("\talice\tsearch\t" + arg + "\n"); got != arg+"\t\n+\n" {
		t.Errorf("got %d bytes: %.40q", len(got), got)
	}
	go io.WriteString(c, "\talice\tsearch\tx"+arg+"\n")
	got, logs := c.reply()
	if got != "\n-DATAERR\n" || !strings.Contains(logs, "longer than 1 MiB") || !c.closed() {
		t.Errorf("got %.40q, log %q", got, logs)
	}
}

func TestCommandsThatAreNotAllowed(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Allowed = []string{"mailbox list", "search", "batch", "save"}
	w := start(t, o)
	c := w.hello(2)
	for _, tt := range []struct{ in, status string }{
		{"\talice\tmailbox list\n", "+"},
		{"\talice\tmailbox\tlist\n", "+"},
		{"\talice\texpunge\tmailbox\tTrash\tall\n", "-NOPERM"},
		{"\talice\tbatch\t:\tsearch\tall\t:\tmailbox\tlist\n", "+"},
		{"\talice\tbatch\t:\tsearch\tall\t:\texpunge\tmailbox\tTrash\tall\n", "-NOPERM"},
	} {
		got, logs := c.ask(tt.in)
		if _, status, _ := strings.Cut(got, "\n"); status != tt.status+"\n" {
			t.Errorf("%q: got %q, want %s", tt.in, got, tt.status)
		}
		if refused := tt.status == "-NOPERM"; refused != strings.Contains(logs, "doveadm_allowed_commands") {
			t.Errorf("%q: log %q", tt.in, logs)
		}
	}
	if !w.logged("expunge is not in doveadm_allowed_commands") {
		t.Error("our own log says nothing of it")
	}
	for _, user := range w.requests() {
		if user != "alice" {
			t.Errorf("a worker for %q", user)
		}
	}
}

func TestAClientOfMinor3AsksForLogsAndMore(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChLog, "\x04oo")
		k.packet(doveadmproto.ChLog, "ps\n\x01debug\n")
		k.packet(doveadmproto.ChTouched, "17")
		k.packet(doveadmproto.ChTouched, "many")
		k.packet('?', "from the future")
		k.packet(doveadmproto.ChReply, "\n-73\n")
	})
	c := w.hello(3)
	const ask = "\tann\tsearch\tall\n"
	if got, logs := c.ask(ask); got != "\n-UNKNOWN\n" || logs != "" {
		t.Errorf("at first: %q, %q", got, logs)
	}
	if got, logs := c.ask("\t\tOPTION\tlog-passthrough\tx-unknown\n" + ask); got != "\n-UNKNOWN\n" || logs != "\x04doveadm(ann): oops\n" {
		t.Errorf("with logs: %q, %q", got, logs)
	}
	if got, logs := c.ask("\t\tOPTION\tculver\nx\tproxy-ttl=5\tann\tsearch\tall\n"); got != "\n-73\n" || logs != "\x04doveadm(ann): oops\nT17\n" {
		t.Errorf("one of ours: %q, %q", got, logs)
	}
	if got, logs := c.ask("D" + ask); got != "\n-73\n" || logs != "\x04doveadm(ann): oops\n\x01doveadm(ann): debug\nT17\n" {
		t.Errorf("with debug: %q, %q", got, logs)
	}
	if !w.logged("(ann) oops") {
		t.Error("our own log has nothing of it")
	}
}

func TestCommandsSentAheadAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	c := start(t, testOptions()).hello(2)
	c.send("\ta\tsearch\t1\n\tb\tsearch\t2\n\tc\tsave\nhello\r\n\r\n.\r\n\td\tsearch\t4\n")
	for _, want := range []string{"1\t", "2\t", "hello\x01r\x01n\t", "4\t"} {
		if got, _ := c.reply(); got != want+"\n+\n" {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAClientThatHasNoMoreToSayGetsItsReply(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChBeat, "")
		until(t, "the front reading ahead", func() bool { return !k.cancelledYet() })
		k.packet(doveadmproto.ChReply, "a\t\n+\n")
	})
	c := w.hello(2)
	c.send("\tann\tsearch\tall\n")
	c.Conn.(*net.UnixConn).CloseWrite()
	if got, _ := c.reply(); got != "a\t\n+\n" {
		t.Errorf("got %q", got)
	}
}

// cancelledYet looks whether a cancel has come, for a moment.
func (k *fakeWorker) cancelledYet() bool {
	k.SetDeadline(time.Now().Add(20 * time.Millisecond))
	defer k.SetDeadline(time.Time{})
	_, ok := k.until(doveadmproto.ChCancel)
	return ok
}
