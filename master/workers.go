package master

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/handoff"
	"culver/master/internal/rootexec"
	"culver/master/roster"
)

// workers is the pool of per-user processes of one service in one generation
// of the settings. Everything in it belongs to the master's loop.
type workers struct {
	key          string // all that it was made of, to tell whether a reload changes it
	logName      string // as the log shows it: "lmtp"
	class        string // the service whose fronts may ask
	limits       roster.Limits
	serviceCount int
	idleKill     time.Duration
	queueLimit   int
	queueTimeout time.Duration
	accessLimit  time.Duration // a worker still busy after this is killed
	spawners     *rootexec.Pool
	retired      bool // a newer generation has taken over: serve what is queued, then go

	asking int        // requests that auth is looking up
	queue  []*request // oldest first; settled ones are skipped and swept
	procs  map[*process]*post
	ofUser map[string]int             // accesses under way
	holds  map[string]*roster.Backoff // users whose workers die before they serve
	spares roster.Backoff             // of spare processes, which die for nobody's sake
	due    bool                       // keepSpare comes again when spares' delay is over
}

// access is one user's being served.
type access struct {
	w *workers
	p *process
	o *post
}

// post is what the pool knows of one process.
type post struct {
	who      rootexec.Identity
	user     string      // of the access under way; "" when idle
	request  requestKey  // what the access came of
	began    time.Time   // the access
	accesses int         // handed to it in its life
	statuses int         // told by it: that it is ready, and the end of each access
	broken   bool        // it could not be handed an access: it has crashed just now
	since    time.Time   // when it became idle
	deadline *time.Timer // of its access, then of its leaving
	idle     *time.Timer
}

// shared tells whether one of its processes may serve several users.
func (w *workers) shared() bool { return w.serviceCount != 1 || w.limits.MinAvail > 0 }

func (w *workers) idlePost(p *process, o *post) bool {
	return o.user == "" && !w.leaving(p, o) && p.pid > 0
}

// leaving tells whether a process gets nothing more to do.
func (w *workers) leaving(p *process, o *post) bool { return p.draining || p.closed || o.broken }

// leavers counts processes whose places are about to be free.
func (w *workers) leavers() (n int) {
	if w.neverIdle() {
		return 0 // nobody is ever asked to make room
	}
	for p, o := range w.procs {
		if o.user == "" && w.leaving(p, o) {
			n++
		}
	}
	return n
}

// dispatch gives workers to the queue, oldest first; a user at his own limit
// holds up nobody else.
func (m *Master) dispatch(w *workers) {
	kept := w.queue[:0]
	now := time.Now()
	coming := w.leavers()
	for i, r := range w.queue {
		if r.state != waiting {
			continue
		}
		if w.full() { // nobody can be served: do not ask for each of thousands
			kept = append(kept, w.queue[i:]...)
			break
		}
		d := roster.Next(w.limits, w.counts(r), now)
		for d.Action == roster.Reuse && !m.reuse(w, r) { // it had just crashed: another
			d = roster.Next(w.limits, w.counts(r), now)
		}
		switch d.Action {
		case roster.Reuse:
		case roster.Spawn:
			m.spawnFor(w, r)
		case roster.Refuse:
			m.answer(r, handoff.CodeTempfail, "", "worker failed a moment ago")
		case roster.Evict:
			if coming--; coming < 0 { // else a place is on its way already
				m.evict(w)
			}
			fallthrough
		default:
			r.setting = d.Setting
			kept = append(kept, r)
		}
	}
	clear(w.queue[len(kept):])
	w.queue = kept
	m.keepSpare(w)
	m.retire(w)
}

func (w *workers) full() bool {
	return len(w.procs) >= w.limits.Processes && w.idle() == 0
}

func (w *workers) counts(r *request) roster.Counts {
	c := roster.Counts{Total: len(w.procs), OfUser: w.ofUser[r.user]}
	if h := w.holds[r.user]; h != nil {
		c.HoldUntil = h.Until()
	}
	if w.neverIdle() {
		return c
	}
	for p, o := range w.procs {
		if !w.idlePost(p, o) {
			continue
		}
		if sameIdentity(o.who, r.child.Identity) {
			c.IdleSame++
		} else {
			c.IdleOther++
		}
	}
	return c
}

// reuse takes the process that became idle last: its memory is still in the
// caches, and those that are one too many stay idle until idle_kill. false: it
// is broken, and the request as it was.
func (m *Master) reuse(w *workers, r *request) bool {
	var last *process
	for p, o := range w.procs {
		if w.idlePost(p, o) && sameIdentity(o.who, r.child.Identity) && (last == nil || o.since.After(w.procs[last].since)) {
			last = p
		}
	}
	return m.grant(w, last, w.procs[last], r)
}

// evict asks the process that has been idle longest to leave.
func (m *Master) evict(w *workers) {
	var first *process
	for p, o := range w.procs {
		if w.idlePost(p, o) && (first == nil || o.since.Before(w.procs[first].since)) {
			first = p
		}
	}
	m.dismiss(w, first, w.procs[first])
}

// spawnFor starts a process for a request. Its first access lies in its control
// socket before it exists.
func (m *Master) spawnFor(w *workers, r *request) {
	p := &process{service: w.logName, born: time.Now()}
	if w.serviceCount == 1 {
		p.user = r.user
	}
	o := &post{who: r.child.Identity}
	theirs, log, err := m.channels(p)
	if err != nil {
		m.log.Error("no descriptors for a worker", "service", w.logName, "user", r.user, "err", err)
		m.answer(r, handoff.CodeTempfail, "", "")
		return
	}
	front, err := m.hand(w, p, o, r)
	if err != nil {
		unix.Close(theirs)
		unix.Close(log)
		m.unborn(p)
		m.unhanded(w, p, r, err)
		return
	}
	m.enlist(w, p, o)
	r.state = born
	c := r.child
	c.Control, c.Log = theirs, log
	w.spawners.Start(c, func(res rootexec.Result) {
		m.post(func() { m.spawned(w, p, r, front, res) })
	})
}

// enlist puts a process on the pool's books and wires what it does to them.
func (m *Master) enlist(w *workers, p *process, o *post) {
	w.procs[p] = o
	p.spoke = func() { m.workerSpoke(w, p, o) }
	p.died = func(status unix.WaitStatus) { m.workerDied(w, p, o, status) }
	p.hung = func() { m.workerHungUp(w, p, o) }
	go m.listen(p, handoff.StatusSize)
}

// spawned is the spawner's word on a birth. front is our end of the
// conversation until the front has it.
func (m *Master) spawned(w *workers, p *process, r *request, front int, res rootexec.Result) {
	if res.PID > 0 {
		m.named(p, res.PID)
	}
	switch {
	case r.state == over: // taken back: the worker finds its stream closed
		unix.Close(front)
	case res.Err == nil:
		m.connect(r, front)
	default:
		unix.Close(front)
		m.answer(r, handoff.CodeTempfail, "", "")
	}
	if res.Err == nil {
		return
	}
	m.log.Error("worker cannot be started", "service", w.logName, "user", r.user, "err", res.Err)
	m.tally(w.class).fail(time.Now(), fmt.Sprintf("user %s: %v", r.user, res.Err))
	if res.PID == 0 {
		m.released(w, w.procs[p])
		delete(w.procs, p)
		m.unborn(p)
		m.dispatch(w)
		m.checkStopped()
	}
}

// connect gives the front its end of the conversation.
func (m *Master) connect(r *request, front int) {
	m.settle(r)
	if r.front.gone {
		unix.Close(front)
		return
	}
	r.front.out.post(&handoff.Message{Kind: handoff.KindAnswer, ID: r.id, Code: handoff.CodeOK}, front)
}

// grant hands an idle process its next access and the front the other end;
// false when the process is broken. Its user's request then is another's.
func (m *Master) grant(w *workers, p *process, o *post, r *request) bool {
	front, err := m.hand(w, p, o, r)
	switch err {
	case nil:
		m.connect(r, front)
	case unix.EPIPE, unix.ECONNRESET, unix.EAGAIN: // gone, or it does not read
		m.log.Warn("idle worker is broken, taking another", "service", w.logName, "pid", p.pid, "err", err)
		o.broken = true
		m.kill(p, unix.SIGKILL)
		return false
	default:
		m.unhanded(w, p, r, err)
	}
	return true
}

// unhanded answers a request whose worker could not be handed it, for a reason
// that would hold for any other worker.
func (m *Master) unhanded(w *workers, p *process, r *request, err error) {
	m.log.Error("worker cannot be given its user", "service", w.logName, "user", r.user, "pid", p.pid, "err", err)
	m.answer(r, handoff.CodeTempfail, "", "")
}

// hand makes the conversation's socketpair, sends the worker its end with the
// grant, and gives the front's end. The master makes the pair itself: it takes
// no descriptor from a child.
func (m *Master) hand(w *workers, p *process, o *post, r *request) (front int, err error) {
	theirs, front, err := fdpass.Pair(unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	msg := handoff.Message{Kind: handoff.KindAccess, Text: string(r.grant.Encode())}
	err = p.control.TrySend(msg.Append(nil), theirs)
	unix.Close(theirs)
	if err != nil {
		unix.Close(front)
		return -1, err
	}
	o.user, o.request, o.began = r.user, requestKey{r.front, r.id}, time.Now()
	m.serving[o.request] = access{w, p, o}
	o.accesses++
	w.ofUser[r.user]++
	if o.idle != nil {
		o.idle.Stop()
	}
	m.await(w, p, o, w.accessLimit)
	return front, nil
}

// await sets the deadline of the access that begins.
func (m *Master) await(w *workers, p *process, o *post, limit time.Duration) {
	n := o.accesses
	o.deadline = time.AfterFunc(limit, func() { m.do(func() { m.overdue(w, p, n) }) })
}

func (m *Master) overdue(w *workers, p *process, n int) {
	o := w.procs[p]
	switch {
	case o == nil || o.user == "" || o.accesses != n: // it ended while this was on its way
	case p.pid == 0: // not born yet; once it is, it must not go without a deadline
		m.await(w, p, o, leaveLimit)
	default:
		m.log.Error("worker is over its time, killing it", "service", w.logName, "pid", p.pid, "user", o.user, "limit", w.accessLimit)
		m.kill(p, unix.SIGKILL)
	}
}

// leaveLimit is how long a worker with nothing to do may take to go: its place
// below process_limit is another user's.
const leaveLimit = 10 * time.Second

// dismiss asks an idle worker to go.
func (m *Master) dismiss(w *workers, p *process, o *post) {
	m.drain(p)
	m.leaves(w, p, o)
}

// leaves gives a worker that has no access, and gets none, the time to go by
// itself. It need not take our word for it: its user may have stopped it.
func (m *Master) leaves(w *workers, p *process, o *post) {
	if o.idle != nil {
		o.idle.Stop()
	}
	o.deadline = time.AfterFunc(leaveLimit, func() {
		m.do(func() {
			if w.procs[p] == o {
				m.log.Error("worker does not go, killing it", "service", w.logName, "pid", p.pid, "user", p.user, "limit", leaveLimit)
				m.kill(p, unix.SIGKILL)
			}
		})
	})
}

// workerHungUp is the end of a worker's messages. With an access under way it
// has that one's deadline.
func (m *Master) workerHungUp(w *workers, p *process, o *post) {
	if o.user == "" && !p.draining {
		m.leaves(w, p, o)
	}
}

// released ends the access that a process had and tells whose it was.
func (m *Master) released(w *workers, o *post) (user string) {
	if o.user == "" {
		return ""
	}
	user, o.user, o.since = o.user, "", time.Now()
	delete(m.serving, o.request)
	o.deadline.Stop()
	if w.ofUser[user]--; w.ofUser[user] <= 0 {
		delete(w.ofUser, user)
	}
	return user
}

// workerSpoke takes a worker's Status: it has finished what it was handed when
// it has served as many accesses as that.
func (m *Master) workerSpoke(w *workers, p *process, o *post) {
	if o.statuses++; o.statuses > o.accesses+1 {
		m.hungUp(p, fmt.Errorf("%w: a Status that nothing was done for", handoff.ErrMessage))
		return
	}
	if p.served < uint64(o.accesses) || p.draining {
		return
	}
	if user := m.released(w, o); user != "" {
		delete(w.holds, user)
		w.spares.Served()
	}
	switch {
	case p.available == 0, w.serviceCount > 0 && o.accesses >= w.serviceCount:
		// We count as well: a worker that its user has taken over would say that
		// it is free, and be handed somebody else's mail.
		p.draining = true
		m.leaves(w, p, o)
		return
	case w.retired:
		m.dismiss(w, p, o)
		return
	}
	if w.idleKill > 0 {
		o.idle = time.AfterFunc(w.idleKill, func() { m.do(func() { m.idled(w, p, o) }) })
	}
	m.dispatch(w)
}

func (m *Master) idled(w *workers, p *process, o *post) {
	if w.procs[p] == o && w.idlePost(p, o) && roster.Surplus(w.limits, w.idle()) {
		m.dismiss(w, p, o)
	}
}

// neverIdle tells that each process is born for its one access.
func (w *workers) neverIdle() bool { return w.serviceCount == 1 && w.limits.MinAvail == 0 }

func (w *workers) idle() (n int) {
	if w.neverIdle() {
		return 0
	}
	for p, o := range w.procs {
		if w.idlePost(p, o) {
			n++
		}
	}
	return n
}

func (m *Master) workerDied(w *workers, p *process, o *post, status unix.WaitStatus) {
	delete(w.procs, p)
	if o.idle != nil {
		o.idle.Stop()
	}
	if o.deadline != nil {
		o.deadline.Stop()
	}
	user := m.released(w, o)
	reason, bad := deathReason(status)
	unserved := user != "" && p.served < uint64(o.accesses)
	if bad || unserved {
		m.tally(w.class).fail(time.Now(), fmt.Sprintf("pid %d, user %s: %s", p.pid, user, reason))
	}
	switch {
	case unserved && !p.ready:
		wait := w.hold(user).Fail(time.Now())
		m.log.Error("worker died before it served, throttling its user", "service", w.logName, "pid", p.pid, "user", user, "reason", reason, "wait", wait)
	case bad, unserved:
		m.log.Error("worker died", "service", w.logName, "pid", p.pid, "user", user, "reason", reason)
	}
	if o.accesses == 0 && !p.draining { // exit 0 included: it would be forked without end
		m.spareFailed(w)
	}
	m.dispatch(w)
	m.checkStopped()
}

// maxHolds bounds the users we remember as trouble.
const maxHolds = 10000

func (w *workers) hold(user string) *roster.Backoff {
	if b := w.holds[user]; b != nil {
		return b
	}
	if len(w.holds) >= maxHolds {
		now := time.Now()
		for u, b := range w.holds {
			if b.Forgettable(now) {
				delete(w.holds, u)
			}
		}
	}
	b := &roster.Backoff{}
	if len(w.holds) < maxHolds {
		w.holds[user] = b
	}
	return b
}

// retire lets a pool of an older generation end once nothing is left to do.
func (m *Master) retire(w *workers) {
	if !w.retired || len(w.queue) > 0 || w.asking > 0 {
		return
	}
	for p, o := range w.procs {
		if w.idlePost(p, o) {
			m.dismiss(w, p, o)
		}
	}
	if len(w.procs) == 0 {
		w.spawners.Close()
	}
}

func sameIdentity(a, b rootexec.Identity) bool {
	return a.UID == b.UID && a.GID == b.GID && slices.Equal(a.Groups, b.Groups)
}
