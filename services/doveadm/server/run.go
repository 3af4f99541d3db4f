package server

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/maillog/logline"
	"culver/internal/tabline"
	"culver/services/doveadm/command"
)

// run is one command on its way through a worker, or two.
type run struct {
	s    *session
	f    *Front
	line []byte // the command, as it came
	cmd  doveadmproto.Command
	p    command.Parsed

	names  []string // the commands in it
	leaves []leave  // for the users whose mail it needs

	pulse atomic.Int64 // when a worker last gave a sign of life, unix nanoseconds

	mu        sync.Mutex
	code      int
	stop      context.CancelFunc // ends the wait for a worker
	cancelled time.Time          // zero: it is not
	hires     []*hire
	briefed   bool // they have their commands
}

// serve runs the command, unless it failed already, and always ends in a status
// line. It tells whether another line may follow.
func (r *run) serve() (more bool) {
	s := r.s
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	r.stop = stop
	s.mu.Lock()
	s.running = r
	s.mu.Unlock()
	out := &rows{to: s.out, width: 1}
	more = true
	reads := r.p.ReadsInput()
	if !reads {
		s.watch(r)
	}
	if r.code == doveadmproto.OK {
		more = r.work(ctx, out, reads)
	} else if reads {
		more = r.drain()
	}
	s.mu.Lock()
	s.running = nil
	s.mu.Unlock()
	r.ended()
	if s.principal != nil && s.principal.spent {
		more = false
	}
	if out.finish(s.out.status(r.code)) != nil {
		more = false
	}
	return more
}

// work has the workers do it. more is false when the client's input ended early.
func (r *run) work(ctx context.Context, out *rows, reads bool) (more bool) {
	r.column(out)
	hired, err := r.recruit(ctx)
	if err != nil {
		if reads {
			return r.drain()
		}
		return true
	}
	dest := hired[0]
	dest.rows = out
	watchdog := r.watchOver() // before the first word: a worker need not take that
	defer watchdog.Stop()
	r.brief(hired)
	fed := make(chan bool, 1)
	if reads {
		go func() { fed <- r.feed(dest) }()
	} else {
		fed <- true
	}
	if len(hired) == 2 {
		r.pair(dest, hired[1])
	} else {
		r.end(dest, dest.relay(nil))
	}
	return <-fed
}

// column decides whether rows begin with the user's name (spec/doveadm.md 1.6).
// Where many users' rows follow each other each must be whole, but for a batch's,
// whose commands have each their own.
func (r *run) column(out *rows) {
	n := len(r.p.Columns())
	if !r.p.ManyUsers() || n == 0 {
		return
	}
	out.width = n
	out.pad = r.p.Spec.Name != "batch" && !r.s.out.kin()
	if r.s.minor < doveadmproto.MinorNoColumn {
		out.user = append([]byte(tabline.Escape(r.cmd.User)), '\t')
	}
}

// recruit asks for the worker, and for the source's where there is one. Pairs
// ask one after the other: two that each have half of their workers would wait
// for each other for ever.
func (r *run) recruit(ctx context.Context) ([]*hire, error) {
	users := []string{r.cmd.User}
	if from := source(r.cmd, r.p); from != "" {
		if err := checkUser(from); err != nil {
			r.failFor(from, doveadmproto.NoUser, err.Error(), logline.Warn)
			return nil, err
		}
		users = append(users, from)
		select {
		case r.f.pairing <- struct{}{}:
			defer func() { <-r.f.pairing }()
		case <-ctx.Done():
		}
	}
	if err := r.getLeaves(users); err != nil {
		return nil, err
	}
	var hired []*hire
	for i := range r.leaves {
		l := &r.leaves[i]
		h, err := r.hire(ctx, l)
		if err != nil {
			for _, h := range hired {
				h.conn.Close() // it was told nothing, and ends
			}
			if err == errSaid {
				return nil, err
			}
			code, text, level := refusal(err)
			if len(hired) > 0 {
				text += needsTwo(err)
			}
			r.failFor(l.user, code, text, level)
			return nil, err
		}
		hired = append(hired, h)
	}
	return hired, nil
}

// brief tells the workers what to do.
func (r *run) brief(hired []*hire) {
	r.mu.Lock()
	r.hires = hired
	r.mu.Unlock()
	hired[0].begin(r.line)
	if len(hired) == 2 {
		export := doveadmproto.Command{Verbose: r.cmd.Verbose, Debug: r.cmd.Debug,
			User: hired[1].user, Name: exportName, Args: exportArgs(r.p)}
		hired[1].begin(bytes.TrimSuffix(export.Append(nil), []byte("\n")))
	}
	r.mu.Lock()
	r.briefed = true
	late := !r.cancelled.IsZero()
	r.mu.Unlock()
	if late {
		r.tell()
	}
}

// exportName is the command of a source's worker; no client can send it.
const exportName = "export"

// feed gives the worker the client's input. What the worker does not take is
// read all the same: it must not become commands.
func (r *run) feed(to *hire) (whole bool) {
	s := r.s
	dots := doveadmproto.NewDotReader(s.r)
	buf := make([]byte, doveadmproto.MaxPacket)
	s.conn.enter(input)
	for {
		s.waits.Add(1)
		n, err := dots.Read(buf)
		s.waits.Add(-1)
		r.alive()
		if n > 0 {
			to.send(doveadmproto.ChInput, buf[:n])
		}
		switch err {
		case nil:
			continue
		case io.EOF:
			s.conn.enter(busy)
			to.send(doveadmproto.ChInput, nil)
			s.watch(r)
			return true
		}
		r.fail(doveadmproto.TempFail, "input ended early: "+early(err))
		to.drop() // the end without its sign: nothing is saved
		return false
	}
}

// drain reads an input that nobody takes.
func (r *run) drain() bool {
	r.s.conn.enter(input)
	defer r.s.conn.enter(busy)
	return doveadmproto.NewDotReader(r.s.r).Drain() == nil
}

func early(err error) string {
	if err == io.ErrUnexpectedEOF {
		return "the client ended"
	}
	return err.Error()
}

// end takes a worker's last word.
func (r *run) end(h *hire, err error) {
	h.logs.Flush(h.log)
	h.summary()
	h.conn.Close()
	switch {
	case h.dropped.Load(), h.late.Load():
		return
	case err != nil:
		text := "worker: " + err.Error()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			text = "worker ended before it answered"
		}
		r.failFor(h.user, doveadmproto.TempFail, text, logline.Error)
		return
	}
	code, _, err := doveadmproto.ParseStatus(string(h.rows.status))
	if err != nil {
		r.failFor(h.user, doveadmproto.TempFail, "worker answered with no status line", logline.Error)
		return
	}
	r.worsen(code)
}

// alive notes a sign of life.
func (r *run) alive() { r.pulse.Store(time.Now().UnixNano()) }

// watchOver ends workers that give no sign of life for WorkerTimeout, unless it
// is the client that everybody waits for; and those that go on for as long after
// a cancel: a worker that its user took over may beat for ever.
func (r *run) watchOver() *time.Timer {
	limit := r.f.WorkerTimeout
	var t *time.Timer
	t = time.AfterFunc(time.Hour, func() {
		silent := time.Duration(time.Now().UnixNano() - r.pulse.Load())
		switch {
		case r.cancelledFor() >= limit:
			r.abandon("worker did not stop when it was told to, for ")
		case r.s.waits.Load() > 0:
			t.Reset(limit)
		case silent < limit:
			t.Reset(limit - silent)
		default:
			r.abandon("worker gave no sign of work for ")
		}
	})
	r.alive()
	t.Reset(limit)
	return t
}

func (r *run) cancelledFor() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancelled.IsZero() {
		return 0
	}
	return time.Since(r.cancelled)
}

func (r *run) abandon(why string) {
	for _, h := range r.hired() {
		r.failFor(h.user, doveadmproto.TempFail, why+r.f.WorkerTimeout.String()+" and is ended (doveadm_worker_timeout)", logline.Error)
		h.drop()
		r.f.Workers.Abandon(h.id)
	}
}

func (r *run) hired() []*hire {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hires
}

// cancel has the command end before its next message.
func (r *run) cancel() {
	r.mu.Lock()
	again, briefed := !r.cancelled.IsZero(), r.briefed
	if !again {
		r.cancelled = time.Now()
	}
	r.mu.Unlock()
	if again {
		return
	}
	r.stop()
	if briefed {
		r.tell()
	}
}

// tell sends the workers a cancel; those that have no command yet get theirs
// from brief.
func (r *run) tell() {
	for _, h := range r.hired() {
		go h.send(doveadmproto.ChCancel, nil) // it may be slow to read
	}
}

// flush sends the client what there is for it. Where it cannot be reached the
// command ends.
func (r *run) flush() {
	if r.s.out.flush() != nil {
		r.cancel()
	}
}

// fail keeps the code of what went wrong, and says it.
func (r *run) fail(code int, text string) { r.failFor(r.cmd.User, code, text, logline.Warn) }

func (r *run) failFor(user string, code int, text string, l logline.Level) {
	r.worsen(code)
	r.f.Log(l, r.s.id, user, r.p.Spec.Name+" for "+r.s.peer.name+": "+text)
	r.s.out.log(doveadmproto.LogError, prefix(user), text)
}

// worsen keeps the first code that is not 0, but 75 before all.
func (r *run) worsen(code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == doveadmproto.OK || code == doveadmproto.TempFail {
		r.code = code
	}
}
