package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/handoff"
)

func TestInput(t *testing.T) {
	t.Parallel()
	const save = "\tbob\tsave\t-u\tbob\t-m\tINBOX\t--\n"
	args := "-u\tbob\t-m\tINBOX\t--\t"
	long := strings.Repeat("0123456789abcde\r\n", 20000)
	for _, tt := range []struct{ name, in, want string }{
		{"as the 2.3 client sends it", "Hello\ttab.\r\n..leading dot\r\n\r\nlast\r\n\r\n.\r\n", "Hello\ttab.\r\n.leading dot\r\n\r\nlast\r\n"},
		{"nothing", "\r\n.\r\n", ""},
		{"more than a buffer", long + "\r\n.\r\n", long},
		{"what looks like its end, and commands", "a\n.\n\tmallory\texpunge\tall\n\r\n.\r\n", "a\n.\n\tmallory\texpunge\tall\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions())
			w.plays("bob", func(k *fakeWorker) {
				cmd := k.take()
				text, whole := k.collect(doveadmproto.ChInput)
				if text != tt.want || !whole {
					t.Errorf("worker got %.60q, %v, want %.60q", text, whole, tt.want)
				}
				k.packet(doveadmproto.ChReply, values(cmd.Args...)+"\n+\n")
			})
			c := w.hello(2)
			go io.WriteString(c, save+tt.in)
			if got, logs := c.reply(); got != args+"\n+\n" || logs != "" {
				t.Errorf("got %q, %q", got, logs)
			}
			if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") {
				t.Errorf("the next command: %q", got)
			}
		})
	}
}

// evil is a message whose lines are commands.
const evil = "\tmallory\texpunge\tmailbox\tINBOX\tall\r\n\tmallory\texpunge\tmailbox\tINBOX\tall\r\n\r\n.\r\n"

func TestInputThatNobodyTakesIsNeverACommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, command, status string
		more                  bool
	}{
		{"an unknown user", "\tnosuch\tsave\n", "-NOUSER", true},
		{"no user", "\t\tsave\n", "-NOUSER", true},
		{"a worker that refuses", "\tfull\tsave\n", "-73", true},
		{"a worker that dies", "\tdies\tsave\n", "-TEMPFAIL", true},
		{"a command that is not allowed", "\tbob\tsave\t-m\tWork\n", "-NOPERM", true},
		{"a bad option", "\tbob\tsave\t-Z\n", "-USAGE", false},
		{"a file of the server's", "\tbob\tsave\t/etc/shadow\n", "-USAGE", false},
		{"help", "\tbob\tsave\t--help\n", "-USAGE", false},
		{"an unknown command that may read some", "\tbob\tsavex\n", "-", false},
		{"a broken line", "bob\tsave\n", "-USAGE", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			if tt.status == "-NOPERM" {
				o.Allowed = []string{"search"}
			}
			w := start(t, o)
			w.refuses("nosuch", handoff.Message{Code: handoff.CodeNoUser})
			w.plays("full", says("\n-73\n"))
			w.plays("dies", func(k *fakeWorker) { k.take() })
			c := w.hello(2)
			got, _ := c.ask(tt.command + evil)
			if got != "\n"+tt.status+"\n" {
				t.Errorf("got %q, want %s", got, tt.status)
			}
			if !tt.more {
				if !c.closed() {
					t.Error("the connection goes on")
				}
			} else if got, _ := c.ask("\talice\tsearch\tall\n"); got != "all\t\n+\n" {
				t.Errorf("the next command: %q", got)
			}
			for _, user := range w.requests() {
				if user == "mallory" {
					t.Fatal("a line of the message was a command")
				}
			}
		})
	}
}

func TestATruncatedInputIsNotEndedForTheWorker(t *testing.T) {
	t.Parallel()
	for name, hangUp := range map[string]func(c net.Conn){
		"the client has no more to say": func(c net.Conn) { c.(*net.UnixConn).CloseWrite() },
		"the client is silent":          func(net.Conn) {},
		"the client is gone":            func(c net.Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := testOptions()
			o.inputSilence = 30 * time.Millisecond
			w := start(t, o)
			saw := make(chan bool, 1)
			w.plays("bob", func(k *fakeWorker) {
				k.take()
				text, whole := k.collect(doveadmproto.ChInput)
				saw <- whole || !strings.HasPrefix("half a message", text)
			})
			c := w.hello(2)
			c.send("\tbob\tsave\nhalf a message\r\n.")
			hangUp(c.Conn)
			if <-saw {
				t.Error("the worker took it for the whole")
			}
			if name != "the client is gone" {
				if got, logs := c.reply(); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "input ended early") {
					t.Errorf("got %q, %q", got, logs)
				}
			}
		})
	}
}

func TestASaveThatIsDryReadsNoInput(t *testing.T) {
	t.Parallel()
	c := start(t, testOptions()).hello(2)
	c.send("\tbob\tsave\t--dry-run\n" + all)
	for _, want := range []string{"--dry-run\t\n+\n", "-u\talice\t--\tmailbox\tINBOX\tall\t\n+\n"} {
		if got, _ := c.reply(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUserNameColumn(t *testing.T) {
	t.Parallel()
	const rows = "a\t1\t\t2\t\n+\n" // two rows of two values, one of which is empty
	for _, tt := range []struct {
		name  string
		minor int
		args  string
		want  string
	}{
		{"one user", 2, "-u\tbob", rows},
		{"all users", 2, "-A", "bob\ta\t1\tbob\t\t2\t\n+\n"},
		{"a mask", 2, "-u\tb*", "bob\ta\t1\tbob\t\t2\t\n+\n"},
		{"a mask of one character", 2, "-u\tb?b", "bob\ta\t1\tbob\t\t2\t\n+\n"},
		{"a file, whose name the client leaves out", 2, "-F\t", "bob\ta\t1\tbob\t\t2\t\n+\n"},
		{"minor 1", 1, "-A", "bob\ta\t1\tbob\t\t2\t\n+\n"},
		{"minor 3 writes it itself", 3, "-u\tb*", rows},
	} {
		for _, cut := range []int{1, 2, 3, 100} {
			w := start(t, testOptions())
			w.plays("bob", func(k *fakeWorker) {
				k.take()
				for in := rows; in != ""; in = in[min(cut, len(in)):] {
					k.packet(doveadmproto.ChReply, in[:min(cut, len(in))])
				}
			})
			if got, _ := w.hello(tt.minor).ask("\tbob\tsearch\t" + tt.args + "\t--\tall\n"); got != tt.want {
				t.Errorf("%s, in pieces of %d: got %q, want %q", tt.name, cut, got, tt.want)
			}
		}
	}
}

func TestAReplyIsWholeWhateverTheWorkerSends(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sends, want string }{
		{"nothing", "", "\n-TEMPFAIL\n"},
		{"an end in a value", "a\tb", "a\tb\t\n-TEMPFAIL\n"},
		{"an end in an escape", "a\tb\x01", "a\tb\x011\t\n-TEMPFAIL\n"},
		{"an end before the status", "a\t\n", "a\t\n-TEMPFAIL\n"},
		{"an end in the status", "a\t\n+", "a\t\n-TEMPFAIL\n"},
		{"a value without its end", "a\tb\n+\n", "a\tb\t\n+\n"},
		{"a second reply", "a\t\n+\nb\t\n-NOUSER\n", "a\t\n+\n"},
		{"an endless status", "\n" + strings.Repeat("-", 2*doveadmproto.MaxStatus) + "\n", "\n-TEMPFAIL\n"},
		{"a referral", "\n-REFERRAL a@evil.example\n", "\n-TEMPFAIL\n"},
		{"a code that is none", "\n-99999\n", "\n-TEMPFAIL\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions())
			w.plays("ann", says(tt.sends))
			c := w.hello(2)
			if got, _ := c.ask("\tann\tsearch\tall\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") {
				t.Errorf("the next command: %q", got)
			}
		})
	}
}

func TestHalfARowDoesNotShiftTheNextUsers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		minor       int
		sends, want string
	}{
		{"2.3", 2, "a\t1\tb\t\n+\n", "bob\ta\t1\tbob\tb\t\t\n+\n"},
		{"2.3, in a value", 2, "a\t1\tb", "bob\ta\t1\tbob\tb\t\t\n-TEMPFAIL\n"},
		{"2.3, whole", 2, "a\t1\t\n+\n", "bob\ta\t1\t\n+\n"},
		{"2.4", 3, "a\t1\tb\t\n+\n", "a\t1\tb\t\t\n+\n"},
		{"2.4, whole", 3, "a\t1\t\n+\n", "a\t1\t\n+\n"},
	} {
		w := start(t, testOptions())
		w.plays("bob", says(tt.sends))
		if got, _ := w.hello(tt.minor).ask("\tbob\tsearch\t-A\t--\tall\n"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A worker that its user took over need not read its command, of which a socket
// takes only so much.
func TestAWorkerThatDoesNotReadItsCommandIsAbandoned(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.WorkerTimeout = 100 * time.Millisecond
	w := start(t, o)
	hold := make(chan struct{})
	defer close(hold)
	deaf := func(*fakeWorker) { <-hold }
	w.plays("ann", deaf)
	w.plays("mallory", deaf)
	long := strings.Repeat("x", doveadmproto.MaxLine-200)
	c := w.hello(2)
	if got, logs := c.ask("\tann\tsearch\tsubject\t" + long + "\n"); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "doveadm_worker_timeout") {
		t.Errorf("got %q, %q", got, logs)
	}
	if got, logs := c.ask("\tann\tcopy\tINBOX\tuser\tmallory\tsubject\t" + long + "\n"); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "doveadm_worker_timeout") {
		t.Errorf("a pair: got %q, %q", got, logs)
	}
}

func TestAWorkerThatDoesNotHeedACancelIsAbandoned(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.WorkerTimeout = 100 * time.Millisecond
	w := start(t, o)
	started := make(chan struct{})
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		close(started)
		for _, err := k.Write(nil); err == nil; <-time.After(10 * time.Millisecond) {
			_, err = k.Write(doveadmproto.AppendPacket(nil, doveadmproto.ChBeat, nil))
			if err != nil {
				return
			}
		}
	})
	c := w.hello(2)
	c.send("\tann\tsearch\tall\n")
	<-started
	c.send("\t\tCANCEL\n")
	if got, logs := c.reply(); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "did not stop") {
		t.Errorf("got %q, %q", got, logs)
	}
	until(t, "Abandon", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.abandoned) == 1 })
}

func TestAWorkerOfManyWordsFillsNeitherOurLogNorTheClients(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChLog, strings.Repeat("\x04x\n", 3*maxLogged))
		k.packet(doveadmproto.ChReply, "\n+\n")
	})
	if got, logs := w.hello(2).ask("\tann\tsearch\tall\n"); got != "\n+\n" || strings.Count(logs, ": x\n") != maxLogged ||
		!strings.HasSuffix(logs, fmt.Sprintf("doveadm(ann): %d more lines are left out\n", 2*maxLogged)) {
		t.Errorf("got %q, %d lines", got, strings.Count(logs, "\n"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.logs); n != maxLogged {
		t.Errorf("%d lines in our own log", n)
	}
}

// working beats until it is cancelled, and then says how it ended.
func working(started chan<- struct{}) func(*fakeWorker) {
	return func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChReply, "a\t")
		close(started)
		if _, ok := k.until(doveadmproto.ChCancel); ok {
			k.packet(doveadmproto.ChLog, "\x04cancelled after 1 messages\n")
			k.packet(doveadmproto.ChReply, "\n-TEMPFAIL\n")
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	t.Run("stops the worker, and the connection goes on", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions())
		started := make(chan struct{})
		w.plays("ann", working(started))
		c := w.hello(2)
		c.send("\tann\tsearch\tall\n")
		<-started
		c.send("\t\tCANCEL\n" + all)
		if got, logs := c.reply(); got != "a\t\n-TEMPFAIL\n" || logs != "\x04doveadm(ann): cancelled after 1 messages\n" {
			t.Errorf("got %q, %q", got, logs)
		}
		if got, _ := c.reply(); !strings.HasSuffix(got, "\n+\n") {
			t.Errorf("the next command: %q", got)
		}
	})
	t.Run("ends the wait for a worker", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions())
		w.refuses("ann", handoff.Message{}) // no answer
		c := w.hello(2)
		c.send("\tann\tsearch\tall\n")
		until(t, "the request", func() bool { return len(w.requests()) == 1 })
		c.send("\t\tCANCEL\n")
		if got, logs := c.reply(); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "cancelled") {
			t.Errorf("got %q, %q", got, logs)
		}
		until(t, "the master's cancel", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.cancelled == 1 })
	})
	t.Run("after the reply means nothing", func(t *testing.T) {
		t.Parallel()
		c := start(t, testOptions()).hello(2)
		c.ask(all)
		if got, logs := c.ask("\t\tCANCEL\n" + all); !strings.HasSuffix(got, "\n+\n") || logs != "" {
			t.Errorf("got %q, %q", got, logs)
		}
	})
	t.Run("a client that is gone cancels", func(t *testing.T) {
		t.Parallel()
		w := start(t, testOptions())
		started, done := make(chan struct{}), make(chan bool, 1)
		w.plays("ann", func(k *fakeWorker) {
			k.take()
			close(started)
			_, ok := k.until(doveadmproto.ChCancel)
			done <- ok
		})
		c := w.hello(2)
		c.send("\tann\texpunge\tmailbox\tTrash\tall\n")
		<-started
		c.Close()
		if !<-done {
			t.Error("the worker was not told")
		}
	})
}

func TestASilentWorkerIsAbandoned(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.WorkerTimeout = 50 * time.Millisecond
	w := start(t, o)
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		k.packet(doveadmproto.ChReply, "a\t")
		k.until('?') // nothing ever comes
	})
	c := w.hello(2)
	if got, logs := c.ask("\tann\tsearch\tall\n"); got != "a\t\n-TEMPFAIL\n" || !strings.Contains(logs, "doveadm_worker_timeout") {
		t.Errorf("got %q, %q", got, logs)
	}
	until(t, "Abandon", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.abandoned) == 1 && w.abandoned[0] == 1 })
	if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") {
		t.Errorf("the next command: %q", got)
	}
}

func TestAWorkerThatBeatsOrWaitsForItsClientIsNotSilent(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.WorkerTimeout = 100 * time.Millisecond
	w := start(t, o)
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		for range 10 {
			<-time.After(30 * time.Millisecond)
			k.packet(doveadmproto.ChBeat, "")
		}
		k.packet(doveadmproto.ChReply, "\n+\n")
	})
	c := w.hello(2)
	if got, logs := c.ask("\tann\tsearch\tall\n"); got != "\n+\n" {
		t.Errorf("got %q, %q", got, logs)
	}
	c.send("\tbob\tsave\nslow")
	<-time.After(300 * time.Millisecond)
	if got, logs := c.ask("\r\n\r\n.\r\n"); got != "slow\x01r\x01n\t\n+\n" {
		t.Errorf("got %q, %q", got, logs)
	}
}

func TestDrainLetsACommandFinish(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.drainRest = 200 * time.Millisecond
	w := start(t, o)
	started, goOn := make(chan struct{}), make(chan struct{})
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		close(started)
		<-goOn
		k.packet(doveadmproto.ChReply, "a\t\n+\n")
	})
	c := w.hello(2)
	idle := w.hello(2)
	c.send("\tann\tsearch\tall\n")
	<-started
	m := handoff.Message{Kind: handoff.KindDrain}
	w.master.Send(m.Append(nil), -1)
	if !idle.closed() {
		t.Error("an idle client stays")
	}
	if _, err := net.Dial("unix", w.addr.String()); err == nil {
		t.Error("new clients are let in")
	}
	close(goOn)
	if got, _ := c.reply(); got != "a\t\n+\n" {
		t.Errorf("got %q", got)
	}
	if got, _ := c.ask(all); !strings.HasSuffix(got, "\n+\n") { // as a run over many users goes on
		t.Errorf("the next command: %q", got)
	}
	if !c.closed() {
		t.Error("the session rests for ever")
	}
	<-w.served
}

func TestStopCancelsWhatRunsAndBeginsNothing(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	started := make(chan struct{})
	w.plays("ann", working(started))
	c := w.hello(2)
	c.send("\tann\tsearch\tall\n" + all)
	<-started
	w.front.Stop()
	if got, _ := c.reply(); got != "a\t\n-TEMPFAIL\n" {
		t.Errorf("got %q", got)
	}
	if got, logs := c.reply(); got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "stopped") {
		t.Errorf("the command that was sent ahead: %q, %q", got, logs)
	}
	<-w.served
}

func TestAClientThatReadsNothingIsLostInTheEndAndItsWorkerIsNot(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.WorkerTimeout = 30 * time.Millisecond
	o.clientStall = 200 * time.Millisecond
	w := start(t, o)
	told := make(chan bool, 1)
	w.plays("ann", func(k *fakeWorker) {
		k.take()
		for range 100 { // more than sockets and buffers hold
			k.packet(doveadmproto.ChReply, strings.Repeat("x", doveadmproto.MaxPacket))
		}
		_, ok := k.until(doveadmproto.ChCancel)
		told <- ok
		k.packet(doveadmproto.ChReply, "\n-TEMPFAIL\n")
	})
	c := w.hello(2)
	c.send("\tann\tfetch\ttext\tall\n")
	if !<-told {
		t.Error("the worker was hung up on, and not told")
	}
	until(t, "the session's end", func() bool {
		w.front.house.mu.Lock()
		defer w.front.house.mu.Unlock()
		return len(w.front.house.sessions) == 0
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.abandoned) > 0 {
		t.Error("the worker was abandoned for its client's silence")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	type numbers struct{ available, served int }
	told := make(chan numbers, 10)
	done := make(chan struct{})
	go func() {
		w.front.Report(func(available, served int) error {
			told <- numbers{available, served}
			if served > 0 {
				return io.EOF
			}
			return nil
		})
		close(done)
	}()
	if got := <-told; got != (numbers{100, 0}) {
		t.Errorf("got %v", got)
	}
	w.hello(2).Close()
	<-done
}
