package brain

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// printer plays a whole run on turns: jobs begin in the order of the list, offer
// pieces, break and begin again, and end, in any interleaving.
type printer struct {
	t       *turns
	jobs    int64
	begun   int64
	left    map[int64]int // pieces that a running job has yet to offer
	waits   map[int64]bool
	held    map[int64]int
	printed []int64 // whose piece stands where
}

func (p *printer) flush(all []int64) {
	for _, n := range all {
		for range p.held[n] {
			p.printed = append(p.printed, n)
		}
		p.held[n] = 0
	}
	clear(p.waits)
}

func TestTurnsPrintEveryUserOnceAndWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ordered := rapid.Bool().Draw(rt, "ordered")
		limit := rapid.IntRange(0, 6).Draw(rt, "limit")
		ahead := rapid.IntRange(1, 5).Draw(rt, "ahead")
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		jobs := rapid.IntRange(1, 12).Draw(rt, "jobs")
		pieces := rapid.SliceOfN(rapid.IntRange(0, 4), jobs, jobs).Draw(rt, "pieces")
		p := &printer{t: newTurns(ordered, limit, ahead), jobs: int64(jobs), left: map[int64]int{}, waits: map[int64]bool{}, held: map[int64]int{}}
		dropped := 0
		for p.begun < p.jobs || len(p.left) > 0 {
			// What is possible now. Nothing possible is a deadlock.
			var can []func()
			if p.begun < p.jobs && len(p.left) < workers && p.t.mayBegin(p.begun) {
				can = append(can, func() { p.left[p.begun] = pieces[p.begun]; p.begun++ })
			}
			for n := int64(0); n < p.begun; n++ {
				left, running := p.left[n]
				switch {
				case !running || p.waits[n]:
				case left > 0:
					can = append(can, func() {
						switch p.t.offer(n, 1) {
						case through:
							p.printed = append(p.printed, n)
							p.left[n]--
						case hold:
							p.held[n]++
							p.left[n]--
						case wait:
							p.waits[n] = true
						}
					})
				default:
					can = append(can, func() {
						delete(p.left, n)
						p.flush(p.t.end(n))
					})
				}
				if running && dropped < 3 {
					can = append(can, func() {
						dropped++
						if p.t.drop(n) {
							p.held[n] = 0
							p.left[n] = pieces[n]
							clear(p.waits)
						} else if !slices.Contains(p.printed, n) {
							rt.Fatalf("job %d may not begin again, but nothing of it was printed", n)
						}
					})
				}
			}
			if len(can) == 0 {
				rt.Fatalf("nothing can go on: begun %d of %d, running %v", p.begun, p.jobs, p.left)
			}
			can[rapid.IntRange(0, len(can)-1).Draw(rt, "step")]()
			held := 0
			for _, n := range p.held {
				held += n
			}
			if held > limit || held != p.t.total {
				rt.Fatalf("%d pieces are held (turns says %d), want at most %d", held, p.t.total, limit)
			}
			if n := len(p.t.jobs); n > workers+limit+ahead {
				rt.Fatalf("turns knows %d jobs, want at most %d", n, workers+limit+ahead)
			}
		}
		for n, want := range pieces {
			got := 0
			for _, m := range p.printed {
				if m == int64(n) {
					got++
				}
			}
			if got != want {
				rt.Fatalf("user %d has %d pieces printed, want %d: %v", n, got, want, p.printed)
			}
		}
		blocks := slices.Compact(slices.Clone(p.printed))
		seen := map[int64]bool{}
		for _, n := range blocks {
			if seen[n] {
				rt.Fatalf("user %d's result is not in one piece: %v", n, p.printed)
			}
			seen[n] = true
		}
		if ordered && !slices.IsSorted(blocks) {
			rt.Fatalf("users are printed as %v, want the order of the list", blocks)
		}
	})
}
