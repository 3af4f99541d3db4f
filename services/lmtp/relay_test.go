package lmtp

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
)

// two is a transaction with a first and a second recipient up to its dot.
func two(a, b string) string {
	return `
		C LHLO mx
		S 250-vm
		S 250-8BITMIME
		S 250-CHUNKING
		S 250-ENHANCEDSTATUSCODES
		S 250-PIPELINING
		S 250-SIZE 1048576
		S 250 SMTPUTF8
		C MAIL FROM:<>
		C RCPT TO:<` + a + `>
		C RCPT TO:<` + b + `>
		C DATA
		S 250 2.1.0 OK
		S 250 2.1.5 OK
		S 250 2.1.5 OK
		S 354 OK
		C Subject: x
		C .
	`
}

func TestAHostileWorkerHurtsItsUserAlone(t *testing.T) {
	t.Parallel()
	const rcpt = opening + "250 2.1.5 OK\r\n"
	for _, tt := range []struct {
		name string
		play func(*fakeWorker)
		want string
	}{
		{"garbage", says(strings.Repeat("\x00\xff garbage", 100) + "\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"too much", says("220 " + strings.Repeat("x", 1<<20)), "451 4.3.0 <evil@x> Temporary internal error"},
		{"lines without end", says(strings.Repeat("220-x\r\n", 200000)), "451 4.3.0 <evil@x> Temporary internal error"},
		{"nothing", says(""), "451 4.3.0 <evil@x> Temporary internal error"},
		{"death before it reads", func(*fakeWorker) {}, "451 4.3.0 <evil@x> Temporary internal error"},
		{"half a reply", says(rcpt + "250 2.0.0 <evil@x> Sav"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"death after RCPT", says(rcpt), "451 4.3.0 <evil@x> Temporary internal error"},
		{"a 421, which would end the session", says(rcpt + "421 4.3.2 Bye\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"a 354, which would make the MTA send", says(rcpt + "354 go\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"a 503, which would count against the MTA", says(rcpt + "503 5.5.0 no\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"several lines, which would count as several replies", says(rcpt + "250-a\r\n250 b\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"another's address, a bell and a terminal's code", says(rcpt + "550 5.7.1 <bob@x>\a\x1b[2J\xff\r\n"), "550 5.7.1 <evil@x> <bob@x>??[2J?"},
		{"a refusing greeting is no verdict on the recipient", says("554 5.0.0 go away\r\n"), "451 4.3.0 <evil@x> Temporary internal error"},
		{"a refused RCPT is", says(opening + "552 5.2.2 <evil@x> Quota exceeded\r\n503 5.5.0 x\r\n221 Bye\r\n"), "552 5.2.2 <evil@x> Quota exceeded"},
		{"a temporary one, without enhanced code", says(rcpt + "451 later\r\n"), "451 4.0.0 <evil@x> later"},
		{"a descriptor of its own", func(k *fakeWorker) {
			k.take()
			null, _ := os.Open("/dev/null")
			defer null.Close()
			k.Send([]byte(rcpt+"250 2.0.0 <evil@x> s Saved\r\n"), int(null.Fd()))
		}, "250 2.0.0 <evil@x> s Saved"},
		{"answers before it was asked, and hangs up", func(k *fakeWorker) {
			io.WriteString(k, rcpt+"250 2.0.0 <evil@x> s Saved\r\n")
		}, "250 2.0.0 <evil@x> s Saved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions(t), "unix", Listener{})
			w.play["evil@x"] = tt.play
			w.dial().run("S 220 *" + two("evil@x", "bob@x") +
				"S " + tt.want + "\nS 250 2.0.0 <bob@x> SID:R2 Saved\nC NOOP\nS 250 2.0.0 OK")
		})
	}
}

func TestAWorkerThatHangsMeetsTheDeadline(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.DeliveryTimeout = 100 * time.Millisecond
	w := start(t, o, "unix", Listener{})
	hang := make(chan struct{})
	defer close(hang)
	w.play["evil@x"] = func(k *fakeWorker) { k.take(); <-hang }
	w.refuse["slow@x"] = handoff.Message{Code: handoff.CodeOK} // and no answer ever
	w.dial().run("S 220 *" + two("evil@x", "slow@x") + `
		S 451 4.3.0 <evil@x> Temporary internal error
		S 451 4.3.0 <slow@x> Temporary internal error
		C NOOP
		S 250 2.0.0 OK`)
	until(t, "Cancel", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.cancelled == 1 })
}

func TestTheMastersRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer handoff.Message
		want   string
	}{
		{"no user", handoff.Message{Code: handoff.CodeNoUser}, "451 4.3.0 <evil@x> Temporary internal error"},
		{"temporary", handoff.Message{Code: handoff.CodeTempfail, Text: "auth is down"}, "451 4.3.0 <evil@x> Temporary internal error"},
		{"per user", handoff.Message{Code: handoff.CodeLimit, Setting: "lmtp_user_concurrency_limit"},
			"451 4.3.0 <evil@x> Too many concurrent deliveries for user (lmtp_user_concurrency_limit)"},
		{"another limit", handoff.Message{Code: handoff.CodeLimit, Setting: "process_limit"},
			"451 4.3.2 <evil@x> Limit reached, try again later (process_limit)"},
		{"forbidden", handoff.Message{Code: handoff.CodeForbidden}, "451 4.3.0 <evil@x> Temporary internal error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions(t), "unix", Listener{})
			w.refuse["evil@x"] = tt.answer
			w.dial().run("S 220 *" + two("evil@x", "bob@x") + "S " + tt.want + "\nS 250 2.0.0 <bob@x> SID:R2 Saved")
		})
	}
}

func TestTheFirstIsAnsweredBeforeTheSecondIsDone(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	answered := make(chan struct{})
	w.play["slow@x"] = func(k *fakeWorker) {
		<-answered
		k.good()
	}
	c := w.dial()
	c.run("S 220 *" + two("bob@x", "slow@x") + "S 250 2.0.0 <bob@x> SID Saved")
	close(answered)
	c.run("S 250 2.0.0 <slow@x> SID:R2 Saved")
}

func TestTheSecondWaitsForTheFirstsReply(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	second := make(chan struct{})
	w.play["slow@x"] = func(k *fakeWorker) {
		<-second
		k.good()
	}
	w.play["bob@x"] = func(k *fakeWorker) {
		k.good()
		close(second)
	}
	w.dial().run("S 220 *" + two("slow@x", "bob@x") + `
		S 250 2.0.0 <slow@x> SID Saved
		S 250 2.0.0 <bob@x> SID:R2 Saved`)
}

func TestLookupsOfOneBurstRunSideBySide(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	here := make(chan struct{}, 2)
	both := make(chan struct{})
	w.lookups = func(string) {
		here <- struct{}{}
		if len(here) == cap(here) {
			close(both)
		}
		<-both // neither ends before both have begun
	}
	w.dial().run("S 220 *" + two("bob@x", "alice@x"))
}

func TestARepeatedRecipientIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	w.dial().run("S 220 *" + two("bob@x", "bob@x") + "S 250 2.0.0 <bob@x> SID Saved\nS 250 2.0.0 <bob@x> SID Saved")
	if n := len(w.got()); n != 1 {
		t.Errorf("delivered %d times, want once", n)
	}
}

func TestQuotaIsAskedAtRCPT(t *testing.T) {
	t.Parallel()
	o := testOptions(t)
	o.CheckQuota = true
	w := start(t, o, "unix", Listener{})
	w.play["full@x"] = says(opening + "552 5.2.2 <full@x> Quota exceeded (mailbox for user is full)\r\n221 Bye\r\n")
	w.dial().run(`
		S 220 *
		C MAIL FROM:<> SIZE=77
		C RCPT TO:<full@x>
		C RCPT TO:<bob@x>
		S 250 2.1.0 OK
		S 552 5.2.2 <full@x> Quota exceeded (mailbox for user is full)
		S 250 2.1.5 OK`)
	for _, a := range w.got() {
		if strings.Contains(a.commands, "XFD") || !strings.Contains(a.commands, " SIZE=77") {
			t.Errorf("got %q, want SIZE=77 and no XFD", a.commands)
		}
	}
}

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE

func TestWhatIsPassedCannotBeChanged(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{}) // memory up to 8 KiB
	c := w.dial()
	c.run("S 220 *")
	for _, size := range []int{2, 8 << 10, 8<<10 + 1, 300 << 10} {
		body := strings.Repeat("x", size-2) // and CRLF
		c.run("C MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC " + body + "\nC .\nS 250 2.0.0 <bob@x> *")
		got := w.got()
		a := got[len(got)-1]
		if a.body != body+"\r\n" {
			t.Errorf("%d bytes: got %d", size, len(a.body))
		}
		if size <= 8<<10 {
			if a.seals != allSeals {
				t.Errorf("%d bytes: got seals %#x, want %#x", size, a.seals, allSeals)
			}
		} else if a.flags&unix.O_ACCMODE != unix.O_RDONLY || a.seals > 0 {
			t.Errorf("%d bytes: got flags %#x, want read-only on disk", size, a.flags)
		}
	}
	if left, _ := os.ReadDir(w.front.SpoolDir); len(left) > 0 {
		t.Errorf("spool_dir has names: %v", left)
	}
	c.run("C NOOP\nS 250 *")
	if n := w.spooled(); n != 0 {
		t.Errorf("%d bytes of the budget were not given back", n)
	}
}

func TestSpoolFailures(t *testing.T) {
	t.Parallel()
	t.Run("the directory is missing", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.SpoolDir += "/missing"
		w := start(t, o, "unix", Listener{})
		w.dial().run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC " +
			strings.Repeat("x", 9000) + "\nC .\nS 451 4.3.0 <bob@x> Temporary internal error\nC NOOP\nS 250 *")
		if !w.logged("spool_dir") {
			t.Error("the log does not name spool_dir")
		}
	})
	t.Run("spool_limit is full of another's message", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.SpoolLimit = spoolStep
		w := start(t, o, "unix", Listener{})
		first, second := w.dial(), w.dial()
		begin := "S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\n"
		first.run(begin + "S 354 OK")
		second.run(begin + "S 452 4.3.1 Insufficient room for messages (spool_limit)")
		first.run("C .\nS 250 *")
		second.run("C MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 OK\nC .\nS 250 *")
	})
	t.Run("a size beyond all numbers", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.MaxSize = 0
		w := start(t, o, "unix", Listener{})
		for _, size := range []string{"9223372036854775807", "9223372036854710271"} {
			w.dial().run("S 220 *\nC MAIL FROM:<> SIZE=" + size + "\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 452 4.3.1 *")
			if n := w.spooled(); n != 0 {
				t.Errorf("SIZE=%s: %d bytes reserved, want none", size, n)
			}
		}
	})
	t.Run("spool_limit in the middle of a message", func(t *testing.T) {
		t.Parallel()
		o := testOptions(t)
		o.SpoolLimit = spoolStep
		w := start(t, o, "unix", Listener{})
		c := w.dial()
		c.run("S 220 *\nC MAIL FROM:<>\nC RCPT TO:<bob@x>\nC DATA\nS 250 *\nS 250 *\nS 354 *\nC " + strings.Repeat("x", spoolStep))
		until(t, "the room back before the dot", func() bool { return w.spooled() == 0 })
		c.run("C .\nS 452 4.3.1 <bob@x> Insufficient room for messages (spool_limit)\nC NOOP\nS 250 *")
	})
}

func TestTheBudgetServesInOrder(t *testing.T) {
	t.Parallel()
	b := newBudget(10, 1, time.Minute)
	if err := b.take(8); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- b.take(5) }()
	until(t, "one waits", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == 1 })
	// It would fit, but not before who came first; and the queue is full.
	if err := b.take(1); err != errSpoolLimit {
		t.Errorf("got %v, want %v", err, errSpoolLimit)
	}
	b.give(8)
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if err := b.take(11); err != errSpoolLimit {
		t.Errorf("more than there ever is: got %v, want %v", err, errSpoolLimit)
	}
}

func TestLimitsAreWarningsAndOtherRefusalsErrors(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions(t), "unix", Listener{})
	w.refuse["full@x"] = handoff.Message{Code: handoff.CodeLimit, Setting: "process_limit"}
	w.refuse["evil@x"] = handoff.Message{Code: handoff.CodeTempfail}
	w.dial().run("S 220 *" + two("full@x", "evil@x") + "S 451 *\nS 451 *")
	if !w.logged("w(full@x)") || !w.logged("e(evil@x)") {
		t.Errorf("got %q", w.logs)
	}
}

func TestRequestsBeyondTheMastersQueueWaitHere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		want    string
	}{
		{"until there is room", 30 * time.Second, "S 250 *\nS 250 *"},
		{"as long as their delivery may take", 50 * time.Millisecond,
			"S 451 4.3.2 <bob@x> Limit reached, try again later (worker_queue_limit)\nS 451 4.3.2 <ann@x> *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := testOptions(t)
			o.DeliveryTimeout = tt.timeout
			w := start(t, o, "unix", Listener{})
			if got, want := cap(w.front.asking), 9; got != want {
				t.Fatalf("of worker_queue_limit 10: got %d, want %d", got, want)
			}
			for range cap(w.front.asking) {
				w.front.asking <- struct{}{}
			}
			c := w.dial()
			c.run("S 220 *" + two("bob@x", "ann@x"))
			if strings.Contains(tt.want, "250") {
				if n := len(w.got()); n != 0 {
					t.Errorf("delivered %d past the limit", n)
				}
				<-w.front.asking
			}
			c.run(tt.want)
		})
	}
}
