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
	"errors"
	"io"
	"maps"
	"os"
	"os/signal"
	"syscall"
	"time"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

// Run serves accesses until service_count, a Drain or the master's end; it
// returns the exit code.
func Run(p *worker.Process) int {
	// SIGTERM keeps its meaning until a command has run for a while (call.step):
	// each change of a mailbox is whole in itself, and a handler costs a thread.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	limit := int(p.Settings.Int("service_count"))
	if err := p.Status(1, 0); err != nil {
		return 0 // the master is gone
	}
	w := Worker{settings: p.Settings}
	for served := 0; ; {
		m, fd, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return 0
		case err != nil:
			logline.Print(logline.Error, "", "", "control socket: %v", err)
			return worker.ExitTempfail
		case m.Kind == handoff.KindDrain:
			return 0
		case m.Kind != handoff.KindAccess || fd < 0:
			logline.Print(logline.Error, "", "", "control socket: message %d is not for a worker", m.Kind)
			return worker.ExitTempfail
		}
		grant, err := finished.Decode([]byte(m.Text))
		if err != nil {
			logline.Print(logline.Error, "", "", "grant: %v", err)
			return worker.ExitTempfail
		}
		w.serve(grant, fd)
		served++
		available := 1
		if limit > 0 && served >= limit {
			available = 0
		}
		if err := p.Status(available, served); err != nil || available == 0 {
			return 0
		}
	}
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
	settings, err := withGrant(w.settings, grant)
	if err != nil {
		logline.Print(logline.Error, "", "", "grant: %v", err)
		return // the front answers for us
	}
	c.settings, c.user = settings, settings["user"]
	if marker := settings["mail_mount_marker"]; marker != "" {
		if _, err := os.Lstat(marker); err != nil {
			logline.Print(logline.Error, "", c.user, "mail_mount_marker: %v", err)
			return
		}
	}
	c.serve()
}

// withGrant lays what the user database says over the settings. quota_rule is
// a list, of which the later rule wins: the user's are added.
func withGrant(settings, grant finished.Bag) (finished.Bag, error) {
	if grant["user"] == "" || grant["mail_path"] == "" {
		return nil, errors.New("has no user or no mail_path")
	}
	both := maps.Clone(settings)
	maps.Copy(both, grant)
	if a, b := settings["quota_rule"], grant["quota_rule"]; a != "" && b != "" {
		both["quota_rule"] = a + "\t" + b
	}
	return both, nil
}
