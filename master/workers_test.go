package master

import (
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/master/internal/rootexec"
	"culver/master/roster"
)

// testWorker is a pool with one process that was handed one access, and a
// descriptor at the process's end of the control socket.
func testWorker(t *testing.T, serviceCount int) (*Master, *workers, *process, *post) {
	t.Helper()
	m := &Master{
		log: slog.New(slog.DiscardHandler), loop: make(chan func(), 256), gen: &generation{},
		births: map[*process]struct{}{}, children: map[int]*process{}, orphans: map[int]orphan{}, requests: map[requestKey]*request{}, serving: map[requestKey]access{}, tallies: map[string]*tally{},
	}
	w := &workers{
		serviceCount: serviceCount, limits: roster.Limits{Processes: 4}, accessLimit: time.Hour,
		procs: map[*process]*post{}, ofUser: map[string]int{}, holds: map[string]*roster.Backoff{},
	}
	who := rootexec.Identity{UID: 1000, GID: 1000}
	p, o := &process{born: time.Now()}, &post{who: who}
	theirs, log, err := m.channels(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(theirs)
		unix.Close(log)
		m.unborn(p)
	})
	front, err := m.hand(w, p, o, &request{birth: birth{user: "ann"}, front: &process{}})
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(front)
	m.enlist(w, p, o)
	p.pid = 1 << 30 // of nobody, and not in the books: never signalled
	return m, w, p, o
}

func say(m *Master, p *process, available, served uint64) {
	m.hear(p, handoff.Message{Kind: handoff.KindStatus, Available: available, Served: served})
}

func TestWorkerOfOneAccessIsNeverReusedWhateverItSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		serviceCount int
		wantIdle     int
	}{
		{"one user", 1, 0}, {"two users", 2, 1}, {"no limit", 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, w, p, o := testWorker(t, tt.serviceCount)
			say(m, p, 1, 0)
			say(m, p, 1, 1) // free, it says, also where it was to serve one user
			if o.user != "" || w.ofUser["ann"] != 0 {
				t.Errorf("its access is still on the books: %q, %d", o.user, w.ofUser["ann"])
			}
			got := w.counts(&request{birth: birth{child: rootexec.Child{Identity: o.who}}}).IdleSame
			if got != tt.wantIdle {
				t.Errorf("idle processes of its identity: got %d, want %d", got, tt.wantIdle)
			}
			if tt.wantIdle == 0 && (!p.draining || o.deadline == nil) {
				t.Error("it has no deadline to go")
			}
		})
	}
}

func TestWorkerMaySpeakOncePerAccess(t *testing.T) {
	t.Parallel()
	m, _, p, _ := testWorker(t, 0)
	say(m, p, 1, 0)
	say(m, p, 1, 1)
	if p.closed {
		t.Fatal("its two messages were one too many")
	}
	say(m, p, 1, 1)
	if !p.closed {
		t.Error("a third message was taken: a flood of them costs the loop its time")
	}
}

func TestOverdueMeansOneAccessOnly(t *testing.T) {
	t.Parallel()
	m, w, p, o := testWorker(t, 0)
	was := o.deadline
	o.accesses++ // the next access began while the first one's timer waited for the loop
	p.pid = 0
	m.overdue(w, p, 1)
	if o.deadline != was {
		t.Error("a deadline of the access before was taken for this one's")
	}
	m.overdue(w, p, 2)
	if o.deadline == was {
		t.Error("a worker that is not born yet lost its deadline")
	}
}

func TestSparesThatDieAtOnceAreThrottled(t *testing.T) {
	t.Parallel()
	m, w, p, o := testWorker(t, 0)
	m.released(w, o)
	o.accesses = 0 // a spare
	m.hungUp(p, io.EOF)
	m.workerDied(w, p, o, 0)
	if wait := time.Until(w.spares.Until()); wait <= 0 {
		t.Errorf("the next spare comes in %v, want a delay", wait)
	}
}

func TestSettledRequestsDoNotCrowdTheQueue(t *testing.T) {
	t.Parallel()
	w := &workers{queueLimit: 3, asking: 1, queue: []*request{{state: waiting}, {state: over}, {state: over}}}
	if w.crowded() {
		t.Error("two that were taken back still count")
	}
	w.asking++
	if !w.crowded() {
		t.Error("two looked up and one waiting are not three")
	}
}

func TestLinesOfAChildThatDiesWithoutALogServiceWaitForTheNext(t *testing.T) {
	t.Parallel()
	m := &Master{births: map[*process]struct{}{}}
	p := &process{service: "lmtp", user: "ann", pid: 1 << 30}
	theirs, log, err := m.channels(p)
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(log, []byte("last words\n"))
	unix.Close(log)
	unix.Close(theirs)
	m.unborn(p)
	if len(m.unread) != 1 || m.unread[0].user != "ann" {
		t.Fatalf("kept: got %+v, want ann's pipe", m.unread)
	}
	buf := make([]byte, 64)
	if n, err := unix.Read(m.unread[0].read, buf); string(buf[:max(n, 0)]) != "last words\n" {
		t.Errorf("got %q, %v", buf[:max(n, 0)], err)
	}
	unix.Close(m.unread[0].read)
}

func TestPIDThatIsNoChildOfOursIsNeverSignalled(t *testing.T) {
	t.Parallel()
	m, _, p, _ := testWorker(t, 1)
	m.named(p, os.Getppid()) // as if it had been reaped and its pid given to another
	if !p.reaped || m.children[p.pid] != nil {
		t.Errorf("reaped %t, %d children: want it buried", p.reaped, len(m.children))
	}
}

// idleWorkers adds processes that are idle.
func idleWorkers(t *testing.T, m *Master, w *workers, who rootexec.Identity, n int) {
	t.Helper()
	for range n {
		p, o := &process{born: time.Now(), pid: 1 << 30}, &post{who: who, since: time.Now()}
		theirs, log, err := m.channels(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(theirs)
			unix.Close(log)
			m.unborn(p)
		})
		m.enlist(w, p, o)
	}
}

func TestAPlaceThatIsOnItsWayIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	m, w, _, o := testWorker(t, 0)
	m.released(w, o)
	idleWorkers(t, m, w, o.who, 3) // four in all: the limit
	stranger := birth{user: "bob", child: rootexec.Child{Identity: rootexec.Identity{UID: 1001, GID: 1001}}}
	w.queue = []*request{{birth: stranger, state: waiting}}
	m.dispatch(w)
	m.dispatch(w)
	if got := w.leavers(); got != 1 {
		t.Errorf("asked to leave for one request: got %d, want 1", got)
	}
	w.queue = append(w.queue, &request{birth: stranger, state: waiting})
	m.dispatch(w)
	if got := w.leavers(); got != 2 {
		t.Errorf("asked to leave for two: got %d, want 2", got)
	}
}

func TestAWorkerThatHasJustCrashedCostsNoDelivery(t *testing.T) {
	t.Parallel()
	m, w, _, o := testWorker(t, 0)
	m.released(w, o)
	p, crashed := &process{born: time.Now(), pid: 1 << 30}, &post{who: o.who, since: time.Now().Add(time.Hour)}
	theirs, log, err := m.channels(p)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(theirs)
	unix.Close(log)
	t.Cleanup(func() { m.unborn(p) })
	m.enlist(w, p, crashed) // the one that would be taken; the loop has not heard of its end
	front := &process{}
	theirs, log, err = m.channels(front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(theirs); unix.Close(log); m.unborn(front) })
	r := &request{birth: birth{user: "bob", child: rootexec.Child{Identity: o.who}}, state: waiting, front: front, pool: w}
	w.queue = []*request{r}
	m.dispatch(w)
	if !crashed.broken || w.ofUser["bob"] != 1 || r.state != over {
		t.Errorf("broken %t, with workers %d, state %d: want another worker to have it", crashed.broken, w.ofUser["bob"], r.state)
	}
}

// A front may serve before its spawner has told its pid: a stop that then came
// ended the master under a transaction.
func TestStopWaitsForAProcessWithoutAPid(t *testing.T) {
	t.Parallel()
	m, _, p, _ := testWorker(t, 1)
	m.stopping = true
	m.checkStopped()
	if m.ended || !p.draining {
		t.Errorf("ended %t, asked to leave %t: want only the second", m.ended, p.draining)
	}
	m.unborn(p)
	m.checkStopped()
	if !m.ended {
		t.Error("nobody is left, and the master does not end")
	}
}

// A front may say it at any time: before the birth, after the end, or twice.
func TestAbandonedAccessEndsWithItsWorker(t *testing.T) {
	t.Parallel()
	m, w, p, o := testWorker(t, 1)
	front := o.request.front
	abandon := func(id uint64) {
		m.favour(front, asker{class: "lmtp"}, handoff.Message{Kind: handoff.KindAbandon, ID: id})
	}
	abandon(o.request.id + 1)
	if p.doomed {
		t.Fatal("killed for another request")
	}
	abandon(o.request.id)
	if !p.doomed {
		t.Error("it lives on")
	}
	m.released(w, o)
	if len(m.serving) != 0 {
		t.Errorf("%d accesses are on the books, want none", len(m.serving))
	}
	p.doomed = false
	abandon(o.request.id)
	if p.doomed || front.closed {
		t.Error("an access that is over was ended once more, or its front was")
	}
}
