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
	held    map[int64][]int64 // whose pieces a job, or the others, hold
	full    bool              // the file takes nothing
	printed []int64           // whose piece stands where
}

// end ends a job, and prints what that lets go.
func (p *printer) end(n int64) {
	owned := p.t.owns(n)
	for _, m := range p.t.ended(n) {
		p.printed = append(p.printed, p.held[m]...)
		delete(p.held, m)
	}
	if !owned && !p.t.ordered {
		p.held[others] = append(p.held[others], p.held[n]...)
		delete(p.held, n)
		n = others
	}
	if p.t.crowded(n) {
		p.spill(n)
	}
	clear(p.waits)
}

func (p *printer) spill(n int64) {
	if p.full {
		p.t.full()
	} else {
		p.t.spilled(n, p.t.jobs[n].held)
	}
}

func TestTurnsPrintEveryUserOnceAndWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ordered := rapid.Bool().Draw(rt, "ordered")
		room := room{
			memory: rapid.IntRange(0, 6).Draw(rt, "memory"),
			piece:  rapid.IntRange(0, 3).Draw(rt, "piece"),
			file:   rapid.Int64Range(0, 12).Draw(rt, "file"),
		}
		ahead := rapid.IntRange(1, 5).Draw(rt, "ahead")
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		jobs := rapid.IntRange(1, 12).Draw(rt, "jobs")
		pieces := rapid.SliceOfN(rapid.IntRange(0, 4), jobs, jobs).Draw(rt, "pieces")
		p := &printer{t: newTurns(ordered, room, ahead), jobs: int64(jobs), left: map[int64]int{}, waits: map[int64]bool{}, held: map[int64][]int64{}}
		p.full = rapid.Bool().Draw(rt, "full")
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
						switch v := p.t.offer(n, 1); v {
						case through:
							p.printed = append(p.printed, n)
							p.left[n]--
						case hold, spill:
							p.held[n] = append(p.held[n], n)
							p.left[n]--
							if v == spill {
								p.spill(n)
							}
						case wait:
							p.waits[n] = true
						}
					})
				default:
					can = append(can, func() {
						delete(p.left, n)
						p.end(n)
					})
				}
				if running && dropped < 3 {
					can = append(can, func() {
						dropped++
						if p.t.drop(n) {
							delete(p.held, n)
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
			for _, all := range p.held {
				held += len(all)
			}
			if int64(held) != int64(p.t.memory)+p.t.filed {
				rt.Fatalf("%d pieces are held, turns says %d and %d", held, p.t.memory, p.t.filed)
			}
			// A file that fails costs one piece too much for each job.
			if p.t.memory > room.memory+workers || !p.full && p.t.memory > room.memory || p.t.end > room.file {
				rt.Fatalf("%d pieces are in memory, the file has %d; want %+v at most", p.t.memory, p.t.end, room)
			}
			if n := len(p.t.jobs); n > workers+ahead+1 {
				rt.Fatalf("turns knows %d jobs, want at most %d", n, workers+ahead+1)
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
