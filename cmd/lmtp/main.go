// Command lmtp is the front of the LMTP service (package services/lmtp).
//
// Runs as:   the lmtp service user, started by the master.
// Trusts:    the master's descriptors.
// Distrusts: clients, workers.
// Speaks:    LMTP; package handoff on descriptor 3.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"culver/internal/authproto"
	"culver/internal/favour"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
	"culver/services/lmtp"
)

func main() {
	p := worker.Begin(true)
	options, err := lmtp.OptionsOf(p.Settings)
	if err != nil {
		fatal(err)
	}
	listeners, err := lmtp.ListenersOf(p)
	if err != nil {
		fatal(err)
	}
	users := &authproto.Client{
		Dial:    authproto.Path(p.Settings.String("auth_socket_path")),
		Timeout: p.Settings.Duration("auth_lookup_timeout"),
	}
	control := favour.NewControl(p.Control, "lmtp-deliver")
	front := lmtp.New(options, users, control, log)

	if front.Local, err = lmtp.NewLocal(p.Settings); err != nil {
		fatal(err)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		front.Stop()
	}()
	go func() {
		control.Run(front.Drain) // it ends when the master is gone
		front.Stop()
	}()
	go front.Report(control.Status)
	front.Serve(listeners)
}

func log(l logline.Level, session, user, text string) {
	logline.Print(l, session, user, "%s", text)
}

func fatal(err error) {
	logline.Print(logline.Fatal, "", "", "start: %v", err)
	os.Exit(worker.ExitConfig)
}
