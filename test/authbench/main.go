// Command authbench compares the auth service with Dovecot's in one run: the
// same users file, the same generator, servers in turn. It prints lookups a
// second and CPU time of each, the pauses while a large file is listed and
// replaced, the memory of idle connections, and what a lookup costs LMTP.
//
// Runs as:   root: Dovecot's auth is another user.
// Trusts:    the programs it starts.
// Distrusts: every answer: each must be the user's that was asked for.
// Speaks:    the master protocol (spec/auth.md 2) and LMTP, over blocking system
// calls of one thread, so that the generator costs as little as it can.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"culver/internal/mailtest"
)

// plan is the command line.
type plan struct {
	users  int
	large  int
	idle   int
	rounds int
	each   time.Duration
	parent string
	only   string
}

func main() {
	var p plan
	flag.IntVar(&p.users, "users", 1000, "users in the file")
	flag.IntVar(&p.large, "large", 100000, "users in the large file")
	flag.IntVar(&p.idle, "idle", 1000, "idle connections")
	flag.IntVar(&p.rounds, "rounds", 5, "rounds; every round measures every server once")
	flag.DurationVar(&p.each, "each", time.Second, "how long each measurement takes")
	flag.StringVar(&p.parent, "dir", "", "where the scratch folder is made (default: the system's)")
	flag.StringVar(&p.only, "only", "", "only one part: rates, pauses, memory or lmtp")
	flag.Parse()
	// Our own collector would stop the thread that measures pauses.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	if err := run(p); err != nil {
		fmt.Fprintf(os.Stderr, "authbench: %v\n", err)
		os.Exit(1)
	}
}

func run(p plan) (err error) {
	if os.Getuid() != 0 {
		return errors.New("needs root, since Dovecot's auth is another user")
	}
	dir, err := mailtest.Scratch(p.parent)
	if err != nil {
		return err
	}
	defer func() {
		if err == nil {
			os.RemoveAll(dir)
		} else {
			err = fmt.Errorf("%w (its files are kept in %s)", err, dir)
		}
	}()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load before: %s", load)
	for _, part := range []struct {
		name string
		run  func(p plan, dir string) error
	}{{"rates", rates}, {"pauses", pauses}, {"memory", memory}, {"lmtp", lmtpCost}} {
		if p.only != "" && p.only != part.name {
			continue
		}
		if err := part.run(p, dir+"/"+part.name); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func name(i int) string { return fmt.Sprintf("user%d@example.org", i) }

// passwd is the text of a users file.
func passwd(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "%s:{PLAIN}pass:%d:%[2]d::/srv/mail/example.org/user%[3]d::\n", name(i), 20000+i%10000, i)
	}
	return b.String()
}
