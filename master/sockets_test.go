package master

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"culver/internal/settings"
)

func TestAListenerIsReplacedOnlyOnceSomebodyWillAccept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	nobody := settings.Account{UID: -1, GID: -1}
	cfg := &settings.Config{Services: []settings.Service{{Name: "lmtp",
		Unix: []settings.UnixListener{{Path: path, Mode: 0600, Owner: nobody}}}}}
	s := sockets{}
	defer s.close()
	_, fresh, err := s.open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.adopt(fresh)
	if _, fresh, err = s.open(cfg); err != nil || len(fresh) != 0 {
		t.Fatalf("opened again: %v, %d", err, len(fresh))
	}
	os.Remove(path)
	_, fresh, err = s.open(cfg)
	if err != nil || len(fresh) != 1 {
		t.Fatalf("name taken away: %v, %d fresh", err, len(fresh))
	}
	fresh.drop() // the build failed
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		t.Error("a client queues where nobody will accept")
	}
	fds, fresh, err := s.open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.adopt(fresh)
	if len(s) != 1 || len(fds["lmtp"]) != 1 {
		t.Errorf("%d listeners, descriptors %v: want one", len(s), fds)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
