package log

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culver/internal/maillog/logline"
)

// gated is an Output whose Flush waits for leave.
type gated struct {
	gate   chan struct{}
	turns  []string // who had each turn
	latest string
}

func (g *gated) Put(_ time.Time, _ logline.Level, who, _ []byte) { g.latest = string(who) }
func (g *gated) Reopen()                                         {}
func (g *gated) Flush(time.Time) {
	g.turns = append(g.turns, g.latest)
	<-g.gate
}

// endless is a child that writes without a pause.
type endless struct{ stop chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case <-e.stop:
		return 0, errStop
	default:
		return copy(p, strings.Repeat(framed(logline.Info, "", "", "flood"), len(p))), nil
	}
}

var errStop = stopError{}

type stopError struct{}

func (stopError) Error() string { return "stopped by the test" }

func TestAFloodDoesNotStallOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gated{gate: make(chan struct{})}
		w := NewWriter(out, out, out, out)
		stop := make(chan struct{})
		for _, name := range []string{"one", "two"} {
			go (&reader{pipe: endless{stop}, from: Source{PID: 1, Service: name}, out: w}).run()
		}
		synctest.Wait() // one has the turn, the other waits
		for range 50 {
			out.gate <- struct{}{}
			synctest.Wait()
		}
		before := len(out.turns)
		quiet := strings.NewReader(framed(logline.Info, "", "", "x"))
		go (&reader{pipe: quiet, from: Source{PID: 2, Service: "quiet"}, out: w}).run()
		synctest.Wait() // quiet waits behind the one that waited before
		for range 3 {
			out.gate <- struct{}{}
			synctest.Wait()
		}
		after := strings.Join(out.turns[before:], "")
		if !strings.Contains(after, "quiet(2): ") {
			t.Errorf("quiet had none of these turns: %s", after)
		}
		close(stop)
		close(out.gate)
	})
}

func TestFloodWarning(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	f := flood{}
	for _, step := range []struct {
		at   time.Duration
		full bool
		want bool
	}{
		{0, true, false},
		{900 * time.Millisecond, true, false},
		{1 * time.Second, true, true},
		{2 * time.Second, true, false}, // said so less than a minute ago
		{3 * time.Second, false, false},
		{61 * time.Second, true, false}, // a new flood has to last as well
		{62 * time.Second, true, true},
	} {
		if got := f.warns(step.full, start.Add(step.at)); got != step.want {
			t.Errorf("at %v, full %v: got %v, want %v", step.at, step.full, got, step.want)
		}
	}
}
