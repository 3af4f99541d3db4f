package master

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/masterproto"
	"culver/internal/settings"
	"culver/internal/settings/finished"
	"culver/master/roster"
)

func TestControlSocketIsOursAlone(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for range 2 { // the second one finds what a killed master left
		l, err := openControl(base)
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		info, err := os.Lstat(filepath.Join(base, "master"))
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("got %v, %v", info.Mode(), err)
		}
		l.Close()
	}
}

func TestControlSocketTakesNobodysPlaceButItsOwn(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	file := filepath.Join(base, "master")
	if err := os.WriteFile(file, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := openControl(base); err == nil {
		l.Close()
		t.Error("it is there")
	}
	if text, err := os.ReadFile(file); string(text) != "notes" {
		t.Errorf("the file: got %q, %v", text, err)
	}
}

// administered is a master of one worker, in a loop of its own, and a client.
func administered(t *testing.T, service string) (*Master, *workers, *post, *masterproto.Client) {
	t.Helper()
	m, w, p, o := testWorker(t, 1)
	p.service, w.logName, w.class = service, service, service
	m.children[p.pid] = p
	delete(m.births, p)
	m.cfg = &settings.Config{Global: finished.Bag{"ssl": "no"}, Services: []settings.Service{
		{Name: "auth", Limits: settings.Limits{Processes: 1}, Unix: []settings.UnixListener{{Path: "/nowhere"}}},
		{Name: service, Limits: settings.Limits{Processes: 4, Clients: 9}},
		{Name: "stats"},
	}}
	m.gen = &generation{pools: map[string]*workers{workerPrograms[service]: w}, stopped: map[string]bool{},
		daemons: []*daemon{{name: "auth", backoff: roster.Backoff{}}}}
	m.opts.Load = func() (*settings.Config, error) {
		return nil, errors.New("a.conf:1:1: first\na.conf:2:1: second")
	}
	base := t.TempDir()
	l, err := openControl(base)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { l.Close(); close(over) })
	go m.administrate(l)
	go func() {
		for {
			select {
			case f := <-m.loop:
				f()
			case <-over:
				return
			}
		}
	}()
	c, err := masterproto.Dial(context.Background(), base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return m, w, o, c
}

// within runs f in the master's loop.
func within(m *Master, f func()) {
	done := make(chan struct{})
	m.do(func() { f(); close(done) })
	<-done
}

func TestAdministratorSeesServicesProcessesAndAccesses(t *testing.T) {
	t.Parallel()
	m, _, _, c := administered(t, "doveadm")
	within(m, func() {
		m.tally("doveadm").fail(time.Unix(1795450000, 1), "pid 5: killed with signal 9")
		m.tally("doveadm").fail(time.Unix(1795450000, 2), "pid 6: killed with signal 9")
		m.gen.daemons[0].backoff.Fail(time.Now())
	})
	services, err := c.Services()
	if err != nil || len(services) != 2 {
		t.Fatalf("got %+v, %v: want those that this version starts", services, err)
	}
	if s := services[0]; s.Name != "auth" || !s.Listening || s.Throttle <= 0 || !s.ListenPending {
		t.Errorf("auth, which is throttled: got %+v", s)
	}
	if s := services[1]; s.Processes != 1 || s.ProcessLimit != 4 || s.ClientLimit != 9 || s.FailuresInSecond != 2 || !strings.Contains(s.FailureText, "pid 6") {
		t.Errorf("doveadm, with a worker: got %+v", s)
	}
	processes, err := c.Processes("doveadm")
	if err != nil || len(processes) != 1 || processes[0].PID != 1<<30 {
		t.Errorf("got %+v, %v", processes, err)
	}
	who, err := c.Accesses()
	if err != nil || len(who) != 1 || who[0].User != "ann" || who[0].PID != 1<<30 || time.Since(who[0].Since) > time.Hour {
		t.Errorf("got %+v, %v", who, err)
	}
}

func TestKickEndsOneAccessAndNoOther(t *testing.T) {
	t.Parallel()
	for service, signalled := range map[string]bool{"lmtp": false, "doveadm": true} { // a delivery finishes
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			m, _, o, c := administered(t, service)
			for _, a := range []masterproto.Access{{User: "bob", PID: 1 << 30}, {User: "ann", PID: 1<<30 + 1}, {User: "", PID: 1 << 30}} {
				if err := c.Kick(a); err != masterproto.ErrNotFound {
					t.Errorf("%+v: got %v", a, err)
				}
			}
			who, err := c.Accesses()
			if err != nil || len(who) != 1 {
				t.Fatalf("got %+v, %v", who, err)
			}
			if err := c.Kick(who[0]); err != nil {
				t.Fatal(err)
			}
			within(m, func() { // the pid is nobody's: no signal reaches anything
				a := m.serving[o.request]
				if !a.p.draining || a.p.killed.IsZero() == signalled {
					t.Errorf("draining %t, signalled %v: want no further access, and a signal: %t", a.p.draining, a.p.killed, signalled)
				}
			})
		})
	}
}

func TestReloadTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, _, _, c := administered(t, "lmtp")
	var refused *masterproto.Refused
	if err := c.Reload(); !errors.As(err, &refused) || len(refused.Problems) != 2 || refused.Problems[1] != "a.conf:2:1: second" {
		t.Errorf("got %v", err)
	}
}

func TestServiceThatIsStopped(t *testing.T) {
	t.Parallel()
	_, _, _, c := administered(t, "lmtp")
	for name, want := range map[string]error{"imap": masterproto.ErrNotFound, "stats": masterproto.ErrNotFound, "": masterproto.ErrNotFound} {
		if err := c.StopService(name); err != want {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := c.StopService("lmtp"); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Services("lmtp"); err != nil || !s[0].Stopped || s[0].Listening {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestWhatIsNoOrderEndsTheConnection(t *testing.T) {
	t.Parallel()
	m := &Master{loop: make(chan func(), 8)}
	m.log = slog.New(slog.DiscardHandler)
	base := t.TempDir()
	l, err := openControl(base)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go m.administrate(l)
	for name, packet := range map[string][]byte{"unknown": {99}, "too long": make([]byte, 4096)} {
		conn, err := net.Dial("unixpacket", filepath.Join(base, "master"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(packet)
		if n, err := conn.Read(make([]byte, 64)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %d bytes, %v, want the end", name, n, err)
		}
		conn.Close()
	}
}
