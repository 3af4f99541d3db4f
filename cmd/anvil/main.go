// Command anvil counts for all services. The master starts it; see package
// culver/services/anvil.
//
// Runs as:   the internal user.
// Trusts:    the master.
// Distrusts: as package culver/services/anvil.
// Speaks:    as package culver/services/anvil.
package main

import (
	"os"

	"culver/internal/worker"
	"culver/services/anvil"
)

func main() {
	os.Exit(anvil.Run(worker.Begin(true)))
}
