// Command lmtp-load delivers many messages to an LMTP server and tells how fast
// and how well the server took them.
//
// Runs as:   whoever calls it; reading the CPU time of foreign processes works
// for everyone where /proc is not hidden.
// Trusts:    its command line.
// Distrusts: the server: every reply is counted, none is taken for granted.
// Speaks:    LMTP (RFC 2033) with PIPELINING (RFC 2920), as a client.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Exit codes. Not every recipient accepted is 1: a script can rely on it.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 64
)

const usage = `usage: lmtp-load --target unix:PATH|HOST:PORT [options]

Opens --sessions LMTP sessions side by side, sends --messages messages over
each, and opens the next session until --total messages are sent.

where
  --target T         unix:PATH or HOST:PORT of the LMTP server
  --lhlo NAME        name in LHLO (default "load.example.org")
  --timeout D        longest wait for one reply (default 300s)
how much
  --total N          messages in all (default 1000)
  --sessions N       sessions open at the same time (default 4)
  --messages N       messages per session (default 1)
  --recipients N     recipients per message (default 1)
  --size N           bytes per message, headers included (default 4096)
  --rate N           messages per second at most; 0 is no limit (default 0)
  --together         every session greets before the first one sends
to whom
  --users N          distinct users, taken in turn (default 1000)
  --first N          number of the first user (default 1)
  --user TEMPLATE    address with one %d (default "user%d@example.org")
  --from ADDRESS     envelope sender; "" is the null sender
  --id PREFIX        Message-ID is <PREFIX.NUMBER@load.example.org>
what is measured
  --pid PID          add the server's CPU time: this process, its living
                     descendants and all that they have waited for
  --cgroup DIR       add the CPU time of a cgroup instead (v2, or v1 cpuacct)
  --json             print one JSON object instead of text
  --show-errors N    print the first N errors and refusals (default 5)

Exit: 0 every recipient was accepted; 1 some were not; 64 misuse.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as parameters, so that a test can be the caller.
func run(args []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(stdout, usage)
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "lmtp-load: %v\n(lmtp-load --help lists the options)\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := measure(ctx, o)
	if err != nil {
		fmt.Fprintf(stderr, "lmtp-load: %v\n", err)
		return exitFailed
	}
	if o.json {
		err = json.NewEncoder(stdout).Encode(r)
	} else {
		err = r.print(stdout)
	}
	if err != nil || !r.Complete {
		return exitFailed
	}
	return exitOK
}

// measure runs the load between two readings of the server's CPU time.
func measure(ctx context.Context, o options) (Report, error) {
	before, err := o.cpu()
	if err != nil {
		return Report{}, err
	}
	l := newLoad(o)
	l.run(ctx)
	r := l.report()
	if before < 0 {
		return r, nil
	}
	after, err := settled(o.cpu)
	if err != nil {
		return Report{}, fmt.Errorf("server gone after the run? %w", err)
	}
	r.addCPU(after - before)
	return r, nil
}

// options is the command line, checked.
type options struct {
	network, address string
	lhlo, from       string
	user, id         string
	timeout          time.Duration
	total, sessions  int
	messages, rcpts  int
	size, users      int
	first, shown     int
	rate             float64
	together, json   bool
	pid              int
	cgroup           string
}

func parse(args []string) (options, error) {
	var o options
	var target string
	f := flag.NewFlagSet("lmtp-load", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&target, "target", "", "")
	f.StringVar(&o.lhlo, "lhlo", "load.example.org", "")
	f.StringVar(&o.from, "from", "load@load.example.org", "")
	f.StringVar(&o.user, "user", "user%d@example.org", "")
	f.StringVar(&o.id, "id", fmt.Sprintf("%d.%d", time.Now().UnixNano(), os.Getpid()), "")
	f.DurationVar(&o.timeout, "timeout", 300*time.Second, "")
	f.IntVar(&o.total, "total", 1000, "")
	f.IntVar(&o.sessions, "sessions", 4, "")
	f.IntVar(&o.messages, "messages", 1, "")
	f.IntVar(&o.rcpts, "recipients", 1, "")
	f.IntVar(&o.size, "size", 4096, "")
	f.IntVar(&o.users, "users", 1000, "")
	f.IntVar(&o.first, "first", 1, "")
	f.IntVar(&o.shown, "show-errors", 5, "")
	f.Float64Var(&o.rate, "rate", 0, "")
	f.BoolVar(&o.together, "together", false, "")
	f.BoolVar(&o.json, "json", false, "")
	f.IntVar(&o.pid, "pid", 0, "")
	f.StringVar(&o.cgroup, "cgroup", "", "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, o.check(target)
}

// check says what no run could be made of.
func (o *options) check(target string) error {
	for _, n := range []struct {
		name  string
		value int
	}{
		{"total", o.total}, {"sessions", o.sessions}, {"messages", o.messages},
		{"recipients", o.rcpts}, {"size", o.size}, {"users", o.users},
	} {
		if n.value < 1 {
			return fmt.Errorf("--%s must be at least 1", n.name)
		}
	}
	switch {
	case target == "":
		return errors.New("--target is missing")
	case strings.HasPrefix(target, "unix:"):
		o.network, o.address = "unix", strings.TrimPrefix(target, "unix:")
	case strings.Contains(target, ":"):
		o.network, o.address = "tcp", target
	default:
		return fmt.Errorf("--target %q is neither unix:PATH nor HOST:PORT", target)
	}
	switch {
	case o.users > 1 && strings.Count(o.user, "%d") != 1:
		return fmt.Errorf("--user %q needs one %%d", o.user)
	case o.rcpts > o.users:
		// The same address twice would count one user's lock, not two deliveries.
		return errors.New("--recipients is greater than --users")
	case strings.ContainsAny(o.from+o.user+o.lhlo+o.id, "\r\n<>"):
		return errors.New("an address or name has a line break or an angle bracket")
	case o.pid != 0 && o.cgroup != "":
		return errors.New("--pid and --cgroup exclude each other")
	case o.rate < 0:
		return errors.New("--rate is negative")
	case o.together && (o.total+o.messages-1)/o.messages > o.sessions:
		// Sessions that only open after others ended cannot have greeted with them.
		return errors.New("--together needs total <= sessions * messages")
	}
	return nil
}

// cpu reads the server's CPU time so far; -1 when nobody asked for it.
func (o *options) cpu() (time.Duration, error) {
	switch {
	case o.pid != 0:
		return treeCPU("/proc", o.pid)
	case o.cgroup != "":
		return cgroupCPU(o.cgroup)
	}
	return -1, nil
}
