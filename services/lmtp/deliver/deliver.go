// Package deliver is the half of LMTP that runs per user: it takes one
// recipient's message over a private connection, saves it, and answers.
//
// Runs as:   the recipient, in a box that holds that recipient's mail.
// Trusts:    the master, for its settings and for whose mail it is.
// Distrusts: the front: its commands are parsed as a stranger's, the message is
// read by position only, and its size is checked; the user's own
// directories (package maildir).
// Speaks:    LMTP as the server (package lmtpproto), with XFD for the message
// and XCLIENT for what the front knows of the client.
package deliver

import (
	"errors"
	"io"
	"maps"
	"os"
	"os/signal"
	"syscall"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

// Run serves accesses until service_count, a Drain or the master's end; it
// returns the exit code.
func Run(p *worker.Process) int {
	// What runs is finished, whoever asks: a stop comes as a Drain, or as the
	// end of the control socket. Ignoring costs one call each; a handler would
	// cost a thread.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	limit := int(p.Settings.Int("service_count"))
	if err := p.Status(1, 0); err != nil {
		return 0 // the master is gone
	}
	var names maildir.Names
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
		Serve(p.Settings, &names, grant, fd)
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

// Serve speaks with the front about one user, on a blocking stream descriptor
// that it takes over. It is the whole of an access; the front itself calls it
// for users of its own uid.
func Serve(settings finished.Bag, names *maildir.Names, grant finished.Bag, fd int) {
	c := newConn(fd)
	defer c.close()
	settings, err := withGrant(settings, grant)
	if err != nil {
		logline.Print(logline.Error, "", "", "grant: %v", err)
		return // the front answers 451 for us
	}
	if marker := settings["mail_mount_marker"]; marker != "" {
		if _, err := os.Lstat(marker); err != nil {
			logline.Print(logline.Error, "", settings["user"], "mail_mount_marker: %v", err)
			return
		}
	}
	s := session{settings: settings, user: settings["user"], names: names, c: c}
	defer s.close()
	s.converse()
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
