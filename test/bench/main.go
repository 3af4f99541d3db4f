// Command bench compares Culver's LMTP with Dovecot's in one run: same users,
// same file system, same load generator, rounds taken in turn so that a slow
// minute of the machine hits all of them. Beside them it prints the bare trial
// of the design (test/floor) and the rate of the durable writes alone.
//
// Runs as:   root: 1,000 users have 1,000 uids.
// Trusts:    the programs it starts.
// Distrusts: every server's word: the messages are counted in the Maildirs.
// Speaks:    LMTP, through lmtp-load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"culver/internal/mailtest"
	"culver/test/system"
)

// plan is the command line.
type plan struct {
	users    int
	messages int
	rounds   int
	sessions int
	size     int
	parent   string
	only     *regexp.Regexp
}

func main() {
	var p plan
	var only string
	flag.IntVar(&p.users, "users", 1000, "users, each with a uid of its own")
	flag.IntVar(&p.messages, "messages", 600, "messages per server and round (a third of it with five recipients)")
	flag.IntVar(&p.rounds, "rounds", 3, "rounds; every round measures every server once")
	flag.IntVar(&p.sessions, "sessions", 4, "LMTP sessions at the same time")
	flag.IntVar(&p.size, "size", 4096, "bytes of a message")
	flag.StringVar(&p.parent, "dir", "", "where the scratch folder is made: the file system to measure (default: the system's)")
	flag.StringVar(&only, "only", "", "measure only the servers whose name matches this expression")
	flag.Parse()
	if err := run(p, only); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(p plan, only string) (err error) {
	if p.only, err = regexp.Compile(only); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return errors.New("needs root, to give each user a uid")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := mailtest.Scratch(p.parent)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := system.Build(ctx, dir, "lmtp-load", "test/floor", "test/floor/worker"); err != nil {
		return err
	}
	all, err := contestants(p, dir)
	defer func() {
		for _, c := range all {
			if serr := c.stop(); serr != nil && err == nil {
				err = fmt.Errorf("stop %s: %w", c.name, serr)
			}
		}
	}()
	if err != nil {
		return err
	}
	for _, l := range loads(p) {
		t := table{load: l, plan: p}
		for round := range p.rounds {
			for _, c := range all {
				fmt.Fprintf(os.Stderr, "round %d, %s: %s\n", round+1, l.name, c.name)
				r, err := measure(ctx, c, l)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				t.add(c.name, round, r)
			}
		}
		t.print(os.Stdout)
	}
	return nil
}

// load is one shape of the load.
type load struct {
	name       string
	total      int // messages
	recipients int
	sessions   int
	size       int
}

func loads(p plan) []load {
	return []load{
		{"one message per session, one recipient", p.messages, 1, p.sessions, p.size},
		{"one message per session, five recipients", max(1, p.messages/3), 5, p.sessions, p.size},
	}
}
