package lmtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
)

// maxWorkerBytes bounds all that a worker says in one access.
const maxWorkerBytes = 32 << 10

// message is a spooled message as it goes to workers.
type message struct {
	fd   int
	size int64
}

// deliver brings the message to one recipient and gives the reply for it. With
// msg nil the worker is only asked whether it would take the recipient.
func (f *Front) deliver(ctx context.Context, u authproto.User, e Envelope, msg *message) lmtpproto.Reply {
	fd, err := f.worker(ctx, u)
	if err != nil {
		f.Log(gravity(err), e.Session, u.Name, err.Error())
		return withAddress(e.To, refusal(err))
	}
	r, err := f.converse(ctx, fd, e, msg)
	if err != nil {
		f.Log(logline.Error, e.Session, u.Name, "worker: "+err.Error())
		return withAddress(e.To, tempfail)
	}
	return withAddress(e.To, r)
}

// worker gives a conversation with whoever writes that user's mail.
func (f *Front) worker(ctx context.Context, u authproto.User) (int, error) {
	if f.Local != nil && f.Local.Serves(u) {
		return f.Local.Worker(ctx, u)
	}
	select {
	case f.asking <- struct{}{}:
	case <-ctx.Done():
		return -1, &favour.Refusal{Code: handoff.CodeLimit, Setting: "worker_queue_limit"}
	}
	defer func() { <-f.asking }()
	return f.Workers.Worker(ctx, u.Name)
}

// gravity is the level of the line about a worker that did not come: a limit
// does what it is for, and for each recipient of a busy hour.
func gravity(err error) logline.Level {
	var r *favour.Refusal
	if errors.As(err, &r) && r.Code == handoff.CodeLimit {
		return logline.Warn
	}
	return logline.Error
}

var tempfail = lmtpproto.Reply{Code: 451, Enhanced: "4.3.0", Text: "Temporary internal error"}

// refusal is the reply where no worker came. Never 5xx: where auth knew the user
// at RCPT and not a moment later, its source may be half written, and the next
// try's RCPT will have the answer.
func refusal(err error) lmtpproto.Reply {
	var r *favour.Refusal
	if !errors.As(err, &r) {
		return tempfail
	}
	switch {
	case r.Code == handoff.CodeLimit && r.Setting == "lmtp_user_concurrency_limit":
		return lmtpproto.Reply{Code: 451, Enhanced: "4.3.0",
			Text: "Too many concurrent deliveries for user (lmtp_user_concurrency_limit)"}
	case r.Code == handoff.CodeLimit:
		return lmtpproto.Reply{Code: 451, Enhanced: "4.3.2", Text: "Limit reached, try again later (" + r.Setting + ")"}
	}
	return tempfail
}

// withAddress puts <address> in front of the text, where the worker did not.
func withAddress(to lmtpproto.Path, r lmtpproto.Reply) lmtpproto.Reply {
	if a := "<" + to.String() + "> "; !strings.HasPrefix(r.Text, a) {
		r.Text = a + r.Text
	}
	return r
}

// converse says all it has to say in one message, descriptor included, and
// reads the answers.
func (f *Front) converse(ctx context.Context, fd int, e Envelope, msg *message) (lmtpproto.Reply, error) {
	unix.SetNonblock(fd, true)
	conn, err := fdpass.New(fd, "worker")
	if err != nil {
		unix.Close(fd)
		return lmtpproto.Reply{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	passed := -1
	if msg != nil {
		passed = msg.fd
	}
	commands := commandBuffers.Get().(*[]byte)
	*commands = f.appendCommands((*commands)[:0], e, msg)
	err = conn.Send(*commands, passed)
	commandBuffers.Put(commands)
	// A worker that refuses in its greeting may have hung up before it read all
	// of it; its reason is still there to be read.
	if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		return lmtpproto.Reply{}, err
	}
	br := replyReaders.Get().(*bufio.Reader)
	defer replyReaders.Put(br)
	br.Reset(io.LimitReader(conn, maxWorkerBytes))
	defer br.Reset(nil)
	return readOutcome(br, msg != nil)
}

var (
	commandBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}
	replyReaders   = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2*lmtpproto.MaxReplyLine) }}
)

// appendCommands is the front's half of the conversation.
func (f *Front) appendCommands(out []byte, e Envelope, msg *message) []byte {
	out = append(append(append(out, "LHLO "...), f.Hostname...), "\r\nXCLIENT"...)
	for _, a := range [...][2]string{
		{" ADDR=", e.Addr}, {" PORT=", e.Port}, {" HELO=", e.Helo}, {" PROTO=", e.Proto},
		{" SESSION=", e.Session}, {" LOGIN=", e.Login}, {" TLS=", e.TLS},
	} {
		if a[1] != "" {
			out = lmtpproto.AppendXtext(append(out, a[0]...), a[1])
		}
	}
	out = append(append(append(out, "\r\nMAIL FROM:<"...), e.From.String()...), '>')
	if e.EightBit {
		out = append(out, " BODY=8BITMIME"...)
	}
	if e.UTF8 {
		out = append(out, " SMTPUTF8"...)
	}
	if msg == nil && e.Size > 0 {
		out = strconv.AppendInt(append(out, " SIZE="...), e.Size, 10)
	}
	out = append(append(append(out, "\r\nRCPT TO:<"...), e.To.String()...), '>')
	if e.ORCPT != "" {
		out = append(append(out, " ORCPT="...), e.ORCPT...)
	}
	if msg != nil {
		out = strconv.AppendInt(append(out, "\r\nXFD "...), msg.size, 10)
		out = append(out, " LAST"...)
	}
	return append(out, "\r\nQUIT\r\n"...)
}

// readOutcome reads up to the reply that decides. What a worker says after it
// is not read: its user's mail is where the reply says it is.
func readOutcome(br *bufio.Reader, data bool) (lmtpproto.Reply, error) {
	for _, step := range [...]string{"greeting", "LHLO", "XCLIENT", "MAIL"} {
		r, err := lmtpproto.ReadReply(br)
		if err != nil {
			return r, fmt.Errorf("reply to %s: %w", step, early(err))
		}
		if !r.Ok() {
			return r, fmt.Errorf("reply to %s: %d %s %s", step, r.Code, r.Enhanced, r.Text)
		}
	}
	r, err := lmtpproto.ReadReply(br)
	if err != nil {
		return r, fmt.Errorf("reply to RCPT: %w", early(err))
	}
	if !data || !r.Ok() {
		return believable(r)
	}
	if r, err = lmtpproto.ReadReply(br); err != nil {
		return r, fmt.Errorf("reply to the message: %w", early(err))
	}
	return believable(r)
}

func early(err error) error {
	if err == io.EOF {
		return errors.New("it ended before it answered")
	}
	return err
}

// believable refuses replies that would mean something else to the MTA, or to
// our count of bad commands: 421 would end the session, 354 make it send, and
// 500 to 504 blame the MTA for what is between us and the worker.
func believable(r lmtpproto.Reply) (lmtpproto.Reply, error) {
	class := r.Code / 100
	if r.Code != 250 && class != 4 && class != 5 || r.Code == 421 || r.Code/10 == 50 || len(r.More) > 0 {
		return r, fmt.Errorf("reply %d %s has no place here", r.Code, r.Text)
	}
	if r.Enhanced == "" {
		r.Enhanced = string(rune('0'+class)) + ".0.0"
	}
	return r, nil
}

// deliveryContext bounds one transaction's deliveries. Not the client's life:
// after the dot its message is ours, whether it stays or not.
func (f *Front) deliveryContext(peerTimeout time.Duration) (context.Context, context.CancelFunc) {
	d := f.DeliveryTimeout
	if peerTimeout > time.Second && peerTimeout-time.Second < d {
		d = peerTimeout - time.Second
	}
	return context.WithTimeout(context.Background(), d)
}
