// Command demo starts a whole Culver from the shipped conf.d/ in a scratch
// folder, delivers one message to three people, and shows which process wrote
// each copy and as whom. With -foreground it leaves the system running.
//
// Runs as:   whoever asks for it; as root each user and service has a uid.
// Trusts:    the programs in bin/.
// Distrusts: what Culver says of itself: uids are the kernel's word.
// Speaks:    LMTP, as a client.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"culver/internal/mailtest"
)

// The uid of the first user; nobody on the machine should have it.
const firstUID = 20001

var names = []string{"alice", "bob", "carol"}

func main() {
	foreground := flag.Bool("foreground", false, "leave the system running until ^C")
	flag.Parse()
	if err := run(*foreground); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(foreground bool) error {
	began := time.Now()
	dir, err := mailtest.Scratch("")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := start(dir)
	if err != nil {
		return err
	}
	if foreground {
		return wait(c)
	}
	failed := show(c)
	if err := c.Stop(); err != nil {
		failed = errors.Join(failed, fmt.Errorf("stop: %w\n%s", err, c.Trouble()))
	} else {
		fmt.Printf("\nStopped cleanly, %.1f s after the beginning.\n", time.Since(began).Seconds())
	}
	return failed
}

// start runs the system, with the box that the shipped settings require. A
// kernel that has none is told of, and the demo goes on with less.
func start(dir string) (*mailtest.Culver, error) {
	fmt.Printf("Starting Culver from conf.d/ in %s\n", dir)
	o := mailtest.Options{Dir: filepath.Join(dir, "system"), Names: names, FirstUID: firstUID}
	c, err := startWith(o)
	if err != nil && strings.Contains(err.Error(), "sandbox") {
		fmt.Printf("This kernel cannot box a process (%v).\nGoing on with sandbox = best-effort.\n", err)
		o.Dir, o.Sandbox = filepath.Join(dir, "system-unboxed"), "best-effort"
		c, err = startWith(o)
	}
	return c, err
}

func startWith(o mailtest.Options) (*mailtest.Culver, error) {
	c, err := mailtest.Prepare(o)
	if err != nil {
		return nil, err
	}
	return c, c.Start(true) // a panic of the master or of a spawner is to be seen
}

// wait keeps the system until ^C or until it ends by itself.
func wait(c *mailtest.Culver) error {
	fmt.Printf(`
Running, master pid %d. ^C stops it.
  LMTP socket    %s
  users          %s
  configuration  %s
  log            %s
  doveadm        bin/doveadm -c %[4]s mailbox status -A messages INBOX
`, c.PID, c.Socket, strings.Join(names, ", "), c.Conf, c.Log)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case <-stop:
		return c.Stop()
	case <-c.Ended():
		return fmt.Errorf("culver ended\n%s", c.Trouble())
	}
}
