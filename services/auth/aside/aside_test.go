package aside

import (
	"runtime"
	"sync"
	"testing"
)

func TestLongWorkBringsItsOwnP(t *testing.T) {
	base := runtime.GOMAXPROCS(0)
	most := base + runtime.NumCPU()
	var wg sync.WaitGroup
	begun, end := make(chan struct{}), make(chan struct{})
	for i := range runtime.NumCPU() + 2 {
		wg.Go(func() {
			Run(func() {
				begun <- struct{}{}
				<-end
			})
		})
		<-begun
		if got, want := runtime.GOMAXPROCS(0), min(base+i+1, most); got != want {
			t.Errorf("with %d pieces of work: got %d Ps, want %d", i+1, got, want)
		}
	}
	close(end)
	wg.Wait()
	if got := runtime.GOMAXPROCS(0); got != base {
		t.Errorf("after the work: got %d Ps, want %d", got, base)
	}
}
