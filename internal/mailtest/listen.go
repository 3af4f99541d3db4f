package mailtest

import (
	"net"
	"path/filepath"
	"testing"
)

// Listen gives the path of a socket of that name, in a folder of its own, where
// each connection is served until serve returns. It goes with the test.
func Listen(t testing.TB, name string, serve func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	ListenAt(t, path, serve)
	return path
}

// ListenAt is Listen at a path.
func ListenAt(t testing.TB, path string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}
