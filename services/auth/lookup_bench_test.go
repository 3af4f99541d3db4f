package auth

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"culver/internal/maillog/logline"
)

// BenchmarkUser is a lookup without the system calls. Memory that it takes is
// what a lookup in a passwd-file costs beyond them.
func BenchmarkUser(b *testing.B) {
	users := filepath.Join(b.TempDir(), "users")
	if err := os.WriteFile(users, []byte("user1@example.org:{PLAIN}pass:20001:20001::/srv/mail/example.org/user1::\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := New(settings(users, nil), func(logline.Level, string, string, ...any) {})
	if err != nil {
		b.Fatal(err)
	}
	var out discard
	c := &conn{Server: s, role: roles["userdb"], net: &out}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.answer("USER\t1\tuser1@example.org\tservice=lmtp\tprotocol=lmtp"); err != nil {
			b.Fatal(err)
		}
	}
	if c.flush(); out.n == 0 {
		b.Error("nothing was answered")
	}
}

// discard counts what is written.
type discard struct {
	net.Conn
	n int
}

func (d *discard) SetWriteDeadline(time.Time) error { return nil }

func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
