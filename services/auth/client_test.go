package auth

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culver/services/auth/attempt"
	"culver/services/auth/field"
	"culver/services/auth/sasl"
)

// judged is a judge of a few people: the password is pw, and the rest is in the
// name.
type judged struct {
	sasl.Backend
	asked
	result Result
}

func (j *judged) Subject(authcid, _ string) string { return strings.ToLower(authcid) }

func (j *judged) Verify(ctx context.Context, authcid, authzid, password string) error {
	name := strings.ToLower(authcid)
	no := &Refusal{User: name, Fields: field.List{{Key: "userdb_home", Value: "/x"}}}
	switch {
	case strings.HasPrefix(name, "down"):
		return &Refusal{User: name, Code: "temp_fail", Err: errors.New("the database is away")}
	case strings.HasPrefix(name, "odd"):
		return errors.New("something unforeseen")
	case strings.HasPrefix(name, "slow"):
		<-ctx.Done()
		return ctx.Err()
	case password != "pw":
		no.NoDelay = strings.HasPrefix(name, "quick")
		return no
	case strings.HasPrefix(name, "off"):
		no.Code = "user_disabled"
		return no
	}
	if authzid != "" && authzid != authcid {
		j.result = Result{User: authzid, Original: name, AuthUser: name, Master: name}
		if authzid == "nosuch" {
			return &Refusal{User: authzid, Code: "authz_fail", NoDelay: true}
		}
		return nil
	}
	j.result = Result{User: name, Original: authcid}
	for _, f := range map[string][]string{
		"alice": {"tag=x", "userdb_home=/x"}, "nolog": {"nologin", "reason=go away"}, "quiet": {"nologin"},
		"remote":    {"proxy=y", "host=127.0.0.9", "port=1430", "pass=remotepw"},
		"forwarded": j.forward.Wire(), "large": many(300), "long": {"a=" + strings.Repeat("x", 9000), "b=1"},
		"huge": {"a=" + strings.Repeat("x", 17000), "b=1"},
		"told": {"rip=" + j.values.RemoteIP, "lport=" + j.values.LPort, "secured=" + j.values.Secured, "cert=" + j.values.Cert, "service=" + j.values.Service, "real=" + j.values.RealRemoteIP},
	}[name] {
		j.result.Fields.Set(field.Cut(f))
	}
	return nil
}

func (j *judged) Anonymous(context.Context, string) error {
	j.result = Result{User: "anonymous", Anonymous: true}
	return nil
}

func (j *judged) Result() Result { return j.result }

func many(n int) (fields []string) {
	for i := range n {
		fields = append(fields, fmt.Sprintf("f%d=v", i))
	}
	return fields
}

// final is a mechanism that has something to say at its end, as SCRAM has: the
// data of its only step is the user.
type final struct{ b sasl.Backend }

func (f final) Step(ctx context.Context, in sasl.Input) sasl.Output {
	if in.None {
		return sasl.Output{}
	}
	if err := f.b.Verify(ctx, string(in.Data), "", "pw"); err != nil {
		return sasl.Output{Done: true, Err: err}
	}
	return sasl.Output{Done: true, Final: []byte("v=proof")}
}

// bound asks for channel binding data and takes "right".
type bound struct {
	b     sasl.Backend
	asked bool
}

func (m *bound) Step(ctx context.Context, in sasl.Input) sasl.Output {
	if !m.asked {
		m.asked = true
		return sasl.Output{Challenge: []byte("c"), BindingType: "tls-exporter"}
	}
	if string(in.Binding) != "right" {
		return sasl.Output{Done: true, Err: &Refusal{}}
	}
	return sasl.Output{Done: true, Err: m.b.Verify(ctx, "alice", "", "pw")}
}

func mechanisms() []sasl.Mechanism {
	plus := sasl.Mechanism{New: func(b sasl.Backend, _ sasl.Facts) sasl.Exchange { return &bound{b: b} }}
	plus.Name, plus.Flags, plus.Plus = "SCRAM-SHA-256-PLUS", []string{"mutual-auth", "channel-binding"}, true
	end := sasl.Mechanism{New: func(b sasl.Backend, _ sasl.Facts) sasl.Exchange { return final{b} }}
	end.Name, end.Flags = "SCRAM-SHA-256", []string{"mutual-auth"}
	plain, _ := sasl.Find("PLAIN")
	login, _ := sasl.Find("LOGIN")
	return []sasl.Mechanism{plus, end, plain, login}
}

// frontDesk is a server whose users are those of judged.
func frontDesk(logf Logf) *Server {
	return &Server{
		Judge: &attempt.Judge{},
		Logf:  logf, Mechanisms: mechanisms(), Cleartext: true, FailureDelay: 2 * time.Second,
		try: func(_ Role, a asked) Try { return &judged{asked: a} },
	}
}

// wire is the client's end of a connection.
type wire struct {
	t *testing.T
	net.Conn
	r     *bufio.Reader
	began time.Time
}

// call connects to the server through a pipe. Inside a synctest bubble its times
// are exact.
func call(t *testing.T, s *Server, role string) *wire {
	ours, theirs := net.Pipe()
	s.start(theirs, roles[role], peer{pid: 4711}, func() {})
	t.Cleanup(func() { ours.Close() })
	return &wire{t, ours, bufio.NewReader(ours), time.Now()}
}

// says reads one line; EOF is the end.
func (w *wire) says() string {
	line, err := w.r.ReadString('\n')
	if err != nil {
		return line + "EOF"
	}
	return strings.TrimSuffix(line, "\n")
}

func (w *wire) want(lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		if got := w.says(); got != want {
			w.t.Errorf("got %q, want %q", got, want)
			if strings.HasSuffix(got, "EOF") {
				return
			}
		}
	}
}

func (w *wire) say(lines ...string) {
	w.t.Helper()
	if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		w.t.Error(err)
	}
}

// greeted makes the handshake as a client of that minor and gives the cookie.
func (w *wire) greeted(minor int) (cookie string) {
	w.t.Helper()
	w.want("VERSION\t1\t4")
	go w.say(fmt.Sprintf("VERSION\t1\t%d", minor), "CPID\t4711")
	for {
		line := w.says()
		cookie, _ = strings.CutPrefix(line, "COOKIE\t")
		if strings.HasPrefix(line, "COOKIE\t") {
			w.want("DONE")
			return cookie
		}
		if strings.HasSuffix(line, "EOF") {
			w.t.Fatal("the server left in the handshake")
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func plain(authzid, authcid, password string) string {
	return b64(authzid + "\x00" + authcid + "\x00" + password)
}

// bubble runs a test in a time of its own, with a log that must show no secret.
func bubble(t *testing.T, f func(t *testing.T, h *house)) {
	t.Parallel()
	inBubble(t, f)
}

func inBubble(t *testing.T, f func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		h.Server = frontDesk(h.log)
		f(t, h)
		h.Drain(time.Hour)
		for _, secret := range []string{"pw", b64("pw"), plain("", "alice", "wrong")} {
			if strings.Contains(h.logged(), secret) {
				t.Errorf("the log has %q: %s", secret, h.logged())
			}
		}
	})
}

const (
	mechPlus  = "MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding"
	mechScram = "MECH\tSCRAM-SHA-256\tmutual-auth"
	mechPlain = "MECH\tPLAIN\tplaintext"
	mechLogin = "MECH\tLOGIN\tplaintext"
)

// TestHandshake is point 1 and 2 of the checklist: the bytes, their order, and
// what each client is told.
func TestHandshake(t *testing.T) {
	t.Parallel()
	without := []string{mechScram, mechPlain, mechLogin}
	with := append([]string{mechPlus}, without...)
	for _, tt := range []struct {
		name, role string
		minor      int // -1: it says nothing before DONE, as Exim does
		mechs      []string
		took       time.Duration
	}{
		{"Postfix, 1.0", "auth", 0, without, 0},
		{"1.1", "auth", 1, without, 0},
		{"Dovecot 2.3, 1.2", "auth", 2, without, 0},
		{"Dovecot 2.4.0, 1.3", "login", 3, with, 0},
		{"Dovecot 2.4.4, 1.4", "login", 4, with, 0},
		{"1.99 is served", "auth", 99, with, 0},
		{"Exim waits for DONE", "auth", -1, without, versionWait},
		{"auth-legacy says all at once", "auth-legacy", -1, without, 0},
		{"auth-legacy has no channel binding for anybody", "auth-legacy", 3, without, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				w := call(t, h.Server, tt.role)
				w.want("VERSION\t1\t4")
				if tt.minor >= 0 {
					go w.say(fmt.Sprintf("VERSION\t1\t%d", tt.minor), "CPID\t4711")
				}
				w.want(append(slices.Clone(tt.mechs), fmt.Sprintf("SPID\t%d", os.Getpid()), "CUID\t1")...)
				cookie, ok := strings.CutPrefix(w.says(), "COOKIE\t")
				if !ok || len(cookie) != 32 || strings.Trim(cookie, "0123456789abcdef") != "" {
					t.Errorf("cookie %q, want 32 hex digits", cookie)
				}
				w.want("DONE")
				if took := time.Since(w.began); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.minor < 0 {
					w.say("VERSION\t1\t0", "CPID\t1")
				}
				w.say("AUTH\t1\tPLAIN\tservice=smtp\tresp=" + plain("", "alice", "pw"))
				w.want("OK\t1\tuser=alice\ttag=x")
				second := call(t, h.Server, "login")
				if second.greeted(2) == cookie || h.cuids.Load() != 2 {
					t.Errorf("the second connection has the cookie of the first, or CUID %d", h.cuids.Load())
				}
			})
		})
	}
}

func TestHandshakeThatIsNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, say string }{
		{"another major", "VERSION\t2\t0\nCPID\t1"},
		{"no minor", "VERSION\t1\nCPID\t1"},
		{"a minor that is no number", "VERSION\t1\tx\nCPID\t1"},
		{"CPID first", "CPID\t1\nVERSION\t1\t0"},
		{"CPID 0", "VERSION\t1\t0\nCPID\t0"},
		{"CPID that is no number", "VERSION\t1\t0\nCPID\tx"},
		{"a request before VERSION", "AUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "alice", "wrong")},
		{"a request before CPID", "VERSION\t1\t0\nAUTH\t1\tPLAIN\tservice=x\tresp=" + plain("", "alice", "wrong")},
		{"VERSION twice", "VERSION\t1\t0\nCPID\t1\nVERSION\t1\t0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, h *house) {
				w := call(t, h.Server, "login") // the first there is, which is in no registry yet
				go io.WriteString(w, tt.say+"\n")
				for line := w.says(); line != "EOF"; line = w.says() {
					if strings.HasPrefix(line, "OK") || strings.HasPrefix(line, "FAIL") {
						t.Errorf("got %q, want the end", line)
					}
				}
			})
		})
	}
}

// goroutines counts those that serve client connections, of all tests that run.
func goroutines() (n int) {
	buf := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "auth.(*clientConn).") || strings.Contains(stack, "auth.(*exchange).") {
			n++
		}
	}
	return n
}
