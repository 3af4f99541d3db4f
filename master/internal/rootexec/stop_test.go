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
func stopper(t testing.TB, uid int) (end func()) {
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
	if _, err := r.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	return func() { p.Kill(); p.Wait() }
}

// The promise is that a user who stops every process of his own delays nobody
// else by more than this.
const mostDelay = 200 * time.Millisecond

func TestRootUsersWhoStopTheirChildrenDelayNobody(t *testing.T) {
	mailtest.NeedRoot(t) // not parallel: it measures time
	var worst time.Duration
	for try := range 3 { // other programs on the machine delay births too, but not every time
		if worst = besideStoppers(t, 50300+10*try, ""); worst <= mostDelay {
			return
		}
	}
	t.Errorf("another user waited %v, want at most %v", worst, mostDelay)
}

func TestRootStoppersAndAFileServerThatHangsTogetherDelayNobody(t *testing.T) {
	mailtest.NeedRoot(t) // not parallel: it measures time
	base, _ := homes(t)
	dead := base + "/dead"
	mkdir(t, dead, 0, 0o755)
	deadMount(t, dead)
	// A birth that had to leave a stuck spawner has opened its home twice.
	const most = mostDelay + 2*slowLookup
	var worst time.Duration
	for try := range 3 {
		if worst = besideStoppers(t, 50330+10*try, dead); worst <= most {
			return
		}
	}
	t.Errorf("another user waited %v, want at most %v", worst, most)
}

// besideStoppers has children of two users born who stop them, and children of
// six others, and gives the longest that one of the others waited. Where there
// is a dead mount eight openings hang in it, and the others' homes open slowly.
func besideStoppers(t *testing.T, first int, dead string) (worst time.Duration) {
	base, _ := homes(t)
	for i := range 8 {
		mkdir(t, filepath.Join(base, fmt.Sprint(i)), first+i, 0o700)
	}
	child := func(i int) rootexec.Child {
		c := rootexec.Child{Identity: user(first + i), User: fmt.Sprint(i), Paths: []rootexec.Path{{Above: filepath.Join(base, fmt.Sprint(i))}}}
		if dead != "" && i >= 2 {
			c.Paths = []rootexec.Path{{Above: fmt.Sprintf("%s/slow%d-%d", dead, first, i)}}
		}
		return c
	}
	n := open(t, nil)
	defer n.pool.Close()
	for i := range 8 {
		if dead != "" {
			_, control := n.begin(rootexec.Child{Identity: user(first + 100 + i), User: fmt.Sprint("hung", i), Deadline: time.Minute,
				Paths: []rootexec.Path{{Above: fmt.Sprintf("%s/%d-%d", dead, first, i)}}})
			defer control.Close()
		}
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	var mu sync.Mutex
	classes := map[rootexec.Class]int{}
	for i := range 2 {
		defer stopper(t, first+i)()
		for range 3 {
			others.Go(func() {
				attack(n, child(i), stop, func(r rootexec.Result) {
					mu.Lock()
					defer mu.Unlock()
					classes[r.Class]++
				})
			})
		}
	}
	others.Go(func() { collect(stop) })
	births := 0
	// Until both users have stopped a child between setuid and exec, which takes
	// them some tries, and been made to wait.
	caught := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return classes[rootexec.ClassStopped] >= 2 && classes[rootexec.ClassHeld] >= 2
	}
	begin := time.Now()
	for ; time.Since(begin) < 2*time.Second || !caught() && time.Since(begin) < 15*time.Second; births++ {
		at := time.Now()
		r, control := n.start(child(2 + births%6))
		took := time.Since(at)
		if r.Err != nil {
			t.Fatalf("another user: %v", r.Err)
		}
		control.Close()
		reap(r.PID)
		worst = max(worst, took)
	}
	close(stop)
	others.Wait()
	t.Logf("%d births of others in %v, worst %v; the attackers' classes: %v", births, time.Since(begin).Round(time.Millisecond), worst, classes)
	if classes[rootexec.ClassStopped] == 0 || classes[rootexec.ClassHeld] == 0 {
		t.Errorf("classes %v: no child was stopped before its exec and its user made to wait: this run proves nothing", classes)
	}
	return worst
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
