package rootexec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"culver/internal/mailtest"
	"culver/master/internal/rootexec"
)

// stopper runs a process of the uid that stops all of that uid's processes,
// over and over.
func stopper(t testing.TB, uid int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := os.StartProcess(thisProgram(t), []string{"play-stopper"}, &os.ProcAttr{Files: []*os.File{nil, w, nil},
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(); p.Wait() })
	if _, err := r.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
}

// The promise is that a user who stops every process of his own delays nobody
// else by more than this.
const mostDelay = 200 * time.Millisecond

func TestRootUsersWhoStopTheirChildrenDelayNobody(t *testing.T) {
	mailtest.NeedRoot(t) // not parallel: it measures time
	base, _ := homes(t)
	for i := range 8 {
		mkdir(t, filepath.Join(base, fmt.Sprint(i)), 50300+i, 0o700)
	}
	n := open(t, nil)
	bad := []int{50300, 50301}
	for _, uid := range bad {
		stopper(t, uid)
	}
	child := func(uid int) rootexec.Child {
		return rootexec.Child{Identity: user(uid), User: fmt.Sprint(uid), Paths: []rootexec.Path{{Above: filepath.Join(base, fmt.Sprint(uid-50300))}}}
	}
	stop := make(chan struct{})
	var attackers sync.WaitGroup
	var mu sync.Mutex
	classes := map[rootexec.Class]int{}
	for _, uid := range bad {
		for range 3 {
			attackers.Go(func() {
				attack(n, child(uid), stop, func(r rootexec.Result) {
					mu.Lock()
					defer mu.Unlock()
					classes[r.Class]++
				})
			})
		}
	}
	attackers.Go(func() { collect(stop) })
	var worst time.Duration
	births := 0
	for begin := time.Now(); time.Since(begin) < 3*time.Second; births++ {
		at := time.Now()
		r, control := n.start(child(50302 + births%6))
		took := time.Since(at)
		if r.Err != nil {
			t.Fatalf("another user: %v", r.Err)
		}
		control.Close()
		reap(r.PID)
		worst = max(worst, took)
	}
	close(stop)
	attackers.Wait()
	t.Logf("%d births of others in 3 s, worst %v; the attackers' classes: %v", births, worst, classes)
	if worst > mostDelay {
		t.Errorf("another user waited %v, want at most %v", worst, mostDelay)
	}
	if classes[rootexec.ClassStopped] == 0 {
		t.Error("no child was ever stopped before its exec: this run proves nothing")
	}
	if classes[rootexec.ClassHeld] == 0 {
		t.Error("a user who stops children was not made to wait")
	}
}

// collect runs the garbage collector, which a fork that never ends would stop.
func collect(stop chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			runtime.GC()
		}
	}
}

// attack has the user's children born, over and over.
func attack(n *nursery, c rootexec.Child, stop chan struct{}, heard func(rootexec.Result)) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		r, control := n.start(c)
		heard(r)
		control.Close()
		if r.PID != 0 {
			syscall.Kill(r.PID, syscall.SIGKILL) // it is stopped: before or after its exec
			reap(r.PID)
		}
		if r.Class == rootexec.ClassHeld {
			return // 60 s: longer than this test
		}
	}
}
