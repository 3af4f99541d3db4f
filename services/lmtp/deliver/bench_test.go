package deliver

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkWorkerLife is one process from exec to exit, with one delivery in
// it. The environment variable LMTP_DELIVER names the program; the test binary
// links more and starts slower.
func BenchmarkWorkerLife(b *testing.B) {
	root := filepath.Join(b.TempDir(), "Maildir")
	msg := "Message-ID: <1@x>\r\nSubject: hi\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)
	var cpu time.Duration
	for b.Loop() {
		m := startWorker(b, nil)
		m.access(grantFor(root)).deliver("bob@x", msg)
		m.wantStatus(0, 1)
		m.wantExit(0)
		cpu += m.cmd.ProcessState.UserTime() + m.cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-us/op")
}
