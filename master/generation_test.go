package master

import (
	"testing"

	"culver/internal/settings"
	"culver/master/internal/rootexec"
)

func TestCheckRefusesTheLimitsThatSpawnersRefuse(t *testing.T) {
	t.Parallel()
	if got, want := int64(settings.LeastVSZ), int64(rootexec.LeastVSZ); got != want {
		t.Errorf("settings.LeastVSZ: got %d, want rootexec's %d", got, want)
	}
}
