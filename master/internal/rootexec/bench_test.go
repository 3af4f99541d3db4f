package rootexec_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/fdpass"
	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

// BenchmarkBirth has children of the program in CULVER_BENCH_CHILD (default:
// this one) born under 64 uids, that exit at once, boxed and not. It prints the
// CPU time that the spawners spend on each.
func BenchmarkBirth(b *testing.B) {
	mailtest.NeedRoot(b)
	base, _ := homes(b)
	for i := range 64 {
		mkdir(b, filepath.Join(base, strconv.Itoa(i)), 50500+i, 0o700)
	}
	for _, bb := range []struct {
		name    string
		sandbox rootexec.Sandbox
	}{{"boxed", rootexec.SandboxRequired}, {"unboxed", rootexec.SandboxOff}} {
		for _, wide := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s/%d", bb.name, wide), func(b *testing.B) {
				n := open(b, func(p *rootexec.Program) {
					p.Sandbox = bb.sandbox
					if child := os.Getenv("CULVER_BENCH_CHILD"); child != "" {
						p.Path, p.Args = child, nil
					}
				})
				var next atomic.Int64
				before := n.cpu()
				var w sync.WaitGroup
				b.ResetTimer()
				for range wide {
					w.Go(func() {
						for {
							i := int(next.Add(1))
							if i > b.N {
								return
							}
							n.birth(rootexec.Child{Identity: user(50500 + i%64), User: strconv.Itoa(i % 64),
								Paths: []rootexec.Path{{Above: filepath.Join(base, strconv.Itoa(i%64))}}})
						}
					})
				}
				w.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "births/s")
				b.ReportMetric((n.cpu()-before)*1e6/float64(b.N), "spawner-us/birth")
			})
		}
	}
}

func (n *nursery) birth(c rootexec.Child) {
	ours, theirs, err := fdpass.Pair(unix.SOCK_SEQPACKET, 0)
	if err != nil {
		n.t.Error(err)
		return
	}
	unix.Close(ours)
	log, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		n.t.Error(err)
		return
	}
	c.Control, c.Log = theirs, log
	done := make(chan rootexec.Result, 1)
	n.pool.Start(c, func(r rootexec.Result) { done <- r })
	r := <-done
	if r.Err != nil {
		n.t.Error(r.Err)
		return
	}
	reap(r.PID)
}

// cpu gives the CPU seconds of the pool's spawners.
func (n *nursery) cpu() (sum float64) {
	for pid := range n.pool.SpawnerPIDs() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+2:])
		user, _ := strconv.ParseFloat(string(f[11]), 64)
		sys, _ := strconv.ParseFloat(string(f[12]), 64)
		sum += (user + sys) / 100
	}
	return sum
}
