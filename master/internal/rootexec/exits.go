package rootexec

// Exits pairs the ends of children, as wait4 gives them, with their births, as
// Results give them: a child may be reaped before its Result comes, and one
// whose exec failed is reaped without ever having one. The zero value is ready.
// It belongs to one goroutine and calls nothing.
//
// For each Start call Asked, for each Result Born (with pid 0 for a failure),
// for each pid reaped that is no known child Ended.
type Exits[S any] struct {
	asked map[uint64]bool
	early map[int]early[S]
}

// early is an end that nobody has claimed yet, and the births any of which may.
type early[S any] struct {
	status S
	by     map[uint64]bool
}

// Asked notes a birth under way.
func (e *Exits[S]) Asked(serial uint64) {
	if e.asked == nil {
		e.asked, e.early = map[uint64]bool{}, map[int]early[S]{}
	}
	e.asked[serial] = true
}

// Born notes a birth's result, and says whether that child has ended already.
func (e *Exits[S]) Born(serial uint64, pid int) (status S, ended bool) {
	delete(e.asked, serial)
	if x, ok := e.early[pid]; ok && x.by[serial] {
		status, ended = x.status, true
		delete(e.early, pid)
	}
	for other, x := range e.early {
		if delete(x.by, serial); len(x.by) == 0 { // a child whose exec failed
			delete(e.early, other)
		}
	}
	return status, ended
}

// Ended notes the end of a process that no Result has named.
func (e *Exits[S]) Ended(pid int, status S) {
	if len(e.asked) == 0 {
		return
	}
	by := make(map[uint64]bool, len(e.asked))
	for serial := range e.asked {
		by[serial] = true
	}
	e.early[pid] = early[S]{status, by}
}
