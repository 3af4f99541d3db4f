package authproto

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// nothing is an answer that writes nothing and keeps the connection.
const nothing = "-"

const hello = "VERSION\t1\t1\nSPID\t4711\n"

// fake is a server that answers each request line by a function; "" closes.
type fake struct {
	t       *testing.T
	l       net.Listener
	path    string
	hello   string
	answer  func(line string) string
	accepts atomic.Int32
}

func serve(t *testing.T, hello string, answer func(line string) string) *fake {
	t.Helper()
	f := &fake{t: t, path: filepath.Join(t.TempDir(), "s"), hello: hello, answer: answer}
	f.listen()
	return f
}

func (f *fake) listen() {
	l, err := net.Listen("unix", f.path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.l = l
	f.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.accepts.Add(1)
			go f.talk(c)
		}
	}()
}

func (f *fake) talk(c net.Conn) {
	defer c.Close()
	io.WriteString(c, f.hello)
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil { // VERSION
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		a := f.answer(strings.TrimSuffix(line, "\n"))
		if a == "" {
			return
		}
		if a == nothing {
			continue
		}
		if _, err := io.WriteString(c, a); err != nil {
			return
		}
	}
}

func newClient(t *testing.T, f *fake) *Client {
	c := &Client{Dial: Path(f.path), Timeout: 20 * time.Second}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRequestAsDovecotWantsIt(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 1)
	c := newClient(t, serve(t, hello, func(line string) string { lines <- line; return "NOTFOUND\t1\n" }))
	p := Params{Service: "lmtp", RemoteIP: "::1", LocalIP: "127.0.0.1", LocalPort: "24", RemotePort: "1", Session: "a\tb"}
	c.Lookup(context.Background(), "bob@example.com", p)
	want := "USER\t1\tbob@example.com\tservice=lmtp\tprotocol=lmtp\tlip=127.0.0.1\trip=::1\tlport=24\trport=1\tsession=a\x01tb"
	if got := <-lines; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reply string
		want        string // of a user, or an error in words
	}{
		{"all fields", "USER\t1\tbob\tuid=1\tgid=2\thome=/h\tmail=x\n", "{bob 1 2 /h map[mail:x]}"},
		{"escapes", "USER\t1\tbob\tx=a\x01tb\n", "{bob -1 -1  map[x:a\tb]}"},
		{"a bare field", "USER\t1\tbob\tflag\n", "{bob -1 -1  map[flag:yes]}"},
		{"no fields, as Dovecot 2.3 writes it", "USER\t1\tbob\t\n", "{bob -1 -1  map[]}"},
		{"a value with =", "USER\t1\tbob\ta=b=c\n", "{bob -1 -1  map[a:b=c]}"},
		{"unknown", "NOTFOUND\t1\n", "user unknown"},
		{"failure", "FAIL\t1\n", "auth: temporary failure"},
		{"failure with a reason", "FAIL\t1\treason=down\n", "auth: temporary failure: down"},
		{"a reason that would break the log", "FAIL\t1\treason=a\x01nb\n", "auth: temporary failure: a?b"},
		{"another verb", "PASS\t1\tuser=bob\n", `auth: unexpected reply "PASS"`},
		{"a LIST line", "LIST\t1\tbob\n", `auth: unexpected reply "LIST"`},
		{"uid that is no number", "USER\t1\tbob\tuid=root\n", `auth: uid "root" is not a number of an account`},
		{"negative uid", "USER\t1\tbob\tuid=-1\n", `auth: uid "-1" is not a number of an account`},
		{"uid -1 in 32 bits", "USER\t1\tbob\tuid=4294967295\n", `auth: uid "4294967295" is not a number of an account`},
		{"uid that wraps to root", "USER\t1\tbob\tuid=4294967296\n", `auth: uid "4294967296" is not a number of an account`},
		{"two uids", "USER\t1\tbob\tuid=5\tuid=6\n", `auth: reply has two fields "uid"`},
		{"NUL in the home", "USER\t1\tbob\thome=/a\x010b\n", `auth: field "home" contains a NUL byte`},
		{"no name", "USER\t1\n", "auth: reply without a usable user name"},
		{"a name with a line end", "USER\t1\ta\x01nb\n", "auth: reply without a usable user name"},
		{"a name too long", "USER\t1\t" + strings.Repeat("a", 256) + "\n", "auth: reply without a usable user name"},
		{"an id never given", "USER\t7\tbob\n", "auth: reply to request 7, which was never made"},
		{"no id", "USER\n", "auth: malformed line"},
		{"an id that is none", "USER\tx\tbob\n", "auth: malformed line: id"},
		{"a line without end", strings.Repeat("a", MaxReply), "auth: line from auth is longer than 8192 bytes"},
		{"too many fields", "USER\t1\tbob" + strings.Repeat("\t", MaxFields) + "\n", "auth: malformed line: more than 256 fields"},
		{"the end", "", "auth: connection to auth lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, hello, func(string) string { return tt.reply }))
			u, err := c.Lookup(context.Background(), "bob", Params{})
			got := fmt.Sprint(u)
			if err != nil {
				got = err.Error()
				if (err == ErrNotFound) == errors.Is(err, ErrTempfail) {
					t.Errorf("%v is neither ErrNotFound nor an ErrTempfail, or both", err)
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestHandshakeMustBeThatOfAMasterSocket(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, hello, want string }{
		{"a client socket", "VERSION\t1\t2\nMECH\tPLAIN\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n", "userdb or master socket"},
		{"another major", "VERSION\t2\t0\nSPID\t1\n", `another major version, want 1`},
		{"another protocol", "220 example.com ESMTP\r\n", "malformed line where VERSION was due"},
		{"SPID that is no number", "VERSION\t1\t1\nSPID\tx\n", "SPID: malformed line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, serve(t, tt.hello, nil))
			c.Patience = 200 * time.Millisecond
			_, err := c.Lookup(context.Background(), "bob", Params{})
			if !errors.Is(err, ErrTempfail) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestNamesThatNoEntryCanHave(t *testing.T) {
	t.Parallel()
	c := &Client{Dial: func(context.Context) (net.Conn, error) { panic("asked") }}
	for _, name := range []string{"", strings.Repeat("a", 256), "a\tb", "a\nb", "a\x00", "a\x7f"} {
		if _, err := c.Lookup(context.Background(), name, Params{}); err != ErrNotFound {
			t.Errorf("%q: got %v, want ErrNotFound", name, err)
		}
	}
}

// TestPipelining answers in the reverse order, and only when all have asked.
func TestPipelining(t *testing.T) {
	t.Parallel()
	const n = 50
	var held []string
	f := serve(t, hello, func(line string) string {
		w := strings.Split(line, "\t")
		held = append(held, "USER\t"+w[1]+"\t"+w[2]+"\n")
		if len(held) < n {
			return nothing
		}
		slices.Reverse(held)
		return strings.Join(held, "")
	})
	c := newClient(t, f)
	errs := make(chan error, n)
	for i := range n {
		go func() {
			name := fmt.Sprintf("user%d", i)
			u, err := c.Lookup(context.Background(), name, Params{})
			if err == nil && u.Name != name {
				err = fmt.Errorf("asked for %s, got %s", name, u.Name)
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := f.accepts.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestServerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	f := serve(t, hello, func(line string) string {
		if strings.Contains(line, "killer") {
			return ""
		}
		return "NOTFOUND\t" + strings.Split(line, "\t")[1] + "\n"
	})
	c := newClient(t, f)
	for range 3 {
		if _, err := c.Lookup(context.Background(), "killer", Params{}); !errors.Is(err, ErrTempfail) {
			t.Fatalf("in flight: got %v, want a temporary failure", err)
		}
		if _, err := c.Lookup(context.Background(), "bob", Params{}); err != ErrNotFound {
			t.Fatalf("after it: got %v, want an answer", err)
		}
	}
	// Nobody listens for a while: who asks waits until somebody does.
	f.l.Close()
	c.Lookup(context.Background(), "killer", Params{})
	got := make(chan error, 1)
	go func() {
		_, err := c.Lookup(context.Background(), "bob", Params{})
		got <- err
	}()
	f.listen()
	if err := <-got; err != ErrNotFound {
		t.Errorf("after the restart: got %v, want an answer", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	c := &Client{Dial: Path(filepath.Join(t.TempDir(), "none")), Patience: 150 * time.Millisecond}
	defer c.Close()
	_, err := c.Lookup(context.Background(), "bob", Params{})
	if !errors.Is(err, ErrTempfail) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v, want a temporary failure that says why", err)
	}
}

func TestDeadlineOfOneLookupLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := serve(t, hello, func(line string) string {
		if strings.Contains(line, "slow") {
			return nothing
		}
		<-release
		return "USER\t1\tslow\n" + "USER\t" + strings.Split(line, "\t")[1] + "\tbob\n"
	})
	c := newClient(t, f)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Lookup(ctx, "slow", Params{}); !errors.Is(err, ErrTempfail) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a temporary failure by the deadline", err)
	}
	close(release)
	if u, err := c.Lookup(context.Background(), "bob", Params{}); err != nil || u.Name != "bob" {
		t.Errorf("got %v, %v, want bob; the late answer to slow is nobody's", u, err)
	}
}

func TestRequestTooLong(t *testing.T) {
	t.Parallel()
	c := newClient(t, serve(t, hello, func(string) string { return "NOTFOUND\t2\n" }))
	if _, err := c.Lookup(context.Background(), "bob", Params{Session: strings.Repeat("x", MaxRequest)}); !errors.Is(err, ErrTempfail) {
		t.Errorf("got %v, want a temporary failure", err)
	}
	if _, err := c.Lookup(context.Background(), "bob", Params{}); err != ErrNotFound {
		t.Errorf("the connection is not the same as before: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reply string
		want        string
		temp        bool
	}{
		{"two and the end", "LIST\t1\ta\nLIST\t1\tb\nDONE\t1\t\n", "a b", false},
		{"an end without the TAB", "LIST\t1\ta\nDONE\t1\n", "a", false},
		{"partial", "LIST\t1\ta\nDONE\t1\tfail\n", "a", true},
		{"lost", "LIST\t1\ta\n", "a", true},
		{"another id", "LIST\t2\ta\n", "", true},
		{"another verb", "USER\t1\ta\n", "", true},
		{"names that cannot be", "LIST\t1\ta\x01nb\nDONE\t1\t\n", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := false
			c := newClient(t, serve(t, hello, func(line string) string {
				if asked || !strings.HasPrefix(line, "LIST\t1\tuser=*\t") {
					return ""
				}
				asked = true
				if !strings.Contains(tt.reply, "DONE") {
					return tt.reply + strings.Repeat("x", MaxReply) // and no more of a line
				}
				return tt.reply
			}))
			var got []string
			err := c.List(context.Background(), "", Params{}, func(n string) error { got = append(got, n); return nil })
			if strings.Join(got, " ") != tt.want || errors.Is(err, ErrTempfail) != tt.temp || !tt.temp && err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestListStopsWhenTheCallerDoes(t *testing.T) {
	t.Parallel()
	c := newClient(t, serve(t, hello, func(string) string { return "LIST\t1\ta\nLIST\t1\tb\n" }))
	enough := errors.New("enough")
	if err := c.List(context.Background(), "*", Params{}, func(string) error { return enough }); err != enough {
		t.Errorf("got %v, want the caller's own error", err)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	f := serve(t, hello, func(string) string { return "" })
	nc, err := net.Dial("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Dial: Once(nc), Patience: time.Hour}
	defer c.Close()
	for _, want := range []error{errGone, errSpent, errSpent} { // without patience
		if _, err := c.Lookup(context.Background(), "bob", Params{}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if got := f.accepts.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// FuzzAuthLine feeds one line to each reader of lines.
func FuzzAuthLine(f *testing.F) {
	for _, s := range []string{
		"VERSION\t1\t1", "USER\t1\tbob\tservice=lmtp", "USER\t1\tbob\tuid=5\tgid=6\thome=/h",
		"FAIL\t1\treason=x\x01n", "LIST\t1\t", "DONE\t1\tfail", "NOTFOUND\t4294967295", "\t\t\t", "\x01",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		ParseVersion(line)
		r, err := ParseRequest(line)
		if err != nil {
			return
		}
		if len(r.Args)+2 > MaxFields || strings.Contains(line, "\t") == false {
			t.Fatalf("%q was taken", line)
		}
		r.Service()
		u, err := parseUser(r.Args)
		if err == nil && (!ValidUser(u.Name) || u.UID < -1 || u.UID >= 1<<32-1 || u.GID < -1 || u.GID >= 1<<32-1 ||
			strings.Contains(u.Home, "\x00")) {
			t.Fatalf("%q gave %+v", line, u)
		}
		if reason := reasonOf(r.Args); len(reason) > MaxReason || Clean(reason) != reason {
			t.Fatalf("reason %q", reason)
		}
	})
}
