package master

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// full is a front of the network all of whose places are taken.
func full(t *testing.T, inside ...*client) (*Master, *daemon, []*process) {
	t.Helper()
	m, _, _, _ := testWorker(t, 1)
	d := &daemon{name: "doveadm", network: true, doors: newDoors(len(inside))}
	var all []*process
	for _, c := range inside {
		p := &process{service: "doveadm"}
		d.inside[p] = c
		all = append(all, p)
	}
	return m, d, all
}

func TestTheOldestStrangerMakesRoom(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, older, new := now.Add(-time.Minute), now.Add(-time.Hour), now
	for _, tt := range []struct {
		name    string
		came    []time.Time
		known   []bool
		want    int // who goes; -1 nobody
		waiting bool
	}{
		{"the oldest", []time.Time{old, older, new}, []bool{false, false, false}, 1, false},
		{"one who has logged in stays", []time.Time{older, old}, []bool{true, false}, 1, false},
		{"all have", []time.Time{older, old}, []bool{true, true}, -1, false},
		{"who has just come has a moment", []time.Time{new, older}, []bool{false, true}, -1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var inside []*client
			for _, came := range tt.came {
				inside = append(inside, &client{came: came})
			}
			m, d, all := full(t, inside...)
			for i, p := range all {
				if tt.known[i] {
					p.served = 1
				}
			}
			for range 2 { // a second call changes nothing
				m.start(d)
			}
			got := -1
			for i, p := range all {
				if d.inside[p].sent {
					if got >= 0 {
						t.Error("two are sent away for one place")
					}
					got = i
				}
			}
			if got != tt.want || d.waiting != tt.waiting {
				t.Errorf("sent away: %d, waiting %t, want %d, %t", got, d.waiting, tt.want, tt.waiting)
			}
		})
	}
}

func TestAConnectionsProcessEndsWithItWithoutAFault(t *testing.T) {
	t.Parallel()
	m, d, all := full(t, &client{}, &client{sent: true}, &client{})
	d.retired = true // nobody takes a place
	for i, tt := range []struct {
		name   string
		status unix.WaitStatus
		want   bool
	}{
		{"it exits", 0, true},
		{"it was sent away", unix.WaitStatus(unix.SIGKILL), true},
		{"it crashes", unix.WaitStatus(unix.SIGSEGV), false},
	} {
		if got := m.left(d, all[i], tt.status); got != tt.want || d.inside[all[i]] != nil {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
	if m.left(d, &process{}, 0) {
		t.Error("a process that has no client left one")
	}
}
