package brain

import (
	"context"
	"sync"

	"culver/services/doveadm/format"
)

// lane is a server, the users that are for it, and the connections that take
// one of them after the other.
type lane struct {
	*server
	r        *run
	workers  int
	jobs     chan job
	spare    link     // the first connection, before a job has it
	began    int      // connections that have work
	backlog  *backlog // nil: who has a user for it waits until one is free
	pumped   chan struct{}
	goneOnce sync.Once
}

func (r *run) newLane(s *server, workers int) *lane {
	return &lane{server: s, r: r, workers: workers, jobs: make(chan job)}
}

// take has a job done. With a backlog it does not wait: one server that is slow,
// or away, holds up no other.
func (ln *lane) take(ctx, listing context.Context, j job) error {
	if ln.backlog != nil {
		return ln.backlog.push(j)
	}
	return ln.hand(ctx, listing, j)
}

// pump hands the backlog to connections as they are free.
func (ln *lane) pump(ctx, listing context.Context) {
	defer close(ln.pumped)
	for {
		j, ok, err := ln.backlog.pop()
		if err != nil {
			ln.r.halt(err)
		}
		if !ok {
			return
		}
		if ln.r.stopped() {
			ln.r.out.end(j.n)
			ln.r.skip(j)
			continue
		}
		ln.hand(ctx, listing, j)
	}
}

// hand gives a job to a connection that is free, or to one more.
func (ln *lane) hand(ctx, listing context.Context, j job) error {
	select {
	case ln.jobs <- j:
		return nil
	default:
	}
	if ln.began < ln.workers {
		ln.began++
		l := ln.spare
		ln.spare = nil
		ln.r.wg.Go(func() { ln.work(ctx, listing, l, j) })
		return nil
	}
	select {
	case ln.jobs <- j:
		return nil
	case <-ln.r.stopping:
		ln.r.out.end(j.n)
		return ln.r.skip(j)
	}
}

// work is one connection's life: user after user.
func (ln *lane) work(ctx, listing context.Context, l link, j job) {
	for ok := true; ok; j, ok = <-ln.jobs {
		l = ln.r.serve(ctx, listing, ln, l, j)
	}
	if l != nil {
		l.Close()
		ln.closed()
	}
}

// end waits until all that was taken has been handed on.
func (ln *lane) end() {
	if ln.backlog != nil {
		ln.backlog.close()
		<-ln.pumped
	}
	close(ln.jobs)
}

// missed tells once that a server is given up.
func (ln *lane) missed(reason string) {
	ln.goneOnce.Do(func() {
		ln.r.show.line("doveadm: " + format.Safe(reason) + "; the run goes on without it")
	})
}
