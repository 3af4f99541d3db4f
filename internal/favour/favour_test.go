package favour

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

func TestNobodyOutlivesItsTimeOverAStalledMaster(t *testing.T) {
	t.Parallel()
	a, b, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := fdpass.New(a, "control")
	master, _ := fdpass.New(b, "the master, which reads nothing")
	c := NewControl(conn, "lmtp-deliver")
	ended := make(chan error)
	go func() { ended <- c.Run(func() {}) }()
	ctx, cancel := context.WithCancel(context.Background())
	var asked sync.WaitGroup
	const n = 2000 // more than a socket holds
	for range n {
		asked.Go(func() {
			if _, err := c.Worker(ctx, "bob"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	until(t, "a full socket", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.sending && int(c.last) == n })
	cancel()
	asked.Wait()

	// It wakes: what was sent is taken back, and what was not is never asked for.
	asks, cancels := 0, 0
	buf := make([]byte, handoff.MaxMessage)
	c.mu.Lock()
	left := len(c.queue)
	c.mu.Unlock()
	if left == 0 {
		t.Error("nothing waited: the socket was never full")
	}
	for asks == 0 || cancels < asks {
		k, err := master.RecvPlain(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m, _ := handoff.Parse(buf[:k]); m.Kind == handoff.KindCancel {
			cancels++
		} else {
			asks++
		}
	}
	if asks == n {
		t.Errorf("all %d were asked for", n)
	}
	master.Close()
	<-ended
	conn.Close()
}

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
