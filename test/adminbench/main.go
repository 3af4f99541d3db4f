// Command adminbench compares doveadm runs over many users with Dovecot's in
// one run: same mailboxes, same file system, servers taken in turn. It prints
// the seconds of each command and how the targets were met.
//
// Runs as:   root: 1,000 users have 1,000 uids.
// Trusts:    the programs it starts.
// Distrusts: every server's word: each command's number of output lines must be
// the same everywhere.
// Speaks:    nothing itself.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"culver/internal/mailtest"
)

// plan is the command line.
type plan struct {
	users    int
	messages int // of each user
	large    int // in the one large folder
	size     int
	rounds   int
	parent   string
}

func main() {
	var p plan
	flag.IntVar(&p.users, "users", 1000, "users, each with a uid of its own")
	flag.IntVar(&p.messages, "messages", 100, "messages of each user")
	flag.IntVar(&p.large, "large", 100000, "messages of the one large folder; 0 leaves it out")
	flag.IntVar(&p.size, "size", 2048, "bytes of a message")
	flag.IntVar(&p.rounds, "rounds", 3, "rounds; every round measures every server once")
	flag.StringVar(&p.parent, "dir", "", "where the scratch folder is made: the file system to measure (default: the system's)")
	flag.Parse()
	if err := run(p); err != nil {
		fmt.Fprintf(os.Stderr, "adminbench: %v\n", err)
		os.Exit(1)
	}
}

func run(p plan) error {
	if os.Getuid() != 0 {
		return errors.New("needs root, to give each user a uid")
	}
	dir, err := mailtest.Scratch(p.parent)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	many := trial{name: fmt.Sprintf("%d users, %d messages each", p.users, p.messages), users: p.users, messages: p.messages, steps: manySteps, targets: manyTargets, contestants: manyContestants}
	if err := many.run(dir+"/many", p); err != nil || p.large == 0 {
		return err
	}
	large := trial{name: fmt.Sprintf("one folder of %d messages", p.large), users: 1, messages: p.large, steps: largeSteps, targets: largeTargets, contestants: largeContestants}
	return large.run(dir+"/large", p)
}
