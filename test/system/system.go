// Package system runs whole mail systems in a scratch folder: Culver, Dovecot
// beside it or in its place, and the users whose mail they keep. The peer tests
// and the benchmark share it.
//
// Runs as:   root, or the caller (then all users share the caller's uid).
// Trusts:    the programs it starts.
// Distrusts: nothing: it is only for tests.
// Speaks:    nothing itself.
package system

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"culver/internal/mailtest"
)

// Build compiles the named programs of cmd/, and those named by a path such as
// "test/floor", into dir.
func Build(ctx context.Context, dir string, programs ...string) error {
	for _, p := range programs {
		from := "./cmd/" + p
		if filepath.Base(p) != p {
			from = "./" + p
		}
		c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w",
			"-o", filepath.Join(dir, filepath.Base(p)), from)
		c.Dir = mailtest.Repository()
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return nil
}
