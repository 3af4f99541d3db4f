// Command doveadm-worker carries out a command on one user's mail: the per-user
// half of doveadm.
//
// Runs as: the mail's owner, started by the master for one user at a time.
package main

import (
	"os"

	"culver/internal/worker"
	doveadm "culver/services/doveadm/worker"
)

func main() {
	os.Exit(doveadm.Run(worker.Begin(false)))
}
