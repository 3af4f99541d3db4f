package brain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"culver/internal/authproto"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/format"
)

// job is the work for one user.
type job struct {
	n     int64 // its place in the list
	user  string
	as    string // the user's name on the server; "" is the same
	hops  int    // referrals that were followed
	steps []step
}

// step is one command of a job. All have one, but for those of a plan.
type step struct {
	args    []string
	planned int64 // messages that the plan names
}

// feed gives the jobs of a run, one after the other.
type feed func(ctx context.Context, each func(job) error) error

// run is one command for all its users.
type run struct {
	g       *Global
	feed    feed
	first   *lane   // the server of who is not elsewhere
	who     string  // we are, to servers
	router  *router // nil: nobody is
	sites   sites   // the other servers
	steps   []step  // of every user; nil in a plan, where each has his own
	name    string  // of the command, as on the wire
	minor   int     // that a server must have
	again   bool    // the command may be sent twice
	many    bool    // a run over users: a summary at its end, names before rows
	ordered bool
	dry     bool
	input   *spool
	out     *output
	tally   *tally
	show    display
	plan    *planWriter
	journal *journal
	past    *past
	count   func(ctx context.Context) (int64, error) // users there are, for the bar

	mu       sync.Mutex
	links    map[link]bool    // in the middle of a command
	begun    map[int64]string // users not yet settled
	stopping chan struct{}    // closed: begin nothing more
	stopOnce sync.Once
	why      error // stdout is gone
	wg       sync.WaitGroup
}

var errStopped = errors.New("stopped")

// connect makes the first connection, before anything is written. Where users
// are on several servers, each of which may be away, none is worth more.
func (r *run) connect(ctx context.Context) error {
	if r.router != nil {
		return nil
	}
	l, err := r.first.dial(ctx)
	switch {
	case errors.Is(err, errOld):
		return usage("server " + format.Safe(r.first.name) + " " + err.Error())
	case errors.Is(err, doveadmproto.ErrAuth):
		return &failure{doveadmproto.NoPerm, fmt.Sprintf("server %s: %v of %s", format.Safe(r.first.name), err, format.Safe(r.who))}
	case errors.Is(err, doveadmproto.ErrTrusted):
		return usage(fmt.Sprintf("server %s: %v", format.Safe(r.first.name), err))
	case err != nil:
		return fmt.Errorf("server %s: %w", format.Safe(r.first.name), err)
	}
	r.first.spare = l
	r.first.links = 1
	return nil
}

// run carries the command out and gives the exit status.
func (r *run) run(ctx context.Context) int {
	listing, endList := context.WithCancel(ctx)
	defer endList()
	ended := make(chan struct{})
	go r.watch(endList, ended)
	go r.ticks(ended)
	if r.count != nil {
		go func() {
			if n, err := r.count(listing); err == nil {
				r.show.total(n)
			}
		}()
	}
	listed := make(chan error, 1)
	go func() {
		listed <- r.feed(listing, func(j job) error { return r.give(ctx, listing, j) })
	}()
	var err error
	select {
	case err = <-listed:
	case <-listing.Done(): // a list from a terminal may never end
		select {
		case err = <-listed:
		case <-time.After(time.Second):
		}
	}
	for _, ln := range r.lanes() {
		ln.end()
	}
	r.wg.Wait()
	close(ended)
	return r.conclude(err)
}

// give hands a job to a connection that is free, or to one more.
func (r *run) give(ctx, listing context.Context, j job) error {
	if r.stopped() {
		return r.skip(j)
	}
	if !authproto.ValidUser(j.user) {
		r.settle(&j, &result{code: doveadmproto.NoUser, reason: "this is no user name"})
		return nil
	}
	switch r.past.of(j.user) {
	case wasDone:
		r.tally.skip("")
		return nil
	case wasBegun:
		if !r.again {
			r.settle(&j, &result{code: doveadmproto.TempFail, reason: unknown})
			return nil
		}
	}
	j.n = r.tally.number()
	if !r.out.begin(j.n) {
		return r.skip(j)
	}
	ln, err := r.laneOf(ctx, listing, &j)
	if err != nil {
		r.out.end(j.n)
		if r.stopped() {
			return r.skip(j)
		}
		r.settle(&j, &result{code: doveadmproto.TempFail, reason: err.Error()})
		return nil
	}
	return ln.take(ctx, listing, j)
}

// skip notes a user who was not begun. Where nobody wants their names there is
// no need to read on.
func (r *run) skip(j job) error {
	if r.tally.failed == nil {
		return errStopped
	}
	r.tally.skip(j.user)
	return nil
}

// result is what became of one user.
type result struct {
	code    int
	reason  string // of a failure
	logged  bool   // the reason was shown already
	touched int64
	bytes   int64 // dry run
	skipped bool  // not begun
	noted   bool  // in the journal as begun
	took    time.Duration
}

// unknown is the reason of those who may be done or not.
const unknown = "not known whether it was done"

// leftAlone is that of those who were left alone when the run was stopped.
const leftAlone = "not begun"

// serve does one user's work, and gives the connection back if it is well.
func (r *run) serve(ctx, listing context.Context, ln *lane, l link, j job) link {
	began := time.Now()
	r.mu.Lock()
	r.begun[j.n] = j.user
	r.mu.Unlock()
	var res result
	for i := 0; i < len(j.steps) && !res.skipped; i++ {
		l = r.step(ctx, listing, ln, l, &j, i, &res)
	}
	res.took = time.Since(began)
	if !r.out.end(j.n) {
		res.fail(doveadmproto.Protocol, "a row of the result is not complete")
	}
	r.finish(&j, &res)
	return l
}

// fail notes what went wrong.
func (res *result) fail(code int, reason string) {
	if worse(res.code, code) != res.code || res.reason == "" {
		res.reason, res.logged = reason, false
	}
	res.code = worse(res.code, code)
}

// step sends one command, and again where the connection is lost and that does
// no harm.
func (r *run) step(ctx, listing context.Context, ln *lane, l link, j *job, i int, res *result) link {
	for try := 1; ; try++ {
		if l == nil {
			var err error
			if l, err = ln.connect(listing); err != nil {
				if r.stopped() {
					res.skipped = i == 0
				}
				res.fail(doveadmproto.TempFail, "server "+ln.name+": "+err.Error())
				res.logged = true // once is enough, and no user is to blame
				if !res.skipped {
					ln.missed(res.reason)
				}
				return nil
			}
		}
		if i == 0 && try == 1 && j.hops == 0 {
			if err := r.journal.begin(j.user, !r.again); err != nil {
				res.fail(doveadmproto.TempFail, err.Error())
				res.skipped = true
				r.halt(err)
				return l
			}
			res.noted = true
		}
		if !r.enter(l) {
			res.skipped = i == 0 && try == 1
			res.fail(doveadmproto.TempFail, "interrupted")
			return l
		}
		k := &reply{r: r, j: j, res: res, first: i == 0, before: res.touched}
		cmd := doveadmproto.Command{Verbose: r.g.Verbose, Debug: r.g.Debug, User: cmp.Or(j.as, j.user), Name: r.name, Args: j.steps[i].args}
		code, err := l.Run(ctx, cmd, r.input.reader(), k)
		r.leave(l)
		if err == nil {
			if there, ok := r.referred(j, code, l.Referral()); ok {
				if far := r.step(ctx, listing, there, nil, j, i, res); far != nil {
					far.Close()
					there.closed()
				}
				return l
			}
			k.close(code, l.Referral(), j.steps[i].planned)
			return l
		}
		l.Close()
		ln.lost()
		l = nil
		if try < maxTries && r.again && !r.stopped() && r.out.drop(j.n) {
			k.forget()
			continue
		}
		k.broken(err)
		return nil
	}
}

// enter notes that a connection is in the middle of a command. It is false when
// nothing may begin any more.
func (r *run) enter(l link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped() {
		return false
	}
	r.links[l] = true
	return true
}

func (r *run) leave(l link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
}

func (r *run) stopped() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// halt begins nothing more and asks what runs to stop before its next message.
func (r *run) halt(why error) {
	r.stopOnce.Do(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.why = why
		close(r.stopping)
		for l := range r.links {
			go l.Cancel() // it may have to wait for a server that does not read
		}
	})
}

// watch waits for Ctrl-C: the first ends the run in good order, the second at
// once.
func (r *run) watch(endList context.CancelFunc, ended <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case <-ended:
			return
		case <-r.g.Interrupt:
		}
		if n > 1 {
			r.leaveNow()
			return
		}
		r.show.line("doveadm: stopping at the next message; again to leave at once")
		r.halt(nil)
		if r.tally.failed == nil {
			endList()
		}
	}
}

// leaveNow saves what is known and ends the program.
func (r *run) leaveNow() {
	text := "doveadm: left; what was begun may be done or not"
	if f := r.tally.failed; f != nil {
		text += "; " + format.Safe(f.name) + " lacks those who were not begun"
	}
	io.WriteString(r.g.Err, text+"\n") // a bar would not get to it
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, user := range r.begun {
		r.tally.leave(user)
	}
	r.tally.close()
	r.journal.close()
	os.Exit(doveadmproto.TempFail)
}

// ticks shows now and then what was printed and how far the run is.
func (r *run) ticks(ended <-chan struct{}) {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ended:
			return
		case <-t.C:
			r.out.tick()
		}
		if n%10 == 0 {
			r.journal.tick()
		}
	}
}

// finish notes what became of a user, in the journal too.
func (r *run) finish(j *job, res *result) {
	if !res.skipped || res.noted {
		if err := r.journal.end(j.user, res.code); err != nil {
			r.halt(err)
		}
	}
	r.settle(j, res)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.begun, j.n)
}

// settle counts a user, and shows what went wrong.
func (r *run) settle(j *job, res *result) {
	if res.code != 0 && !res.logged && !res.skipped {
		r.show.log(j.user, doveadmproto.LogError, res.reason)
	}
	r.tally.add(j.user, res)
	r.show.user(j.user, res)
}

// conclude ends the run: what is left to print, the summary, the exit status.
func (r *run) conclude(listErr error) int {
	code := 0
	trouble := func(err error) {
		r.show.line("doveadm: " + format.Safe(err.Error()))
		code = worse(code, Code(err))
	}
	if err := r.out.finish(); err != nil && r.why == nil {
		r.why = fmt.Errorf("standard output: %w", err)
	}
	if r.why != nil {
		trouble(r.why)
	}
	if listErr != nil && !r.stopped() {
		trouble(listErr)
	}
	for _, err := range []error{r.plan.close(), r.journal.close(), r.tally.close()} {
		if err != nil {
			trouble(err)
		}
	}
	if r.stopped() {
		code = worse(code, doveadmproto.TempFail)
	}
	s := r.tally.sum()
	s.exit = worse(s.exit, code)
	r.show.end(s, r.many, r.stopped(), r.journal.path())
	return s.exit
}

// close ends what the run did not make use of.
func (r *run) close() {
	r.input.close()
	r.tally.failed.discard()
	if r.first.spare != nil {
		r.first.spare.Close()
	}
}
