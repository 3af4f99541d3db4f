package masterproto

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// serve answers each order with the packets that reply gives for it, nil being
// the end.
func serve(t *testing.T, reply func(Order) []Answer) *Client {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, SocketName), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, MaxOrder+1)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			o, err := ParseOrder(buf[:n])
			if err != nil {
				t.Error(err)
			}
			all := reply(o)
			for _, a := range all {
				conn.Write(a.Append(nil))
			}
			if all == nil || o.Kind == KindStop {
				return
			}
		}
	}()
	c, err := Dial(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func done(code Code) Answer { return Answer{Kind: KindDone, Code: code} }

func TestClientReadsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	lmtp, auth := Service{Name: "lmtp"}, Service{Name: "auth", Listening: true}
	c := serve(t, func(o Order) []Answer {
		switch o.Kind {
		case KindServices:
			return []Answer{{Kind: KindService, Service: auth}, {Kind: KindService, Service: lmtp}, done(CodeOK)}
		case KindProcesses:
			return []Answer{{Kind: KindProcess, Process: Process{Service: "lmtp", PID: 5}}, {Kind: KindProcess, Process: Process{Service: "log", PID: 6}}, done(CodeOK)}
		case KindAccesses:
			return []Answer{{Kind: KindAccess, Access: Access{User: "bob", PID: 5}}, done(CodeOK)}
		}
		return nil
	})
	if got, err := c.Services(); err != nil || !reflect.DeepEqual(got, []Service{auth, lmtp}) {
		t.Errorf("services: got %+v, %v", got, err)
	}
	if got, err := c.Services("lmtp", "imap"); err != nil || !reflect.DeepEqual(got, []Service{lmtp}) {
		t.Errorf("one service: got %+v, %v", got, err)
	}
	if got, err := c.Processes("log"); err != nil || len(got) != 1 || got[0].PID != 6 {
		t.Errorf("processes: got %+v, %v", got, err)
	}
	if got, err := c.Accesses(); err != nil || len(got) != 1 || got[0].User != "bob" {
		t.Errorf("accesses: got %+v, %v", got, err)
	}
}

func TestClientToldThatItWasNotDone(t *testing.T) {
	t.Parallel()
	problem := func(s string) Answer { return Answer{Kind: KindProblem, Problem: s} }
	for _, tt := range []struct {
		name  string
		reply []Answer
		ok    func(error) bool
	}{
		{"no such thing", []Answer{done(CodeNotFound)}, func(err error) bool { return err == ErrNotFound }},
		{"refused, and why", []Answer{problem("a.conf:1:1: x"), problem("a.conf:2:1: y"), done(CodeRefused)}, func(err error) bool {
			var r *Refused
			return errors.As(err, &r) && r.Error() == "a.conf:1:1: x\na.conf:2:1: y"
		}},
		{"a code of a later version", []Answer{done(99)}, func(err error) bool { return errors.As(err, new(*Refused)) }},
		{"an answer to something else", []Answer{{Kind: KindAccess, Access: Access{PID: 5}}}, func(err error) bool { return err == ErrMessage }},
		{"the end of the master", nil, func(err error) bool { return err == ErrNotRunning }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, func(Order) []Answer { return tt.reply })
			if err := c.Reload(); err == nil || !tt.ok(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestKickNamesTheAccess(t *testing.T) {
	t.Parallel()
	got := make(chan Order, 1)
	c := serve(t, func(o Order) []Answer { got <- o; return []Answer{done(CodeOK)} })
	if err := c.Kick(Access{User: "bob", Service: "lmtp", PID: 5}); err != nil {
		t.Fatal(err)
	}
	if o := <-got; o != (Order{Kind: KindKick, PID: 5, User: "bob"}) {
		t.Errorf("got %+v", o)
	}
	if err := c.Kick(Access{User: strings.Repeat("u", MaxUser+1), PID: 5}); err != ErrNotFound {
		t.Errorf("a name that nobody has: got %v", err)
	}
}

func TestStopWaitsForTheEnd(t *testing.T) {
	t.Parallel()
	for _, reply := range [][]Answer{{done(CodeOK)}, nil} { // serve closes after either
		c := serve(t, func(Order) []Answer { return reply })
		if err := c.Stop(context.Background()); err != nil {
			t.Errorf("after %v: got %v", reply, err)
		}
	}
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		theirs.Read(make([]byte, MaxOrder))
		d := done(CodeOK)
		theirs.Write(d.Append(nil))
		cancel() // and no end
	}()
	if err := NewClient(ours).Stop(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := Dial(ctx, t.TempDir()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}
