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
	"os/signal"
	"syscall"

	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/mailstore/userstore"
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
	var names maildir.Names
	return p.Serve(func(grant finished.Bag, fd int) { Serve(p.Settings, &names, grant, fd) })
}

// Serve speaks with the front about one user, on a blocking stream descriptor
// that it takes over. It is the whole of an access; the front itself calls it
// for users of its own uid.
func Serve(settings finished.Bag, names *maildir.Names, grant finished.Bag, fd int) {
	c := newConn(fd)
	defer c.close()
	settings, err := userstore.Settings(settings, grant)
	if err != nil {
		logline.Print(logline.Error, "", grant["user"], "%v", err)
		return // the front answers 451 for us
	}
	s := session{settings: settings, user: settings["user"], names: names, c: c}
	defer s.close()
	s.converse()
}
