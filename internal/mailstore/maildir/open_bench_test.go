package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkOpen opens a folder of 100,000 messages that have their UIDs.
func BenchmarkOpen(b *testing.B) {
	s := newStore(b, Config{NoSync: true})
	inbox(b, s)
	const n = 100_000
	for i := range n {
		name := fmt.Sprintf("%d.M%dP1Q%d.host.example.org,S=1234,W=1267:2,S", 1795451176+i, i, i)
		must(b, os.WriteFile(filepath.Join(s.c.Root, "cur", name), nil, 0o600))
	}
	open(b, s, "INBOX").Close()
	for b.Loop() {
		m, err := s.Open("INBOX")
		must(b, err)
		if m.Len() != n {
			b.Fatalf("got %d messages, want %d", m.Len(), n)
		}
		b.ReportMetric(float64(cap(m.entries)*24+cap(m.names))/n, "bytes/message")
		m.Close()
	}
}
