package brain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"culver/internal/authproto"
	"culver/internal/backend"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

// routed is a run over users on servers of a test's own.
type routed struct {
	*run
	out, errs locked

	mu   sync.Mutex
	sent map[string][]string // by server: the users' names as they were sent
}

func newRouted(t *testing.T, users int, where func(user string) (map[string]string, error), dial func(at backend.Target) (link, error)) *routed {
	t.Helper()
	w := &routed{sent: map[string][]string{}}
	printer, err := format.New("flow", &w.out, []command.Column{{Key: "x", Hide: true}}, format.Options{Users: true})
	if err != nil {
		t.Fatal(err)
	}
	w.run = &run{
		g: &Global{Err: &w.errs}, name: "expunge", many: true, steps: []step{{}},
		out:   newOutput(printer, 1, newTurns(false, newRoom(2), 8)),
		tally: &tally{began: time.Now()}, show: newEvents(io.Discard),
		links: map[link]bool{}, begun: map[int64]string{}, stopping: make(chan struct{}),
	}
	w.feed = func(_ context.Context, each func(job) error) error {
		for i := range users {
			if err := each(job{user: fmt.Sprintf("u%d", i), steps: w.steps}); err != nil {
				return err
			}
		}
		return nil
	}
	open := func(at backend.Target) (*lane, error) {
		var now time.Time
		var mu sync.Mutex
		return w.newLane(&server{name: at.Address, at: at,
			dial: func(context.Context) (link, error) { return dial(at) },
			now:  func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
			wait: func(context.Context, time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Second) },
		}, 2), nil
	}
	w.first, _ = open(backend.Target{Address: "/local"})
	w.sites = sites{open: open, named: map[string]int{"known": 0}}
	w.router = &router{port: 24245,
		lookup: func(_ context.Context, user string) (map[string]string, error) { return where(user) }}
	return w
}

// remember is a link that notes whom it was asked for.
func (w *routed) remember(at backend.Target) link {
	return &stubLink{run: func(cmd doveadmproto.Command) (int, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent[at.Address] = append(w.sent[at.Address], cmd.User)
		return 0, nil
	}}
}

type stubLink struct {
	run      func(doveadmproto.Command) (int, error)
	referral string
}

func (l *stubLink) Run(_ context.Context, cmd doveadmproto.Command, _ io.Reader, _ doveadmproto.Sink) (int, error) {
	return l.run(cmd)
}
func (*stubLink) Minor() int         { return doveadmproto.MinorAnnounced }
func (l *stubLink) Referral() string { return l.referral }
func (*stubLink) Cancel() error      { return nil }
func (*stubLink) Close() error       { return nil }

// modulo spreads users over hosts by their number.
func modulo(hosts ...string) func(string) (map[string]string, error) {
	return func(user string) (map[string]string, error) {
		var n int
		fmt.Sscanf(user, "u%d", &n)
		if h := hosts[n%len(hosts)]; h != "" {
			return map[string]string{"user": user, "proxy": "y", "host": h}, nil
		}
		return nil, authproto.ErrNotFound
	}
}

func TestUsersAreSentWhereTheyAre(t *testing.T) {
	t.Parallel()
	var w *routed
	w = newRouted(t, 9, modulo("", "b", "c"), func(at backend.Target) (link, error) { return w.remember(at), nil })
	if code := w.run.run(t.Context()); code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, at := range []string{"/local", "b:24245", "c:24245"} {
		if len(w.sent[at]) != 3 {
			t.Errorf("%s got %v, want three of nine", at, w.sent[at])
		}
	}
}

// TestAServerThatIsAwayHoldsUpNobody: the others' users are all done before its
// first dial ends; its own are more than memory holds of them.
func TestAServerThatIsAwayHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const users = 6*maxWaiting + 12
	others := make(chan struct{})
	var left sync.WaitGroup
	left.Add(users / 2)
	go func() { left.Wait(); close(others) }()
	var w *routed
	w = newRouted(t, users, modulo("", "away"), func(at backend.Target) (link, error) {
		if at.Host == "away" {
			<-others
			return nil, errors.New("connection refused")
		}
		l := w.remember(at)
		return &stubLink{run: func(cmd doveadmproto.Command) (int, error) {
			defer left.Done()
			return l.(*stubLink).run(cmd)
		}}, nil
	})
	code := w.run.run(t.Context())
	s := w.tally.sum()
	if code != doveadmproto.TempFail || s.ok != users/2 || s.bad != users/2 {
		t.Errorf("exit %d, %d ok, %d failed, want 75 and half of %d each", code, s.ok, s.bad, users)
	}
}

func TestWhatThePassdbSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields map[string]string
		err    error
		server string // "" is none
		as     string
	}{
		{"nothing of a proxy", map[string]string{"user": "u0", "host": "b"}, nil, "/local", "u0"},
		{"not known to the passdb", nil, authproto.ErrNotFound, "/local", "u0"},
		{"a host", map[string]string{"user": "u0", "proxy": "yes", "host": "b"}, nil, "b:24245", "u0"},
		{"another port", map[string]string{"proxy": "yes", "host": "b", "port": "99"}, nil, "b:99", "u0"},
		{"an address beside the name", map[string]string{"proxy": "yes", "host": "b", "hostip": "2001:db8::1"}, nil, "[2001:db8::1]:24245", "u0"},
		{"another name there", map[string]string{"user": "u0", "proxy": "yes", "host": "b", "destuser": "other"}, nil, "b:24245", "other"},
		{"no host", map[string]string{"proxy": "yes"}, nil, "", ""},
		{"a port that is none", map[string]string{"proxy": "yes", "host": "b", "port": "0"}, nil, "", ""},
		{"a word for ssl that is none", map[string]string{"proxy": "yes", "host": "b", "ssl": "perhaps"}, nil, "", ""},
		{"nothing, for auth is away", nil, &authproto.Tempfail{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w *routed
			w = newRouted(t, 1, func(string) (map[string]string, error) { return tt.fields, tt.err },
				func(at backend.Target) (link, error) { return w.remember(at), nil })
			code := w.run.run(t.Context())
			if got := strings.Join(w.sent[tt.server], " "); got != tt.as || (code == 0) != (tt.server != "") {
				t.Errorf("exit %d, sent %v, want %s to %s", code, w.sent, tt.as, tt.server)
			}
		})
	}
}

// TestReferrals: each server refers to the next one.
func TestReferrals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		says  map[string]string // by server
		sent  map[string]string
		code  int
		blame string
	}{
		{"to a server that a block names", map[string]string{"/local": "u0@known"}, map[string]string{"known:24245": "u0"}, 0, ""},
		{"with a port and another name", map[string]string{"/local": "other@example.org@known:99"}, map[string]string{"known:99": "other@example.org"}, 0, ""},
		{"to one of which nobody has heard", map[string]string{"/local": "u0@evil.example"}, nil, 75, "no doveadm_server block"},
		{"in a circle", map[string]string{"/local": "u0@known", "known:24245": "u0@known"}, nil, 75, "u0@known"},
		{"to nowhere", map[string]string{"/local": "nonsense"}, nil, 75, "nonsense"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var w *routed
			w = newRouted(t, 1, func(string) (map[string]string, error) { return nil, authproto.ErrNotFound }, func(at backend.Target) (link, error) {
				to := tt.says[at.Address]
				l := w.remember(at)
				return &stubLink{referral: to, run: func(cmd doveadmproto.Command) (int, error) {
					if to != "" {
						return doveadmproto.Referral, nil
					}
					return l.(*stubLink).run(cmd)
				}}, nil
			})
			var failed strings.Builder
			w.show = &blamed{w.show, &failed}
			code := w.run.run(t.Context())
			if code != tt.code || !strings.Contains(failed.String(), tt.blame) || len(w.sent) != len(tt.sent) {
				t.Errorf("exit %d, sent %v, %q; want %d, %v, %q", code, w.sent, failed.String(), tt.code, tt.sent, tt.blame)
			}
			for at, user := range tt.sent {
				if got := strings.Join(w.sent[at], " "); got != user {
					t.Errorf("%s got %q, want %q", at, got, user)
				}
			}
		})
	}
}

// blamed keeps what is said of users.
type blamed struct {
	display
	text *strings.Builder
}

func (b *blamed) log(_ string, _ byte, text string) { b.text.WriteString(text) }
