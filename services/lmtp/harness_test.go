package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
)

// world is a front between a scripted client, a fake master on a real control
// socket, and fake workers on real socketpairs.
type world struct {
	t      testing.TB
	front  *Front
	addr   net.Addr
	served chan struct{} // closed when Serve has returned
	master *fdpass.Conn
	stop   func() // the master dies

	mu        sync.Mutex
	logs      []string
	delivered []access
	refuse    map[string]handoff.Message // answers by user instead of a worker
	play      map[string]func(*fakeWorker)
	lookups   func(user string) // called in each lookup
	passdb    map[string]map[string]string
	cancelled int
}

// access is what one worker got.
type access struct {
	user     string
	commands string
	body     string
	seals    int
	flags    int
}

// testOptions are short where a test would wait.
func testOptions(t testing.TB) Options {
	return Options{
		Hostname: "vm", Greeting: "Culver ready.", Delimiters: "+", MaxSize: 1 << 20,
		MaxRecipients: 100, MaxBadCommands: 10,
		CommandTimeout: time.Minute, DeliveryTimeout: 30 * time.Second,
		ClientLimit: 100, SpoolDir: t.TempDir(), SpoolMemory: 8 << 10, SpoolLimit: 64 << 20,
		QueueLimit: 10, QueueTimeout: 50 * time.Millisecond, HAProxyTimeout: 5 * time.Second,
	}
}

// start begins a world on a unix socket, or on TCP when network says so.
func start(t testing.TB, o Options, network string, l Listener) *world {
	t.Helper()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	frontEnd, _ := fdpass.New(a, "control")
	masterEnd, _ := fdpass.New(b, "control, master's end")
	w := &world{t: t, master: masterEnd, served: make(chan struct{}),
		refuse: map[string]handoff.Message{}, play: map[string]func(*fakeWorker){}}
	control := favour.NewControl(frontEnd, "lmtp-deliver")
	w.front = New(o, w, control, w.log)
	addr := filepath.Join(t.TempDir(), "lmtp")
	if network == "tcp" {
		addr = "127.0.0.1:0"
	}
	if l.Listener, err = net.Listen(network, addr); err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr()
	w.stop = sync.OnceFunc(func() { unix.Shutdown(b, unix.SHUT_RDWR) })
	go w.runMaster()
	go func() {
		control.Run(w.front.Drain)
		w.front.Stop()
	}()
	go func() {
		w.front.Serve([]Listener{l})
		close(w.served)
	}()
	t.Cleanup(func() {
		w.stop()
		<-w.served
		masterEnd.Close()
		frontEnd.Close()
	})
	return w
}

func (w *world) log(l logline.Level, session, user, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, fmt.Sprintf("%c(%s)<%s> %s", l, user, session, text))
}

func (w *world) logged(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.logs, func(s string) bool { return strings.Contains(s, part) })
}

func (w *world) got() []access {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.delivered)
}

// spooled is how much of the budget is taken.
func (w *world) spooled() int64 {
	w.front.spools.mu.Lock()
	defer w.front.spools.mu.Unlock()
	return w.front.spools.used
}

// Lookup plays auth: users are those of domain x; their names become lower case.
func (w *world) Lookup(ctx context.Context, user string, p authproto.Params) (authproto.User, error) {
	w.mu.Lock()
	hook := w.lookups
	w.mu.Unlock()
	if hook != nil {
		hook(user)
	}
	switch {
	case strings.HasPrefix(user, "down"):
		return authproto.User{}, &authproto.Tempfail{Err: errors.New("auth is down")}
	case strings.HasPrefix(user, "nobody"), !strings.HasSuffix(strings.ToLower(user), "@x"):
		return authproto.User{}, authproto.ErrNotFound
	}
	return authproto.User{Name: strings.ToLower(user), UID: 5000}, nil
}

// Pass plays the passdb, which knows nobody but those in w.passdb.
func (w *world) Pass(_ context.Context, user string, _ authproto.Params) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch f, known := w.passdb[user]; {
	case strings.HasPrefix(user, "down"):
		return nil, &authproto.Tempfail{Err: errors.New("auth is down")}
	case known:
		return f, nil
	}
	return nil, authproto.ErrNotFound
}

// runMaster answers requests.
func (w *world) runMaster() {
	buf := make([]byte, handoff.MaxMessage)
	for {
		n, err := w.master.RecvPlain(buf)
		if err != nil {
			return
		}
		m, err := handoff.Parse(buf[:n])
		if err != nil {
			w.t.Errorf("the front sent no message: %v", err)
			return
		}
		switch m.Kind {
		case handoff.KindCancel:
			w.mu.Lock()
			w.cancelled++
			w.mu.Unlock()
		case handoff.KindRequest:
			w.request(m)
		}
	}
}

func (w *world) request(m handoff.Message) {
	if m.Service != "lmtp-deliver" {
		w.t.Errorf("request for %q", m.Service)
	}
	w.mu.Lock()
	a, refused := w.refuse[m.User]
	play := w.play[m.User]
	w.mu.Unlock()
	a.Kind, a.ID = handoff.KindAnswer, m.ID
	if refused {
		if a.Code != handoff.CodeOK { // OK: no answer at all
			w.master.Send(a.Append(nil), -1)
		}
		return
	}
	front, worker, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		w.t.Error(err)
		return
	}
	unix.SetNonblock(worker, true)
	conn, _ := fdpass.New(worker, "worker's end")
	w.master.Send(a.Append(nil), front)
	unix.Close(front)
	if play == nil {
		play = (*fakeWorker).good
	}
	go func() {
		defer conn.Close()
		play(&fakeWorker{Conn: conn, w: w, user: m.User})
	}()
}

// fakeWorker is the worker's end of one conversation.
type fakeWorker struct {
	*fdpass.Conn
	w    *world
	user string
}

// take reads the front's commands and the message, and remembers them.
func (k *fakeWorker) take() access {
	a := access{user: k.user}
	buf := make([]byte, 16<<10)
	n, fd, err := k.Recv(buf)
	if err != nil {
		return a
	}
	a.commands = string(buf[:n])
	if fd >= 0 {
		a.seals, _ = unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		a.flags, _ = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		f := os.NewFile(uintptr(fd), "message")
		var size int64
		fmt.Sscanf(a.commands[strings.Index(a.commands, "XFD "):], "XFD %d LAST", &size)
		body, _ := io.ReadAll(io.NewSectionReader(f, 0, size+1))
		a.body = string(body)
		f.Close()
	}
	k.w.mu.Lock()
	k.w.delivered = append(k.w.delivered, a)
	k.w.mu.Unlock()
	return a
}

const opening = "220 vm ready\r\n250-vm\r\n250 XFD\r\n220 vm ready\r\n250 2.1.0 OK\r\n"

var (
	sessionOf = regexp.MustCompile(` SESSION=(\S+)`)
	rcptOf    = regexp.MustCompile(`RCPT TO:(<.*?>)(\r| ORCPT)`)
)

func (k *fakeWorker) good() {
	a := k.take()
	if a.commands == "" {
		return
	}
	session, err := xtext(sessionOf.FindStringSubmatch(a.commands)[1])
	if err != nil {
		k.w.t.Error(err)
	}
	out := opening + "250 2.1.5 OK\r\n"
	if strings.Contains(a.commands, "XFD") {
		out += "250 2.0.0 " + rcptOf.FindStringSubmatch(a.commands)[1] + " " + session + " Saved\r\n"
	}
	io.WriteString(k, out+"221 2.0.0 Bye\r\n")
}

// says makes a worker that takes its message and answers with text.
func says(text string) func(*fakeWorker) {
	return func(k *fakeWorker) {
		k.take()
		io.WriteString(k, text)
	}
}

// client is a scripted one.
type testClient struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (w *world) dial() *testClient {
	w.t.Helper()
	c, err := net.Dial(w.addr.Network(), w.addr.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &testClient{w.t, c, bufio.NewReader(c)}
}

func (c *testClient) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

var idForm = regexp.MustCompile(`[A-Za-z0-9+/]{22}\b`)

// line reads a line; a session id reads as SID.
func (c *testClient) line() string {
	s, err := c.r.ReadString('\n')
	if err == io.EOF && s == "" {
		return "EOF"
	}
	if err != nil {
		return s + " " + err.Error()
	}
	return idForm.ReplaceAllString(strings.TrimSuffix(s, "\r\n"), "SID")
}

// run plays a transcript: lines "C ..." are sent with CRLF, those that follow
// each other in one write; "R ..." is sent as it is, Go-quoted; "S ..." is
// expected, a trailing * matching anything.
func (c *testClient) run(script string) {
	c.t.Helper()
	var out bytes.Buffer
	for raw := range strings.Lines(script) {
		l := strings.Trim(raw, "\t\n")
		kind, text, _ := strings.Cut(l, " ")
		switch kind {
		case "C":
			out.WriteString(text + "\r\n")
		case "R":
			var s string
			fmt.Sscanf(text, "%q", &s)
			out.WriteString(s)
		case "S":
			if out.Len() > 0 {
				c.send(out.String())
				out.Reset()
			}
			got := c.line()
			if want, open := strings.CutSuffix(text, "*"); got != text && !(open && strings.HasPrefix(got, want)) {
				c.t.Fatalf("got %q, want %q", got, text)
			}
		}
	}
	if out.Len() > 0 {
		c.send(out.String())
	}
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("never came: " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func mustPrefix(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
