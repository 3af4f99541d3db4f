package master

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
)

// testOutbox is an outbox to a child that reads nothing.
func testOutbox(t *testing.T) (*outbox, <-chan error) {
	t.Helper()
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, unix.SOCK_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := fdpass.New(ours, "control")
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan error, 2)
	o := &outbox{conn: conn, maxFDs: 3, broken: func(err error) { lost <- err }}
	t.Cleanup(func() {
		o.close()
		conn.Close()
		unix.Close(theirs)
	})
	return o, lost
}

func TestOutboxGivesUpAChildRatherThanAMessage(t *testing.T) {
	t.Parallel()
	t.Run("that lets descriptors pile up", func(t *testing.T) {
		t.Parallel()
		o, lost := testOutbox(t)
		for !o.closed {
			fd, err := unix.Dup(0)
			if err != nil {
				t.Fatal(err)
			}
			o.post(&handoff.Message{Kind: handoff.KindAnswer}, fd)
			o.mu.Lock()
			if o.fds > o.maxFDs {
				t.Errorf("%d descriptors wait, want at most %d", o.fds, o.maxFDs)
			}
			o.mu.Unlock()
		}
		if err := <-lost; !errors.Is(err, errPiledUp) {
			t.Errorf("got %v, want %v", err, errPiledUp)
		}
	})
	t.Run("that cannot be sent a descriptor", func(t *testing.T) {
		t.Parallel()
		o, lost := testOutbox(t)
		o.post(&handoff.Message{Kind: handoff.KindAnswer}, 1<<20) // EBADF stands for ETOOMANYREFS
		if err := <-lost; !errors.Is(err, unix.EBADF) {
			t.Errorf("got %v, want %v", err, unix.EBADF)
		}
		o.post(&handoff.Message{Kind: handoff.KindAnswer}, -1)
		if len(lost) != 0 {
			t.Error("told twice")
		}
	})
}

func TestABrokenChildThatHasNoPIDYetIsKilledWithIt(t *testing.T) {
	t.Parallel()
	m, _, p, _ := testWorker(t, 1)
	p.pid = 0
	m.undeliverable(p, errPiledUp)
	if !p.closed || !p.doomed {
		t.Errorf("closed %t, doomed %t: want both", p.closed, p.doomed)
	}
}
