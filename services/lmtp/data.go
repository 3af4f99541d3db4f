package lmtp

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/lmtpproto"
	"culver/internal/maillog/logline"
)

// maxSideBySide is how many recipients of one message are delivered at once.
const maxSideBySide = 128

const (
	// maxTransfer is how long one message may take to come in, from DATA or the
	// first BDAT on. lmtp_command_timeout bounds a silence only: a byte a minute
	// would hold a session and its spool for ever.
	maxTransfer = time.Hour
	// maxDiscard is how many bytes are read of a message that is refused already,
	// only to answer at its end as the protocol wants it.
	maxDiscard = 64 << 20
)

// errTooBig says that a message is beyond mail_max_size.
var errTooBig = errors.New("message too big")

var pieces = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10+1); return &b }}

func (s *session) data(args string) {
	if !s.plain(args) || !s.ready() {
		return
	}
	if s.tx.data {
		s.reply(503, "5.5.0", "Bad sequence of commands")
		return
	}
	s.tx.spool = newSpool(s.f)
	// What was announced is reserved at once: better to wait here, or to say no,
	// than to find half a message later that there is no room.
	if err := s.tx.spool.reserve(max(1, s.tx.size)); err != nil {
		s.answer(s.spoolReply(err))
		s.reset()
		return
	}
	s.reply(354, "", "OK")
	s.flush()
	s.tx.data = true
	s.conn.endBy(time.Now().Add(s.f.transfer))
	failed, err := s.receive()
	if err != nil {
		s.lost(err, "DATA")
		return
	}
	tooMuch := s.tooMuch()
	s.finish(failed)
	if tooMuch {
		s.sendAway()
	}
}

// tooMuch tells whether the client goes on with a message that is refused.
func (s *session) tooMuch() bool { return s.tx.discarded > s.f.discard }

// sendAway ends the session of a client that would not stop: it has its answer,
// and needs not be awaited.
func (s *session) sendAway() {
	if s.ended == "" {
		s.final(421, "4.7.0", s.f.Hostname+" Too much data after a refusal")
		s.ended = "Too much data after a refusal"
	}
}

// ready tells whether a message may come, and refuses it otherwise.
func (s *session) ready() bool {
	switch {
	case !s.tx.mail:
		s.reply(503, "5.5.0", "MAIL needed first")
	case len(s.tx.rcpts) == 0:
		s.reply(503, "5.5.0", "No valid recipients")
	default:
		return true
	}
	return false
}

// receive reads DATA's message up to its end. failed says why it could not be
// kept; it is read to the end all the same, since the replies belong after it.
func (s *session) receive() (failed, err error) {
	var dots lmtpproto.Dots
	out := pieces.Get().(*[]byte)
	defer pieces.Put(out)
	for end := false; !end && !s.tooMuch(); {
		if _, err := s.br.Peek(1); err != nil {
			return nil, err
		}
		in, _ := s.br.Peek(s.br.Buffered())
		var taken int
		*out, taken, end = dots.Append((*out)[:0], in)
		s.br.Discard(taken)
		if failed == nil {
			failed = s.keep(*out)
		} else {
			s.tx.discarded += int64(taken)
		}
	}
	return failed, nil
}

// keep adds to the spool. A message that cannot be kept gives its room back at
// once: the rest of it may take long to come.
func (s *session) keep(p []byte) (err error) {
	if s.f.MaxSize > 0 && s.tx.spool.size+int64(len(p)) > s.f.MaxSize {
		err = errTooBig
	} else {
		_, err = s.tx.spool.Write(p)
	}
	if err != nil {
		s.tx.spool.close()
	}
	return err
}

func (s *session) bdat(args string) {
	size, last, err := lmtpproto.ParseBDAT(args)
	if err != nil {
		s.badParameters()
		return
	}
	if !s.tx.data {
		s.conn.endBy(time.Now().Add(s.f.transfer))
	}
	if s.tx.failed || len(s.tx.rcpts) == 0 {
		s.refuseChunk(size)
		return
	}
	if s.tx.spool == nil {
		s.tx.spool = newSpool(s.f)
	}
	s.tx.data = true
	failed, err := s.receiveChunk(size, true)
	if s.tooMuch() {
		defer s.sendAway()
	}
	switch {
	case err != nil:
		s.lost(err, "BDAT")
	case last:
		s.finish(failed)
	case failed != nil:
		s.tx.failed = true
		s.answer(s.spoolReply(failed))
	default:
		s.reply(250, "2.0.0", "Added "+strconv.FormatInt(size, 10)+" octets")
	}
}

// refuseChunk throws the bytes away: they would be read as commands.
func (s *session) refuseChunk(size int64) {
	if _, err := s.receiveChunk(size, false); err != nil {
		s.lost(err, "BDAT")
		return
	}
	if !s.tx.data {
		s.conn.endBy(time.Time{})
	}
	if s.tooMuch() {
		defer s.sendAway()
	}
	if s.tx.failed {
		s.reply(503, "5.5.0", "Previous data chunk failed, issue RSET first")
		return
	}
	s.ready()
	s.tx.failed = s.tx.mail
}

// receiveChunk reads the bytes of one BDAT.
func (s *session) receiveChunk(size int64, keep bool) (failed, err error) {
	for size > 0 && !s.tooMuch() {
		if s.br.Buffered() == 0 {
			s.flush() // the replies before may be what the client waits for
		}
		if _, err := s.br.Peek(1); err != nil {
			return nil, err
		}
		in, _ := s.br.Peek(int(min(size, int64(s.br.Buffered()))))
		if keep && failed == nil {
			failed = s.keep(in)
		} else {
			s.tx.discarded += int64(len(in))
		}
		s.br.Discard(len(in))
		size -= int64(len(in))
	}
	return failed, nil
}

// finish ends the transaction: one reply for each accepted RCPT.
func (s *session) finish(failed error) {
	var msg message
	if failed == nil {
		msg.size = s.tx.spool.size
		msg.fd, failed = s.tx.spool.seal()
	}
	if failed == nil {
		s.deliverAll(&msg)
		unix.Close(msg.fd)
	} else {
		r := s.spoolReply(failed)
		for _, to := range s.tx.rcpts {
			s.write(withAddress(to.To, r))
		}
	}
	s.bad = 0
	s.reset()
}

// spoolReply is the answer where a message could not be kept.
func (s *session) spoolReply(err error) lmtpproto.Reply {
	switch {
	case errors.Is(err, errTooBig):
		return tooBig
	case errors.Is(err, errSpoolLimit):
		s.f.Log(logline.Warn, s.id, "", "spool_limit reached, message refused")
		return lmtpproto.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient room for messages (spool_limit)"}
	}
	s.f.Log(logline.Error, s.id, "", err.Error())
	if isFull(err) {
		return lmtpproto.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage"}
	}
	return tempfail
}

// delivery is the outcome for one recipient, or for all RCPTs that named it.
type delivery struct {
	reply lmtpproto.Reply
	done  chan struct{}
}

// deliverAll brings the message to every recipient side by side, and answers
// each as soon as it and those before it are known (RFC 2033 section 4.2).
func (s *session) deliverAll(msg *message) {
	ctx, cancel := s.f.deliveryContext(s.timeout)
	defer cancel()
	if len(s.tx.rcpts) == 1 && s.tx.rcpts[0].proxied == nil {
		r := s.tx.rcpts[0]
		s.write(s.f.deliver(ctx, r.user, r.Envelope, msg))
		return
	}
	all := make([]*delivery, len(s.tx.rcpts))
	slots := make(chan struct{}, maxSideBySide)
	known := make(map[string]*delivery, len(all))
	var first []*rcpt
	handed := map[*leg]map[*rcpt]*delivery{}
	for i, r := range s.tx.rcpts {
		if r.proxied != nil { // each is answered by its backend, repeated or not
			all[i] = &delivery{done: make(chan struct{})}
			if handed[r.proxied.leg] == nil {
				handed[r.proxied.leg] = map[*rcpt]*delivery{}
			}
			handed[r.proxied.leg][r] = all[i]
			continue
		}
		// A repeated RCPT is delivered once and answered as often as it was sent.
		key := r.To.String() + "\x00" + r.ORCPT
		if known[key] == nil {
			known[key] = &delivery{done: make(chan struct{})}
			first = append(first, r)
		}
		all[i] = known[key]
	}
	for l, of := range handed {
		go l.message(ctx, msg, of)
	}
	go func() {
		for _, r := range first {
			d := known[r.To.String()+"\x00"+r.ORCPT]
			slots <- struct{}{}
			go func() {
				d.reply = s.f.deliver(ctx, r.user, r.Envelope, msg)
				<-slots
				close(d.done)
			}()
		}
	}()
	for _, d := range all {
		select {
		case <-d.done:
		default:
			s.flush()
			<-d.done
		}
		s.write(d.reply)
	}
}
