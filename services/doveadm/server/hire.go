package server

import (
	"bufio"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/favour"
	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/internal/maillog/logline"
)

// maxLogged is how many lines of one worker reach the client, and how many get
// into our own log.
const maxLogged = 1000

// hire is one worker at work.
type hire struct {
	run  *run
	user string
	id   uint64
	conn *fdpass.Conn
	in   *doveadmproto.PacketReader
	br   *bufio.Reader
	rows *rows
	logs doveadmproto.LogReader

	told     int  // lines that the client has, or would have
	logged   int  // the same of our own log
	peerDone bool // its stream for the other worker has ended

	dropped atomic.Bool // we closed it, and have said why
	late    atomic.Bool // the command failed without it: the client hears no more of it

	mu   sync.Mutex
	w    *doveadmproto.PacketWriter
	gone bool // nothing is written any more
}

// drop hangs up on a worker.
func (h *hire) drop() {
	h.dropped.Store(true)
	h.conn.Close()
}

// hire asks the master for a worker.
func (r *run) hire(ctx context.Context, l *leave) (*hire, error) {
	f := r.f
	select {
	case f.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, errCancelled
	}
	if err := r.renew(l); err != nil { // those who wait may have let it grow old
		<-f.asking
		return nil, errSaid
	}
	fd, id, err := f.Workers.Numbered(ctx, l.user, l.ticket)
	<-f.asking
	if err != nil {
		if ctx.Err() != nil {
			err = errCancelled
		}
		return nil, err
	}
	unix.SetNonblock(fd, true)
	conn, err := fdpass.New(fd, "worker")
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	h := &hire{run: r, user: l.user, id: id, conn: conn, w: doveadmproto.NewPacketWriter(conn)}
	h.br = bufio.NewReaderSize(conn, doveadmproto.MaxPacket+64)
	h.in = doveadmproto.NewPacketReader(h.br)
	return h, nil
}

var errCancelled = errors.New(doveadmproto.NotBegun)

// errSaid is an error that the client has heard of.
var errSaid = errors.New("already told")

// refusal is what the client learns where no worker came.
func refusal(err error) (code int, text string, l logline.Level) {
	var r *favour.Refusal
	switch {
	case errors.Is(err, errCancelled):
		return doveadmproto.TempFail, err.Error(), logline.Info
	case !errors.As(err, &r):
	case r.Code == handoff.CodeNoUser:
		return doveadmproto.NoUser, "User doesn't exist", logline.Warn
	case r.Code == handoff.CodeForbidden:
		return doveadmproto.NoPerm, err.Error(), logline.Error
	case r.Code == handoff.CodeLimit:
		return doveadmproto.TempFail, err.Error(), logline.Warn
	}
	return doveadmproto.TempFail, err.Error(), logline.Error
}

// needsTwo says what a pair that got only one worker waits for: where there may
// be no second one it would wait for ever.
func needsTwo(err error) string {
	var r *favour.Refusal
	if !errors.As(err, &r) || r.Code != handoff.CodeLimit {
		return ""
	}
	return " (copy, move and import from another user need two workers at one time: process_limit of service doveadm must be 2 or more, and another two for each pair that runs meanwhile)"
}

// send writes one packet. A worker that is gone is heard of where it is read.
func (h *hire) send(ch byte, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.gone {
		h.gone = h.w.Packet(ch, b) != nil
	}
}

// begin sends the command line, in one packet however long it is.
func (h *hire) begin(line []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.conn.Write(append(doveadmproto.AppendPacketHead(nil, doveadmproto.ChRun, len(line)), line...))
	h.gone = err != nil
}

// relay passes on what the worker says until its status line, or its end.
func (h *hire) relay(peer *hire) error {
	r := h.run
	for !h.rows.done {
		if h.br.Buffered() == 0 {
			r.flush()
		}
		p, err := h.in.Next()
		if err != nil {
			return err
		}
		r.alive()
		switch p.Channel {
		case doveadmproto.ChReply:
			if h.rows.feed(p.Data) != nil {
				r.cancel() // nobody reads it; it ends before its next message
			}
		case doveadmproto.ChLog:
			h.logs.Feed(p.Data, h.log)
		case doveadmproto.ChTouched:
			if n, err := strconv.ParseUint(string(p.Data), 10, 63); err == nil && h.rows.to != nil {
				h.rows.to.touched(n)
			}
		case doveadmproto.ChPeer:
			h.peerDone = len(p.Data) == 0
			if peer != nil {
				peer.send(doveadmproto.ChPeer, p.Data)
			}
		}
	}
	return nil
}

// log gives a line of the worker's to the client, and to our own log.
func (h *hire) log(level byte, text string) {
	r := h.run
	if (level > doveadmproto.LogDebug || r.cmd.Debug) && !h.late.Load() {
		if h.told++; h.told <= maxLogged {
			r.s.out.log(level, prefix(h.user), text)
		}
	}
	own := logline.Error
	switch level {
	case doveadmproto.LogDebug:
		own = logline.Debug
	case doveadmproto.LogInfo:
		own = logline.Info
	case doveadmproto.LogWarning:
		own = logline.Warn
	}
	switch h.logged++; {
	case own == logline.Debug && !r.f.Debug, h.logged > maxLogged:
		return
	case h.logged == maxLogged:
		text = "more lines than one command may log: the rest is not logged"
	}
	r.f.Log(own, r.s.id, h.user, strings.ToValidUTF8(text, "?"))
}

// summary says how many lines the client did not get.
func (h *hire) summary() {
	if n := h.told - maxLogged; n > 0 && !h.late.Load() {
		h.run.s.out.log(doveadmproto.LogWarning, prefix(h.user), strconv.Itoa(n)+" more lines are left out")
	}
}
