package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// load is one run: the sessions and what they have seen.
type load struct {
	o     options
	body  []byte
	start time.Time
	greet sync.WaitGroup // with --together: sessions that have not greeted yet

	mu     sync.Mutex
	next   int // number of the next message
	end    time.Time
	trans  []time.Duration // MAIL until the last reply, where all replies came
	sess   []time.Duration // connect until the reply to QUIT
	class  [6]int          // recipients by first digit of their final reply
	errs   map[string]int  // by kind, see errorKind
	sent   int             // messages that got all their replies
	failed []string        // the first few refusals and errors, for people
}

func newLoad(o options) *load {
	return &load{o: o, body: filler(o.size), errs: map[string]int{}}
}

// run keeps --sessions sessions going until every message was tried once. A
// message is never sent twice: what failed shows in the report.
func (l *load) run(ctx context.Context) {
	l.start = time.Now()
	if l.o.together {
		l.greet.Add((l.o.total + l.o.messages - 1) / l.o.messages)
	}
	var wg sync.WaitGroup
	for range l.o.sessions {
		wg.Go(func() {
			for ctx.Err() == nil {
				first, n := l.take()
				if n == 0 {
					return
				}
				l.session(ctx, first, n)
			}
		})
	}
	wg.Wait()
	l.end = time.Now()
}

// take hands out the message numbers of one session.
func (l *load) take() (first, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = l.next
	n = min(l.o.messages, l.o.total-first)
	l.next += n
	return first, n
}

// session sends n messages over one connection.
func (l *load) session(ctx context.Context, first, n int) {
	began := time.Now()
	c, err := l.open(ctx)
	if l.o.together {
		l.greet.Done()
		l.greet.Wait()
	}
	if err != nil {
		l.lost(err, n)
		return
	}
	defer c.close()
	for i := range n {
		if err := l.message(ctx, c, first+i); err != nil {
			l.lost(err, n-i)
			return
		}
	}
	r, err := c.command("QUIT")
	if err == nil && r.code != 221 {
		err = fmt.Errorf("%w: QUIT: %d %s", errProtocol, r.code, r.text)
	}
	if err != nil {
		l.lost(err, 0)
		return
	}
	l.mu.Lock()
	l.sess = append(l.sess, time.Since(began))
	l.mu.Unlock()
}

// open connects and greets.
func (l *load) open(ctx context.Context) (*client, error) {
	c, r, err := dial(ctx, l.o.network, l.o.address, l.o.timeout)
	if err != nil {
		return nil, err
	}
	if r.code == 220 {
		r, err = c.hello(l.o.lhlo)
	}
	if err == nil && r.class() != 2 {
		err = refusal(r)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// refusal is a 4xx or 5xx that refuses the session and not a recipient.
type refusal reply

func (r refusal) Error() string { return fmt.Sprintf("refused: %d %s", r.code, r.text) }

func (l *load) message(ctx context.Context, c *client, number int) error {
	if err := l.pace(ctx, number); err != nil {
		return err
	}
	to := l.recipients(number)
	text := l.text(number, to)
	began := time.Now()
	replies, err := c.transaction(l.o.from, to, text)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range replies {
		l.class[r.class()]++
		if r.class() != 2 {
			l.note(fmt.Sprintf("%s: %d %s", to[i], r.code, r.text))
		}
	}
	if err != nil {
		// Those that have their reply are settled: count the rest as lost.
		l.errs["recipients_unanswered"] += len(to) - len(replies)
		return err
	}
	l.sent++
	l.trans = append(l.trans, took)
	return nil
}

// pace waits until --rate lets the message go.
func (l *load) pace(ctx context.Context, number int) error {
	if l.o.rate == 0 {
		return ctx.Err()
	}
	due := l.start.Add(time.Duration(float64(number) / l.o.rate * float64(time.Second)))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}

// recipients takes the users in turn, so that all get the same number and the
// recipients of one message differ.
func (l *load) recipients(number int) []string {
	to := make([]string, l.o.rcpts)
	for i := range to {
		n := l.o.first + (number*l.o.rcpts+i)%l.o.users
		to[i] = strings.Replace(l.o.user, "%d", fmt.Sprint(n), 1)
	}
	return to
}

// lost records an error and the messages that it kept from being sent.
func (l *load) lost(err error, messages int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs[errorKind(err)]++
	if messages > 0 {
		l.errs["messages_lost"] += messages
	}
	l.note(err.Error())
}

func (l *load) note(s string) {
	if len(l.failed) < l.o.shown {
		l.failed = append(l.failed, s)
	}
}

// errorKind puts an error into one of few drawers. A reset is told from an end
// of file: it says that the server had no process for us, not that one died.
func errorKind(err error) string {
	var ne net.Error
	var re refusal
	var oe *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &re):
		return "session_refused"
	case errors.Is(err, errProtocol):
		return "protocol"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.As(err, &ne) && ne.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "end_of_file"
	case errors.As(err, &oe) && oe.Op == "dial":
		return "connect"
	}
	return "other"
}

// filler is a body of about size bytes in lines of 72, none of which begins
// with a dot: what is sent needs no dot-stuffing.
func filler(size int) []byte {
	line := []byte("The dove came back to him in the evening, and lo, in her mouth a leaf.\r\n")
	return slices.Repeat(line, size/len(line)+2)
}

// text makes the message: --size bytes, or its headers when those are longer.
func (l *load) text(number int, to []string) []byte {
	head := fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: load %d\r\n"+
		"Date: %s\r\nMessage-ID: <%s.%d@load.example.org>\r\n\r\n",
		l.o.from, to[0], number, l.start.Format(time.RFC1123Z), l.o.id, number)
	rest := l.o.size - len(head)
	if rest < 2 {
		return head
	}
	return append(append(head, l.body[:rest-2]...), "\r\n"...)
}
