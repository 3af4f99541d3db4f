package server

import (
	"context"
	"testing"
	"time"
)

func TestAddressesAreJudgedOneAtATime(t *testing.T) {
	t.Parallel()
	var all turns
	ctx := context.Background()
	over, end := context.WithCancel(ctx)
	end()
	first, err := all.take(ctx, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.take(over, "192.0.2.1"); err == nil {
		t.Error("two of one address are judged at a time")
	}
	other, err := all.take(over, "192.0.2.2")
	for err != nil { // select may see the end of the context first
		other, err = all.take(over, "192.0.2.2")
	}
	next := make(chan func())
	go func() {
		release, _ := all.take(ctx, "192.0.2.1")
		next <- release
	}()
	first()
	(<-next)()
	other()
	if len(all.at) != 0 {
		t.Errorf("%d addresses are kept, want none", len(all.at))
	}
}

func TestOneNetworkIsOneAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
	} {
		if got := network(tt.a) == network(tt.b); got != tt.same {
			t.Errorf("%s and %s: one %t, want %t", tt.a, tt.b, got, tt.same)
		}
	}
}

// Over several connections at once an address has no more guesses than over one.
func TestGuessesInParallel(t *testing.T) {
	t.Parallel()
	w := startOn(t, testOptions(), "tcp", Listener{})
	first, second := w.dial(), w.dial()
	first.send("VERSION\tdoveadm-server\t1\t2\n" + login("held", "x"))
	until(t, "the first guess", func() bool { return w.auth.seen() == 1 })
	second.send("VERSION\tdoveadm-server\t1\t2\n" + login("doveadm", "secretpw"))
	second.line()
	second.line()
	close(w.auth.hold)
	if got := second.line(); got != "+" {
		t.Errorf("got %q, want +", got)
	}
	if most := w.auth.most(); most != 1 {
		t.Errorf("auth judged %d of one address at a time", most)
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
