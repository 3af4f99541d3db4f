package brain

// turns decides whose result goes to stdout. Jobs are numbered in the order of
// the list. The first job that has something to print owns stdout until it
// ends; what the others have is held, all together at most limit bytes, and
// then they wait, which their servers feel. With ordered the owner is always the
// first job of the list that has not ended. It is pure: no lock, no byte.
type turns struct {
	ordered bool
	limit   int
	ahead   int64 // ordered: jobs from next on that may have begun

	owner int64 // not ordered: who prints, or nobody
	next  int64 // ordered: whose turn it is
	jobs  map[int64]*turn
	ended []int64 // not ordered: jobs that ended and have bytes held
	total int
}

const nobody = int64(-1)

// turn is what is known of one job that printed, holds or ended.
type turn struct {
	held    int
	ended   bool
	printed bool
}

type verdict int

const (
	through verdict = iota // write it to stdout
	hold                   // keep it
	wait                   // ask again when something has ended
)

func newTurns(ordered bool, limit, ahead int) *turns {
	return &turns{ordered: ordered, limit: limit, ahead: int64(ahead), owner: nobody, jobs: make(map[int64]*turn)}
}

func (t *turns) job(n int64) *turn {
	j := t.jobs[n]
	if j == nil {
		j = new(turn)
		t.jobs[n] = j
	}
	return j
}

// mayBegin tells whether a job may be given to a connection yet.
func (t *turns) mayBegin(n int64) bool { return !t.ordered || n < t.next+t.ahead }

// offer says what is to be done with bytes that a job has.
func (t *turns) offer(n int64, bytes int) verdict {
	if !t.ordered && t.owner == nobody {
		t.owner = n
	}
	switch {
	case t.owns(n):
		t.job(n).printed = true
		return through
	case t.total+bytes <= t.limit:
		t.job(n).held += bytes
		t.total += bytes
		return hold
	}
	return wait
}

func (t *turns) owns(n int64) bool {
	if t.ordered {
		return n == t.next
	}
	return n == t.owner
}

// drop forgets what a job holds, because it begins again. It is false if some
// of it was printed.
func (t *turns) drop(n int64) bool {
	j := t.jobs[n]
	if j == nil {
		return true
	}
	if j.printed {
		return false
	}
	t.total -= j.held
	delete(t.jobs, n)
	return true
}

// end says that a job has ended, and gives the jobs whose held bytes are to be
// printed now, in that order; all but the last have ended.
func (t *turns) end(n int64) []int64 {
	if t.ordered {
		t.job(n).ended = true
		return t.advance()
	}
	j := t.jobs[n]
	if !t.owns(n) {
		if j != nil {
			j.ended = true
			t.ended = append(t.ended, n)
		}
		return nil
	}
	delete(t.jobs, n)
	t.owner = nobody
	print := t.ended
	t.ended = nil
	for _, n := range print {
		t.release(n)
		delete(t.jobs, n)
	}
	for n, j := range t.jobs { // only jobs that hold bytes are left
		if j.held > 0 && (t.owner == nobody || n < t.owner) {
			t.owner = n
		}
	}
	if t.owner != nobody {
		t.release(t.owner)
		print = append(print, t.owner)
	}
	return print
}

// advance gives stdout to the first job that has not ended.
func (t *turns) advance() []int64 {
	var print []int64
	for {
		j := t.jobs[t.next]
		if j == nil {
			return print
		}
		if j.held > 0 {
			t.release(t.next)
			print = append(print, t.next)
		}
		if !j.ended {
			return print
		}
		delete(t.jobs, t.next)
		t.next++
	}
}

func (t *turns) release(n int64) {
	j := t.jobs[n]
	t.total -= j.held
	j.held, j.printed = 0, true
}
