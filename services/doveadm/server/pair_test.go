package server

import (
	"fmt"
	"strings"
	"testing"

	"culver/internal/doveadmproto"
	"culver/internal/handoff"
)

const copyFrom = "\tbob\tcopy\t-u\tbob\t--\tINBOX\tuser\talice\tmailbox\tWork\tuid\t1\n"

// giver is a source's worker: it sends n messages and wants each acknowledged.
func giver(n int, args *[]string) func(*fakeWorker) {
	return func(k *fakeWorker) {
		cmd := k.take()
		*args = append([]string{cmd.User, cmd.Name}, cmd.Args...)
		for i := range n {
			k.packet(doveadmproto.ChPeer, fmt.Sprintf("message %d\n", i))
			if ack, ok := k.until(doveadmproto.ChPeer); !ok || ack != "+" {
				k.packet(doveadmproto.ChReply, "\n-TEMPFAIL\n")
				return
			}
		}
		k.packet(doveadmproto.ChPeer, "")
		k.packet(doveadmproto.ChLog, "\x02gave all\n")
		k.packet(doveadmproto.ChReply, "not shown\t\n+\n")
	}
}

// taker is a destination's: it acknowledges each message.
func taker(got *string) func(*fakeWorker) {
	return func(k *fakeWorker) {
		k.take()
		for {
			b, ok := k.until(doveadmproto.ChPeer)
			if !ok {
				return
			}
			if b == "" {
				break
			}
			*got += b
			k.packet(doveadmproto.ChPeer, "+")
		}
		k.packet(doveadmproto.ChReply, "\n+\n")
	}
}

func TestMessagesOfAnotherUserComeFromItsOwnWorker(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"copy", copyFrom, "alice export -- copy mailbox Work uid 1"},
		{"move", "\tbob\tmove\t--\tINBOX\tuser\talice\tmailbox\tWork\tuid\t1\n", "alice export -- move mailbox Work uid 1"},
		{"import", "\tbob\timport\t-U\talice\t--\tmaildir:~/x\told\tall\n", "alice export -- import maildir:~/x all"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions())
			var args []string
			var got string
			w.plays("alice", giver(3, &args))
			w.plays("bob", taker(&got))
			c := w.hello(2)
			reply, logs := c.ask(tt.in)
			if reply != "\n+\n" || logs != "\x02doveadm(alice): gave all\n" {
				t.Errorf("got %q, %q", reply, logs)
			}
			if strings.Join(args, " ") != tt.want {
				t.Errorf("the source's worker was told %q, want %q", args, tt.want)
			}
			if got != "message 0\nmessage 1\nmessage 2\n" {
				t.Errorf("the destination got %q", got)
			}
			if asked := strings.Join(w.requests(), " "); asked != "bob alice" {
				t.Errorf("asked for %q", asked)
			}
		})
	}
}

func TestOnesOwnMailNeedsNoSecondWorker(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.hello(2).ask("\tbob\tcopy\t--\tINBOX\tuser\tbob\tmailbox\tWork\tall\n")
	if asked := strings.Join(w.requests(), " "); asked != "bob" {
		t.Errorf("asked for %q", asked)
	}
}

func TestPairsThatFail(t *testing.T) {
	t.Parallel()
	var none []string
	var nothing string
	takes := func() func(*fakeWorker) { return taker(new(string)) }
	for _, tt := range []struct {
		name          string
		source, dest  func(*fakeWorker)
		status, log   string
		notInLog      string
		cancelledDest bool
	}{
		{"the source has no such mailbox", func(k *fakeWorker) {
			k.take()
			k.packet(doveadmproto.ChLog, "\x04no mailbox\n")
			k.packet(doveadmproto.ChPeer, "")
			k.packet(doveadmproto.ChReply, "\n-NOTFOUND\n")
		}, takes(), "-NOTFOUND", "doveadm(alice): no mailbox", "", false},
		{"the source ends without its stream's end, but with a status", says("\n-USAGE\n"), takes(), "-USAGE", "", "", false},
		{"the destination has no such mailbox", func(k *fakeWorker) {
			k.take()
			if _, ok := k.until(doveadmproto.ChCancel); ok {
				k.packet(doveadmproto.ChLog, "\x04cancelled\n")
				k.packet(doveadmproto.ChReply, "\n-TEMPFAIL\n")
			}
		}, func(k *fakeWorker) {
			k.take()
			k.packet(doveadmproto.ChLog, "\x04no mailbox\n")
			k.packet(doveadmproto.ChReply, "\n-NOTFOUND\n")
		}, "-NOTFOUND", "doveadm(bob): no mailbox", "cancelled", false},
		{"the source dies", func(k *fakeWorker) {
			k.take()
			k.packet(doveadmproto.ChPeer, "half a mess")
		}, func(k *fakeWorker) {
			k.take()
			if _, ok := k.until(doveadmproto.ChCancel); ok {
				k.packet(doveadmproto.ChReply, "\n-TEMPFAIL\n")
			}
		}, "-TEMPFAIL", "doveadm(alice): worker ended before it answered", "", true},
		{"the destination dies", giver(3, &none), func(k *fakeWorker) {
			k.take()
			k.until(doveadmproto.ChPeer)
		}, "-TEMPFAIL", "doveadm(bob): worker ended before it answered", "", false},
		{"no such source", nil, taker(&nothing), "-NOUSER", "doveadm(alice): User doesn't exist", "", false},
		{"no such destination", giver(1, &none), nil, "-NOUSER", "doveadm(bob): User doesn't exist", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, testOptions())
			w.plays("alice", tt.source)
			w.plays("bob", tt.dest)
			for user, play := range map[string]func(*fakeWorker){"alice": tt.source, "bob": tt.dest} {
				if play == nil {
					w.refuses(user, handoff.Message{Code: handoff.CodeNoUser})
				}
			}
			if tt.source == nil {
				w.plays("bob", func(k *fakeWorker) {
					if k.take().Name != "" {
						t.Error("half a pair began to work")
					}
				})
			}
			c := w.hello(2)
			got, logs := c.ask(copyFrom)
			if got != "\n"+tt.status+"\n" || !strings.Contains(logs, tt.log) || tt.notInLog != "" && strings.Contains(logs, tt.notInLog) {
				t.Errorf("got %q, %q", got, logs)
			}
			if got, _ := c.ask("\tcarl\tsearch\tall\n"); !strings.HasSuffix(got, "\n+\n") {
				t.Errorf("the next command: %q", got)
			}
		})
	}
}

func TestPairsAreAskedForOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.refuses("alice", handoff.Message{}) // no answer: a pool with room for one
	first, second := w.hello(2), w.hello(2)
	first.send(copyFrom)
	until(t, "the first half", func() bool { return strings.Join(w.requests(), " ") == "bob alice" })
	second.send("\tcarl\tcopy\t--\tINBOX\tuser\tdora\tall\n")
	third := w.hello(2)
	if got, _ := third.ask(all[:1] + "eve" + all[6:]); !strings.HasSuffix(got, "\n+\n") { // others do not wait
		t.Errorf("got %q", got)
	}
	if asked := strings.Join(w.requests(), " "); asked != "bob alice eve" {
		t.Errorf("asked for %q", asked)
	}
	w.plays("carl", taker(new(string)))
	w.plays("dora", giver(0, new([]string)))
	first.send("\t\tCANCEL\n")
	if got, _ := first.reply(); got != "\n-TEMPFAIL\n" {
		t.Errorf("got %q", got)
	}
	if got, _ := second.reply(); got != "\n+\n" {
		t.Errorf("the second pair: %q", got)
	}
}

func TestAPairWithoutItsSecondWorkerNamesTheLimit(t *testing.T) {
	t.Parallel()
	w := start(t, testOptions())
	w.refuses("alice", handoff.Message{Code: handoff.CodeLimit, Setting: "process_limit"})
	c := w.hello(2)
	got, logs := c.ask(copyFrom)
	if got != "\n-TEMPFAIL\n" || !strings.Contains(logs, "doveadm(alice): ") || !strings.Contains(logs, "process_limit of service doveadm must be 2") {
		t.Errorf("got %q, %q", got, logs)
	}
	if _, logs := c.ask("\talice\tsearch\tall\n"); strings.Contains(logs, "must be 2") {
		t.Errorf("a command that needs one worker: %q", logs)
	}
}
