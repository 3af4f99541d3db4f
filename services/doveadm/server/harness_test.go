package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/services/doveadm/command"
)

// world is a front between a scripted client, a fake master on a real control
// socket, and fake workers on real socketpairs.
type world struct {
	t      testing.TB
	front  *Front
	addr   net.Addr
	served chan struct{} // closed when Serve has returned
	master *fdpass.Conn
	auth   *fakeAuth // nil for a front of the local class

	mu        sync.Mutex
	logs      []string
	sessions  []string                   // of those lines
	refuse    map[string]handoff.Message // answers by user instead of a worker
	play      map[string]func(*fakeWorker)
	asked     []string
	tickets   []string // that came with them
	abandoned []uint64
	cancelled int
	workers   map[uint64]*fdpass.Conn
}

// testOptions are short where a test would wait.
func testOptions() Options {
	return Options{AuthTimeout: 20 * time.Second, WorkerTimeout: 20 * time.Second,
		ClientLimit: 100, QueueLimit: 10, StopGrace: time.Millisecond, drainRest: 20 * time.Millisecond}
}

// start begins a world on a private unix socket of ours.
func start(t testing.TB, o Options) *world {
	t.Helper()
	return startOn(t, o, "unix", Listener{Private: true, Owner: uint32(unix.Getuid())})
}

func startOn(t testing.TB, o Options, network string, l Listener) *world {
	t.Helper()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	frontEnd, _ := fdpass.New(a, "control")
	masterEnd, _ := fdpass.New(b, "control, master's end")
	w := &world{t: t, master: masterEnd, served: make(chan struct{}), workers: map[uint64]*fdpass.Conn{},
		refuse: map[string]handoff.Message{}, play: map[string]func(*fakeWorker){}}
	control := favour.NewControl(frontEnd, "doveadm-worker")
	if o.AuthSocket == "" && network == "tcp" {
		w.auth = startAuth(t)
		o.AuthSocket = w.auth.path
	}
	w.front = New(o, control, w.log)
	addr := filepath.Join(t.TempDir(), "doveadm-server")
	if network == "tcp" {
		addr = "127.0.0.1:0"
	}
	if l.Listener, err = net.Listen(network, addr); err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr()
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
		unix.Shutdown(b, unix.SHUT_RDWR)
		<-w.served
		masterEnd.Close()
		frontEnd.Close()
	})
	return w
}

func (w *world) log(l logline.Level, session, user, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, fmt.Sprintf("%c(%s) %s", l, user, text))
	if session != "" {
		w.sessions = append(w.sessions, session)
	}
}

// plays has the workers of a user play something else than echo.
func (w *world) plays(user string, f func(*fakeWorker)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.play[user] = f
}

// refuses has the master answer for a user instead; CodeOK is no answer at all.
func (w *world) refuses(user string, m handoff.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse[user] = m
}

func (w *world) logged(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.logs, func(s string) bool { return strings.Contains(s, part) })
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
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
		case handoff.KindAbandon:
			w.mu.Lock()
			w.abandoned = append(w.abandoned, m.ID)
			if c := w.workers[m.ID]; c != nil {
				c.Close()
			}
			w.mu.Unlock()
		case handoff.KindRequest:
			w.request(m)
		}
	}
}

func (w *world) request(m handoff.Message) {
	if m.Service != "doveadm-worker" {
		w.t.Errorf("request for %q", m.Service)
	}
	w.mu.Lock()
	w.asked = append(w.asked, m.User)
	w.tickets = append(w.tickets, m.Ticket)
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
	w.mu.Lock()
	w.workers[m.ID] = conn
	w.mu.Unlock()
	w.master.Send(a.Append(nil), front)
	unix.Close(front)
	if play == nil {
		play = (*fakeWorker).echo
	}
	go func() {
		defer conn.Close()
		play(&fakeWorker{w: w, user: m.User, Conn: conn, in: doveadmproto.NewPacketReader(bufio.NewReader(conn))})
	}()
}

// fakeWorker is the worker's end of one access.
type fakeWorker struct {
	w    *world
	user string
	*fdpass.Conn
	in *doveadmproto.PacketReader
}

// take reads the command.
func (k *fakeWorker) take() doveadmproto.Command {
	p, err := k.in.Whole(doveadmproto.MaxLine)
	if err == io.EOF {
		return doveadmproto.Command{}
	}
	cmd, perr := doveadmproto.ParseCommand(p.Data, doveadmproto.MinorOwn)
	if err != nil || perr != nil || p.Channel != doveadmproto.ChRun || bytes.HasSuffix(p.Data, []byte("\n")) {
		k.w.t.Errorf("worker got %q: %v, %v", p.Data, err, perr)
	}
	return cmd
}

// packet sends one.
func (k *fakeWorker) packet(ch byte, data string) {
	k.Write(doveadmproto.AppendPacket(nil, ch, []byte(data)))
}

// until reads packets up to the first of a channel, unless a cancel comes first.
func (k *fakeWorker) until(ch byte) (string, bool) {
	for {
		p, err := k.in.Next()
		if err != nil {
			return "", false
		}
		if p.Channel == ch {
			return string(p.Data), true
		}
		if p.Channel == doveadmproto.ChCancel {
			return "", false
		}
	}
}

// collect reads a channel to its end.
func (k *fakeWorker) collect(ch byte) (all string, whole bool) {
	for {
		b, ok := k.until(ch)
		if !ok || b == "" {
			return all, ok
		}
		all += b
	}
}

// echo answers with the arguments, as values, and reads the input of save.
func (k *fakeWorker) echo() {
	cmd := k.take()
	if cmd.Name == "" {
		return
	}
	if readsInput(cmd) {
		text, whole := k.collect(doveadmproto.ChInput)
		if !whole {
			return
		}
		cmd.Args = append(cmd.Args, text)
	}
	k.packet(doveadmproto.ChReply, values(cmd.Args...)+"\n+\n")
}

func readsInput(cmd doveadmproto.Command) bool {
	spec, words, err := command.Find(append([]string{cmd.Name}, cmd.Args...))
	if err != nil {
		return false // export
	}
	p, err := spec.Parse(words)
	return err == nil && p.ReadsInput()
}

func values(all ...string) string {
	w := ""
	for _, s := range all {
		w += strings.NewReplacer("\r", "\x01r", "\n", "\x01n").Replace(s) + "\t"
	}
	return w
}

// says makes a worker that answers with a reply stream.
func says(text string) func(*fakeWorker) {
	return func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChReply, text)
	}
}

// testClient is a scripted one.
type testClient struct {
	t testing.TB
	net.Conn
	r  *bufio.Reader
	in *doveadmproto.PacketReader
}

func (w *world) dial() *testClient {
	w.t.Helper()
	c, err := net.Dial(w.addr.Network(), w.addr.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(15 * time.Second))
	r := bufio.NewReader(c)
	return &testClient{w.t, c, r, doveadmproto.NewPacketReader(r)}
}

func (c *testClient) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// line reads a raw line.
func (c *testClient) line() string {
	s, err := c.r.ReadString('\n')
	if err == io.EOF && s == "" {
		return "EOF"
	}
	if err != nil {
		return s + " " + err.Error()
	}
	return strings.TrimSuffix(s, "\n")
}

// hello does the handshake of a client of that minor on a trusted socket.
func (w *world) hello(minor int) *testClient {
	w.t.Helper()
	c := w.dial()
	c.send(fmt.Sprintf("VERSION\tdoveadm-server\t1\t%d\n", minor))
	if minor > 0 {
		if got := c.line(); got != "VERSION\tdoveadm-client\t1\t3" {
			c.t.Fatalf("got %q", got)
		}
	}
	if got := c.line(); got != "+" {
		c.t.Fatalf("got %q, want +", got)
	}
	return c
}

// reply reads one reply: values with status, log lines, and what else came.
func (c *testClient) reply() (values, logs string) {
	c.t.Helper()
	var reply doveadmproto.ReplyReader
	for {
		p, err := c.in.Next()
		if err != nil {
			return values + "(" + err.Error() + ")", logs
		}
		switch p.Channel {
		case doveadmproto.ChLog:
			logs += string(p.Data)
			continue
		case doveadmproto.ChReply:
		default:
			logs += fmt.Sprintf("%c%s\n", p.Channel, p.Data)
			continue
		}
		values += string(p.Data)
		rest, done, err := reply.Feed(p.Data, func([]byte, bool) error { return nil })
		if err != nil || len(rest) > 0 {
			c.t.Fatalf("%q: %v, rest %q", values, err, rest)
		}
		if done {
			return values, logs
		}
	}
}

// ask sends a command and gives its reply.
func (c *testClient) ask(line string) (values, logs string) {
	c.t.Helper()
	c.send(line)
	return c.reply()
}

// closed tells whether the server has hung up.
func (c *testClient) closed() bool {
	_, err := c.in.Next()
	return err == io.EOF
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
