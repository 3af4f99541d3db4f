package server

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAWrongPasswordHasItsAddressWait(t *testing.T) {
	t.Parallel()
	var g guesses
	wrong, right := func() bool { return false }, func() bool { return true }
	unasked := func() bool { t.Error("a password was looked at too early"); return true }
	if ok, wait := g.try("192.0.2.1", time.Hour, wrong); ok || !wait.IsZero() {
		t.Errorf("the first: %t, %s", ok, wait)
	}
	if ok, wait := g.try("192.0.2.1", time.Hour, unasked); ok || wait.IsZero() {
		t.Errorf("the second: %t, %s", ok, wait)
	}
	if ok, _ := g.try("192.0.2.2", time.Hour, right); !ok {
		t.Error("another address waits too")
	}
	g.try("2001:db8::1", time.Hour, wrong)
	if ok, wait := g.try("2001:db8::ffff:1", time.Hour, unasked); ok || wait.IsZero() {
		t.Error("another address of one network does not wait")
	}
	if ok, _ := g.try("2001:db8:0:1::1", time.Hour, right); !ok {
		t.Error("another network waits too")
	}
	g.try("192.0.2.3", -time.Second, wrong)
	if ok, _ := g.try("192.0.2.3", time.Hour, right); !ok {
		t.Error("it waits for ever")
	}
}

func TestAddressesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	var g guesses
	for i := range maxGuessers {
		g.try(fmt.Sprint("a", i), time.Hour, func() bool { return false })
	}
	g.try("one", time.Hour, func() bool { return false })
	if _, wait := g.try("two", time.Hour, func() bool { return true }); wait.IsZero() || len(g.until) > maxGuessers+1 {
		t.Errorf("%d addresses, and one more need not wait", len(g.until))
	}
	for a := range g.until {
		g.until[a] = time.Time{}
	}
	if ok, _ := g.try("two", time.Hour, func() bool { return true }); !ok || len(g.until) > 1 {
		t.Errorf("%d addresses are kept after their time", len(g.until))
	}
}

// Over several connections at once an address has no more guesses than over one.
func TestGuessesInParallel(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.authDelay, o.AuthTimeout = time.Hour, 300*time.Millisecond
	w := startOn(t, o, "tcp", Listener{})
	const hello = "VERSION\tdoveadm-server\t1\t2\n"
	first := w.dial()
	first.send(hello + "PLAIN\tAGRvdmVhZG0AbGll\n")
	until(t, "the first guess", func() bool { return w.logged("authentication failed") })
	second := w.dial()
	second.send(hello + "PLAIN\tAGRvdmVhZG0Ac2VjcmV0cHc=\n")
	if got, err := io.ReadAll(second); err != nil || !strings.HasSuffix(string(got), "-\n-\n") {
		t.Errorf("got %q, %v", got, err)
	}
	if !w.logged("too many wrong passwords") {
		t.Error("the log does not say why")
	}
}

func TestRefusedClientsFillNoLog(t *testing.T) {
	t.Parallel()
	var r refusals
	now, logged := time.Now(), 0
	for range 3 * maxRefusals {
		if ok, _ := r.log(now); ok {
			logged++
		}
	}
	if logged != maxRefusals {
		t.Errorf("logged %d", logged)
	}
	if ok, missed := r.log(now.Add(time.Minute)); !ok || missed != 2*maxRefusals {
		t.Errorf("after a minute: %t, %d missed", ok, missed)
	}
}
