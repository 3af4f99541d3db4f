// Command lmtp-deliver saves one user's mail: the per-user half of LMTP.
//
// Runs as: the recipient, started by the master for one user at a time.
package main

import (
	"os"

	"culver/internal/worker"
	"culver/services/lmtp/deliver"
)

func main() {
	os.Exit(deliver.Run(worker.Begin(false)))
}
