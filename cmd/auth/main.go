// Command auth is the auth service. The master starts it; see package
// culver/services/auth.
//
// Runs as:   the auth service user.
// Trusts:    the master.
// Distrusts: as package culver/services/auth.
// Speaks:    as package culver/services/auth.
package main

import (
	"os"

	"culver/internal/worker"
	"culver/services/auth"
)

func main() {
	os.Exit(auth.Run(worker.Begin(true)))
}
