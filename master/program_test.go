package master

import (
	"slices"
	"testing"

	"culver/internal/settings"
	"culver/internal/settings/finished"
)

func TestAuthReachesTheFoldersOfItsFiles(t *testing.T) {
	t.Parallel()
	db := func(path string) settings.Database {
		return settings.Database{Driver: "passwd-file", Values: finished.Bag{"path": path}}
	}
	cfg := &settings.Config{
		Passdbs: []settings.Database{{Driver: "static", Values: finished.Bag{}}},
		Userdbs: []settings.Database{db("/etc/culver/users"), db("/srv/%d/users"), db("/srv/users/%d"), db("/srv/mail/of-%Ld/users")},
	}
	read, write := daemonPaths(cfg, "auth")
	want := []string{"/etc", "/etc/culver", "/srv", "/srv/users", "/srv/mail"}
	if !slices.Equal(read, want) || write != nil {
		t.Errorf("got %q and %q, want %q and none", read, write, want)
	}
}
