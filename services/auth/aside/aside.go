// Package aside runs work that computes for milliseconds beside the lookups of
// the auth process, which take microseconds.
//
// Runs as:   the auth service user.
// Trusts:    its callers.
// Distrusts: nobody.
// Speaks:    nothing.
package aside

import (
	"runtime"
	"sync"
)

// procs are the process's own: Go's runtime has one GOMAXPROCS.
var procs struct {
	sync.Mutex
	base int // GOMAXPROCS without long work
	long int // pieces of long work
}

// Run does work that takes long: a file that is read, a list, a password's hash.
// The service has few Ps, which is cheapest for lookups (a second thread is
// mostly woken to find nothing left to do), so one piece of work could hold all
// of them: Go looks for input again only after 10 ms. Therefore each piece brings a
// P of its own, for as long as it lasts, and the kernel shares out the processors.
func Run(work func()) {
	shift(1)
	defer shift(-1)
	work()
}

func shift(by int) {
	procs.Lock()
	defer procs.Unlock()
	if procs.long == 0 {
		procs.base = runtime.GOMAXPROCS(0)
	}
	extra := func() int { return min(procs.long, runtime.NumCPU()) }
	before := extra()
	procs.long += by
	if extra() != before { // each change stops the world, for some 20 us
		runtime.GOMAXPROCS(procs.base + extra())
	}
}
