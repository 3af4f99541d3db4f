package brain

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailtest"
	"culver/services/doveadm/command"
)

// asked is one command that a fake server was sent.
type asked struct {
	doveadmproto.Command
	input string
	conn  int
	reply *doveadmproto.ReplyWriter
	raw   net.Conn
	stop  <-chan struct{} // closed by CANCEL
}

func (a *asked) log(level byte, text string) {
	a.raw.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChLog, doveadmproto.AppendLog(nil, level, "", text)))
}

func (a *asked) touched(n int) {
	a.raw.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChTouched, fmt.Append(nil, n)))
}

// hangUp as a handler's answer ends the connection without a status.
const hangUp = -1

// fakeServer is a doveadm server whose commands are a function.
type fakeServer struct {
	t      testing.TB
	socket string
	handle func(a *asked) int
	reads  bool // commands are followed by an input

	mu    sync.Mutex
	conns int
	users []string // in the order of arrival
	args  []string
}

func newFakeServer(t testing.TB, handle func(a *asked) int) *fakeServer {
	t.Helper()
	s := &fakeServer{t: t, handle: handle}
	s.socket = mailtest.Listen(t, "s", s.serve)
	return s
}

func (s *fakeServer) serve(c net.Conn) {
	s.mu.Lock()
	n := s.conns
	s.conns++
	s.mu.Unlock()
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "VERSION\t") {
		return
	}
	io.WriteString(c, doveadmproto.ServerVersion+"+\n")
	cancel := make(chan struct{})
	commands := make(chan *asked)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		defer close(commands)
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			cmd, err := doveadmproto.ParseCommand(line, doveadmproto.MinorAnnounced)
			if err != nil {
				return
			}
			switch cmd.Name {
			case doveadmproto.NameOption:
				continue
			case doveadmproto.NameCancel:
				close(cancel)
				continue
			}
			a := &asked{Command: cmd, conn: n, raw: c, stop: cancel}
			if s.reads {
				b, err := io.ReadAll(doveadmproto.NewDotReader(r))
				if err != nil {
					return
				}
				a.input = string(b)
			}
			select {
			case commands <- a:
			case <-ended:
				return
			}
		}
	}()
	for a := range commands {
		s.mu.Lock()
		s.users = append(s.users, a.User)
		s.args = append(s.args, a.Name+" "+strings.Join(a.Args, " "))
		s.mu.Unlock()
		a.reply = doveadmproto.NewReplyWriter(func(b []byte) error {
			_, err := c.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChReply, b))
			return err
		})
		code := s.handle(a)
		if code == hangUp {
			a.reply.Flush()
			return
		}
		if a.reply.Status(doveadmproto.StatusText(code, doveadmproto.MinorOwn)) != nil {
			return
		}
	}
}

// fakeAuth lists users.
func fakeAuth(t testing.TB, list func(yield func(name string) bool) bool) string {
	t.Helper()
	return mailtest.Listen(t, "a", func(c net.Conn) {
		w := bufio.NewWriter(c)
		fmt.Fprintf(w, "VERSION\t1\t1\nSPID\t1\n")
		w.Flush()
		r := bufio.NewScanner(c)
		for r.Scan() {
			f := strings.Split(r.Text(), "\t")
			if f[0] != "LIST" {
				continue
			}
			ok := list(func(name string) bool {
				_, err := fmt.Fprintf(w, "LIST\t%s\t%s\n", f[1], name)
				return err == nil
			})
			fmt.Fprintf(w, "DONE\t%s", f[1])
			if !ok {
				fmt.Fprint(w, "\tfail")
			}
			fmt.Fprint(w, "\n")
			w.Flush()
		}
	})
}

func names(all ...string) func(func(string) bool) bool {
	return func(yield func(string) bool) bool {
		for _, n := range all {
			if !yield(n) {
				return false
			}
		}
		return true
	}
}

// ran is what a command gave.
type ran struct {
	code      int
	out, errs string
}

// locked is a buffer that several goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var testNow = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// doveadm runs a command line.
func doveadm(t testing.TB, g Global, words ...string) ran {
	t.Helper()
	var out, errs locked
	if g.Out == nil {
		g.Out = &out
	}
	if g.Err == nil {
		g.Err = &errs
	}
	if g.Now.IsZero() {
		g.Now = testNow
	}
	if g.Settings.Workers == 0 {
		g.Settings.Workers = 4
	}
	spec, rest, err := command.Find(words)
	if err != nil {
		t.Fatal(err)
	}
	p, err := spec.Parse(rest)
	if err != nil {
		return ran{64, "", err.Error()}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := Execute(ctx, g, p)
	return ran{code, out.String(), errs.String()}
}
