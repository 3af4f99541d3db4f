// Command floor is the bare trial of the design: the hops of a delivery and
// nothing else. Front, auth, master, spawner and a boxed worker per recipient are
// processes of their own that pass the same messages as the product's, and the
// worker writes the message durably; nothing is parsed, checked, limited or
// logged. No version of the product with the same hops can be faster, so the
// benchmark prints this beside it: what lies between is ours to shorten.
//
// Runs as:   root (its spawners give each worker a uid), or the caller.
// Trusts:    its command line: it is a measurement and serves nobody.
// Distrusts: nothing.
// Speaks:    private lines on socketpairs.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"culver/internal/fdpass"
)

const usage = `usage: floor --homes DIR --worker PATH [options]
   or: floor --raw --homes DIR [options]

  --homes DIR       has user1, user2, ..., each with a Maildir
  --worker PATH     the program built from test/floor/worker
  --users N         users there are (default 1000)
  --first-uid N     uid and gid of user1; 0: all are the caller's (default 0)
  --total N         messages (default 1000)
  --sessions N      messages at the same time (default 4)
  --recipients N    recipients of each, side by side (default 1)
  --size N          bytes of a message (default 4096)
  --raw             no processes: only create, sync, rename and sync the folder
`

// Result is what is printed, as JSON, with the names that lmtp-load uses.
type Result struct {
	Deliveries int     `json:"deliveries"`
	Rate       float64 `json:"deliveries_per_second"`
	CPUPer     float64 `json:"server_cpu_ms_per_delivery"`
	Session    Latency `json:"session"`
}

// Latency is how long the messages took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// trial is one run.
type trial struct {
	homes, worker    string
	users, firstUID  int
	total, sessions  int
	recipients, size int
	deliver          func(user, number int) error
	mu               sync.Mutex
	took             []time.Duration
	err              error
	next             int
	message          []byte
}

func main() {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case roleAuth:
			os.Exit(auth())
		case roleMaster:
			os.Exit(master())
		case roleSpawner:
			os.Exit(spawner())
		}
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "floor: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var t trial
	var raw bool
	f := flag.NewFlagSet("floor", flag.ExitOnError)
	f.Usage = func() { os.Stderr.WriteString(usage) }
	f.StringVar(&t.homes, "homes", "", "")
	f.StringVar(&t.worker, "worker", "", "")
	f.IntVar(&t.users, "users", 1000, "")
	f.IntVar(&t.firstUID, "first-uid", 0, "")
	f.IntVar(&t.total, "total", 1000, "")
	f.IntVar(&t.sessions, "sessions", 4, "")
	f.IntVar(&t.recipients, "recipients", 1, "")
	f.IntVar(&t.size, "size", 4096, "")
	f.BoolVar(&raw, "raw", false, "")
	f.Parse(args)
	t.message = []byte(strings.Repeat("The dove came back in the evening.\r\n", t.size/36+1))[:t.size]
	stop := func() error { return nil }
	if raw {
		t.deliver = t.write
	} else {
		fr, err := startFront(&t)
		if err != nil {
			return err
		}
		t.deliver, stop = fr.deliver, fr.stop
	}
	began := time.Now()
	t.run()
	took := time.Since(began)
	if err := stop(); err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	return json.NewEncoder(os.Stdout).Encode(t.result(took))
}

// run has --sessions messages under way at a time.
func (t *trial) run() {
	var wg sync.WaitGroup
	for range t.sessions {
		wg.Go(func() {
			for {
				t.mu.Lock()
				n := t.next
				t.next++
				over := n >= t.total || t.err != nil
				t.mu.Unlock()
				if over {
					return
				}
				t.one(n)
			}
		})
	}
	wg.Wait()
}

// one delivers message n to its recipients side by side.
func (t *trial) one(n int) {
	began := time.Now()
	errs := make([]error, t.recipients)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			k := n*t.recipients + i
			errs[i] = t.deliver(k%t.users+1, k)
		})
	}
	wg.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = append(t.took, time.Since(began))
	for _, err := range errs {
		if err != nil {
			t.err = err
		}
	}
}

func (t *trial) result(took time.Duration) Result {
	slices.Sort(t.took)
	at := func(q float64) float64 { return float64(t.took[int(q*float64(len(t.took)-1))]) / 1e6 }
	n := t.total * t.recipients
	return Result{
		Deliveries: n, Rate: float64(n) / took.Seconds(),
		CPUPer:  float64(cpu()) / 1e6 / float64(n),
		Session: Latency{at(0.50), at(0.95), at(0.99)},
	}
}

// cpu is the CPU time of this process and of all that it and its children have
// waited for.
func cpu() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// write is the raw rate: the durable write without any process.
func (t *trial) write(user, number int) error {
	dir := fmt.Sprintf("%s/user%d/Maildir", t.homes, user)
	name := fmt.Sprintf("raw.%d", number)
	f, err := os.OpenFile(dir+"/tmp/"+name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(t.message); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(dir+"/tmp/"+name, dir+"/new/"+name); err != nil {
		return err
	}
	d, err := os.Open(dir + "/new")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// pair makes a socketpair of packets whose first end is ours, for the poller.
func pair() (ours *fdpass.Conn, theirs int, err error) {
	a, b, err := fdpass.Pair(syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		return nil, -1, err
	}
	if err := syscall.SetNonblock(a, true); err != nil {
		return nil, -1, err
	}
	ours, err = fdpass.New(a, "pair")
	return ours, b, err
}

// inherited is a descriptor from 3 on that the parent gave us.
func inherited(fd int) (*fdpass.Conn, error) {
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return fdpass.New(fd, "inherited")
}

// spawn starts this program in one of its other roles.
func spawn(role string, fds ...int) (pid int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	files := []uintptr{0, 1, 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd))
	}
	pid, err = syscall.ForkExec(self, []string{"floor", role}, &syscall.ProcAttr{Files: files, Env: []string{"GOMAXPROCS=2"}})
	for _, fd := range fds {
		syscall.Close(fd)
	}
	return pid, err
}
