package master

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the timers of the master and of everything it starts
// may be. Go's monitor thread asks to be woken every 20 us while there is work,
// and takes the P of whoever waits in a system call: with many short-lived
// processes of one P each that is a third of all context switches, for nothing.
const timerSlack = 5 * time.Millisecond

// slackenTimers sets the slack of every thread there is. New threads and
// children inherit it, so this one place serves spawners, daemons and workers.
// It is an optimisation: where it is not allowed nothing depends on it.
func slackenTimers() {
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0)
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		// Another thread's needs CAP_SYS_NICE, which root has.
		os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", []byte(strconv.Itoa(int(timerSlack))), 0)
	}
}
