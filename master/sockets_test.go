package master

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"culver/internal/settings"
	"culver/internal/settings/finished"
)

func TestAListenerIsReplacedOnlyOnceSomebodyWillAccept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lmtp")
	nobody := settings.Account{UID: -1, GID: -1}
	cfg := &settings.Config{Global: finished.Bag{"base_dir": "/run/culver"}, Services: []settings.Service{{Name: "lmtp",
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

func TestASocketInAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gid := os.Getgid()
	want := settings.UnixListener{Path: filepath.Join(dir, "login", "login"), Mode: 0o660, Owner: settings.Account{UID: -1, GID: gid}}
	cfg := &settings.Config{Global: finished.Bag{"base_dir": dir},
		Services: []settings.Service{{Name: "lmtp", Type: "lmtp", Protocol: "lmtp", Unix: []settings.UnixListener{want}}}}
	for range 2 { // the folder may be there
		_, fresh, err := sockets{}.open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(filepath.Dir(want.Path))
		if err != nil || st.Mode().Perm() != 0o750 || st.Sys().(*syscall.Stat_t).Gid != uint32(gid) {
			t.Errorf("folder: %v, %v; want mode 0750 and group %d", st, err, gid)
		}
		fresh.drop()
	}
	cfg.Services[0].Unix[0].Path = filepath.Join(dir, "a", "b", "c")
	if _, fresh, err := (sockets{}).open(cfg); err == nil {
		fresh.drop()
		t.Error("folders in folders were made")
	}
}
