// Command doveadm-server is the front of the doveadm service (package
// services/doveadm/server).
//
// Runs as:   the doveadm service user, started by the master.
// Trusts:    the master's descriptors.
// Distrusts: clients, workers.
// Speaks:    the doveadm protocol; package handoff on descriptor 3.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"culver/internal/favour"
	"culver/internal/maillog/logline"
	"culver/internal/worker"
	"culver/services/doveadm/server"
)

func main() {
	p := worker.Begin(true)
	listeners, err := server.ListenersOf(p)
	if err != nil {
		logline.Print(logline.Fatal, "", "", "start: %v", err)
		os.Exit(worker.ExitConfig)
	}
	options, err := server.OptionsOf(p.Settings)
	if err != nil {
		logline.Print(logline.Fatal, "", "", "start: %v", err)
		os.Exit(worker.ExitConfig)
	}
	control := favour.NewControl(p.Control, "doveadm-worker")
	front := server.New(options, control, log)

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
