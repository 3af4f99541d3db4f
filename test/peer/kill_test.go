package peer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"culver/test/system"
)

// Workers, then the front, then auth are killed while Postfix delivers. Nothing may
// be missing afterwards, and a copy may exist twice only where Postfix was left
// without an answer for it.
func TestNothingIsLostWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	needs(t)
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CULVER_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("CULVER_SEED=%d", seed)
	dir, users := someUsers(t, 200)
	c := startCulver(t, dir, users, "")
	p := startPostfix(t, "lmtp:unix:"+c.Socket)
	all := mails(seed, 200, 50, users.N)
	killed := make(chan map[string]int, 1)
	go func() { killed <- killSome(seed, c.PID, func() bool { return p.queued(t) > 0 }) }()
	p.submit(t, users, all)
	p.drain(t, 4*time.Minute)
	k := <-killed
	t.Logf("killed: %v", k)
	for _, name := range victims {
		if k[name] == 0 {
			t.Errorf("the queue was empty before one %s could be killed", name)
		}
	}
	duplicates := checkMail(t, users, all)
	checkPrivate(t, users)
	checkDuplicates(t, p, users, all, duplicates)
}

// victims in the order in which they are killed.
var victims = []string{"lmtp-deliver", "lmtp", "auth"}

// killSome kills each kind some times, at random moments, while mail is under way,
// and returns how many of each it hit.
func killSome(seed uint64, master int, busy func() bool) map[string]int {
	rnd := rand.New(rand.NewPCG(seed, 2))
	hit := map[string]int{}
	if !waitFor(30*time.Second, busy) {
		return hit
	}
	for i, times := range []int{10, 2, 2} {
		for range times {
			<-time.After(time.Duration(50+rnd.IntN(250)) * time.Millisecond)
			// Between two deliveries, or while the front is held back, there is none.
			waitFor(5*time.Second, func() bool {
				if !busy() {
					return true
				}
				if !killOne(rnd, master, victims[i]) {
					return false
				}
				hit[victims[i]]++
				return true
			})
		}
	}
	return hit
}

// killOne kills a random child of the process that runs the named program, and
// says whether there was one. A worker lives some milliseconds, so the first one
// found is killed at once.
func killOne(rnd *rand.Rand, parent int, name string) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	var pids []int
	for _, f := range tasks {
		text, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(s)
			pids = append(pids, pid)
		}
	}
	rnd.Shuffle(len(pids), func(i, j int) { pids[i], pids[j] = pids[j], pids[i] })
	for _, pid := range pids {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if filepath.Base(exe) == name && syscall.Kill(pid, syscall.SIGKILL) == nil {
			return true
		}
	}
	return false
}

var (
	logID       = regexp.MustCompile(`cleanup\[\d+\]: (\w+): message-id=(\S+)`)
	logDeferred = regexp.MustCompile(`lmtp\[\d+\]: (\w+): to=<([^>]+)>.* status=deferred`)
)

// checkDuplicates compares what users have twice with what Postfix was refused or
// left without a reply: each such attempt explains one more copy, and nothing
// else does.
func checkDuplicates(t *testing.T, p *postfix, users system.Users, all []mail, duplicates int) {
	t.Helper()
	text := p.log(t)
	ids := map[string]string{}
	for _, m := range logID.FindAllStringSubmatch(text, -1) {
		ids[m[1]] = m[2]
	}
	again := map[[2]string]int{}
	for _, m := range logDeferred.FindAllStringSubmatch(text, -1) {
		again[[2]string{ids[m[1]], m[2]}]++
	}
	retried := 0
	for _, n := range again {
		retried += n
	}
	t.Logf("%d duplicates; Postfix was left without an answer for %d copies and tried again", duplicates, retried)
	for u := 1; u <= users.N; u++ {
		got, err := users.MessageIDs(u)
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range got {
			if n-1 > again[[2]string{id, users.Name(u)}] {
				t.Errorf("%s has %s %d times, but Postfix was left without an answer only %d times",
					users.Name(u), id, n, again[[2]string{id, users.Name(u)}])
			}
		}
	}
}
