// Command log is the log service.
//
// Runs as:   the log user.
// Trusts:    the master.
// Distrusts: the lines it writes.
// Speaks:    package services/log.
package main

import (
	"os"

	"culver/internal/worker"
	"culver/services/log"
)

func main() {
	p := worker.Begin(true)
	// Descriptor 2 is the master's standard error, not a log pipe of our own.
	s := log.Service{Writer: log.Open(p.Settings, os.Stderr)}
	os.Exit(s.Serve(p))
}
