package brain

// turns decides whose result goes to stdout. Jobs are numbered in the order of
// the list. The first job that has something to print owns stdout until it
// ends; what the others have is held, in memory or in a file, as much as the
// room allows, and then they wait, which their servers feel. With ordered the
// owner is always the first job of the list that has not ended. It is pure: no
// lock, no byte.
type turns struct {
	ordered bool
	room    room
	ahead   int64 // ordered: jobs from next on that may have begun

	owner  int64 // not ordered: who prints, or nobody
	next   int64 // ordered: whose turn it is
	jobs   map[int64]*turn
	memory int   // bytes held in memory
	filed  int64 // and in the file
	end    int64 // of the file: it is written on until all was printed
}

// room is what results may take up while they wait.
type room struct {
	memory int   // bytes
	piece  int   // of one job; more goes to the file together
	file   int64 // bytes
}

// newRoom leaves half of the memory to jobs that have ended, so that what goes
// to the file is never much smaller than a piece.
func newRoom(workers int) room {
	return room{maxHeld, min(maxPiece, maxHeld/2/max(workers, 1)), maxFiled}
}

const (
	nobody = int64(-1)
	others = int64(-2) // not ordered: all jobs that ended and were not printed, together
)

// turn is what is known of one job that printed, holds or ended.
type turn struct {
	held    int   // bytes in memory
	filed   int64 // bytes in the file
	ended   bool
	printed bool
}

func (j *turn) waits() bool { return j.held > 0 || j.filed > 0 }

type verdict int

const (
	through verdict = iota // write it to stdout
	hold                   // keep it in memory
	spill                  // keep it, and put all that the job holds into the file
	wait                   // ask again when something has ended
)

func newTurns(ordered bool, room room, ahead int) *turns {
	return &turns{ordered: ordered, room: room, ahead: int64(ahead), owner: nobody, jobs: make(map[int64]*turn)}
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
	if t.owns(n) {
		t.job(n).printed = true
		return through
	}
	held := bytes
	if j := t.jobs[n]; j != nil {
		held += j.held
	}
	fits := t.memory+bytes <= t.room.memory
	filed := t.end+int64(held) <= t.room.file
	switch {
	case fits && (held <= t.room.piece || !filed):
		t.job(n).held += bytes
		t.memory += bytes
		return hold
	case filed:
		t.job(n).held += bytes
		t.memory += bytes // until it is spilled
		return spill
	}
	return wait
}

// crowded tells whether what a job that ended has in memory is to go to the file.
func (t *turns) crowded(n int64) bool {
	j := t.jobs[n]
	return j != nil && j.held > 0 && t.memory > t.room.memory/2 && (t.ordered || j.held > t.room.piece) &&
		t.end+int64(j.held) <= t.room.file
}

// spilled notes that bytes of a job's are in the file now.
func (t *turns) spilled(n int64, bytes int) {
	j := t.jobs[n]
	j.held -= bytes
	j.filed += int64(bytes)
	t.memory -= bytes
	t.filed += int64(bytes)
	t.end += int64(bytes)
}

// full notes that the file takes no more.
func (t *turns) full() { t.room.file = t.end }

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
	t.release(n)
	delete(t.jobs, n)
	return true
}

// ended says that a job has ended, and gives the jobs whose results are to be
// printed now, in that order; all but the last have ended.
func (t *turns) ended(n int64) []int64 {
	if t.ordered {
		t.job(n).ended = true
		return t.advance()
	}
	j := t.jobs[n]
	delete(t.jobs, n)
	if !t.owns(n) {
		if j != nil {
			o := t.job(others)
			o.ended = true
			o.held += j.held
			o.filed += j.filed
		}
		return nil
	}
	t.owner = nobody
	var print []int64
	if t.jobs[others] != nil {
		t.release(others)
		delete(t.jobs, others)
		print = append(print, others)
	}
	for n, j := range t.jobs { // only jobs that hold bytes are left
		if j.waits() && (t.owner == nobody || n < t.owner) {
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
		if j.waits() {
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
	t.memory -= j.held
	if t.filed -= j.filed; t.filed == 0 {
		t.end = 0
	}
	j.held, j.filed, j.printed = 0, 0, true
}
