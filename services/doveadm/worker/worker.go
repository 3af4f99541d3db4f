// Package worker is the half of doveadm that runs per user: it takes one
// command line over a private connection, carries it out on that user's mail,
// and answers.
//
// Runs as:   the mail's owner, in a box that holds that owner's mail.
// Trusts:    the master, for its settings and for whose mail it is.
// Distrusts: the front: its command line is parsed as a stranger's, and its
// selection of users is ignored; the user's own directories and messages
// (packages maildir and mailmessage); the other user's worker, from which copy
// and move take messages.
// Speaks:    packets of package doveadmproto with the front, and the messages
// of transfer.go with another worker.
package worker

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/mailstore/userstore"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

// Run serves accesses until service_count, a Drain or the master's end; it
// returns the exit code.
func Run(p *worker.Process) int {
	// SIGTERM keeps its meaning until a command has run for a while (call.step):
	// each change of a mailbox is whole in itself, and a handler costs a thread.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	w := Worker{settings: p.Settings}
	return p.Serve(w.serve)
}

// Worker is what this process keeps between accesses.
type Worker struct {
	settings finished.Bag
	names    maildir.Names
	term     chan os.Signal // SIGTERM, once a command took long
}

// serve carries out one command, on a blocking stream descriptor that it takes
// over. It is the whole of an access.
func (w *Worker) serve(grant finished.Bag, fd int) {
	c := &call{w: w, conn: newConn(fd), begun: time.Now()}
	defer c.conn.close()
	settings, err := userstore.Settings(w.settings, grant)
	if err != nil {
		logline.Print(logline.Error, "", grant["user"], "%v", err)
		return // the front answers for us
	}
	c.settings, c.user = settings, settings["user"]
	c.serve()
}
