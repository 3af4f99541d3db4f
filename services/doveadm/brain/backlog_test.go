package brain

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestTheBacklogKeepsTheOrder(t *testing.T) {
	t.Parallel()
	steps := []step{{args: []string{"all"}}}
	for _, n := range []int{0, 1, maxWaiting, maxWaiting + 1, 2 * maxWaiting, 5*maxWaiting + 7} {
		t.Run(fmt.Sprint(n, " users, then all of them"), func(t *testing.T) {
			t.Parallel()
			b := newBacklog(steps)
			for i := range n {
				if err := b.push(job{n: int64(i), user: fmt.Sprint("user", i), as: "x"}); err != nil {
					t.Fatal(err)
				}
			}
			b.close()
			wantJobs(t, b, 0, n)
		})
	}
	t.Run("users come and go", func(t *testing.T) {
		t.Parallel()
		rnd := rand.New(rand.NewPCG(1, 2))
		b := newBacklog(steps)
		in, out := 0, 0
		for range 200 {
			for range rnd.IntN(maxWaiting) {
				b.push(job{n: int64(in), user: fmt.Sprint("user", in), as: "x"})
				in++
			}
			for range rnd.IntN(min(in-out, maxWaiting) + 1) {
				wantJob(t, b, out)
				out++
			}
		}
		b.close()
		wantJobs(t, b, out, in)
	})
}

func wantJob(t *testing.T, b *backlog, i int) {
	t.Helper()
	j, ok, err := b.pop()
	if err != nil || !ok || j.n != int64(i) || j.user != fmt.Sprint("user", i) || j.as != "x" {
		t.Fatalf("got %+v %v %v, want user%d", j, ok, err, i)
	}
}

func wantJobs(t *testing.T, b *backlog, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		wantJob(t, b, i)
	}
	if j, ok, err := b.pop(); ok || err != nil {
		t.Errorf("got %+v, %v after the last", j, err)
	}
}

// TestJobsOfAPlanWaitInMemory: what cannot be written down is not given before
// there is room for it.
func TestJobsOfAPlanWaitInMemory(t *testing.T) {
	t.Parallel()
	b := newBacklog(nil)
	for i := range maxWaiting {
		b.push(job{n: int64(i)})
	}
	pushed := make(chan struct{})
	go func() {
		b.push(job{n: maxWaiting})
		close(pushed)
	}()
	select {
	case <-pushed:
		t.Fatal("it did not wait")
	default:
	}
	b.pop()
	<-pushed
}
