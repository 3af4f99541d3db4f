package auth

import (
	"strings"
	"testing"

	"culver/internal/maillog/logline"
	"culver/services/auth/attempt"
)

// A front chooses the names of its sessions and of its targets.
func TestNoNameKeepsARecordOutOfTheLog(t *testing.T) {
	t.Parallel()
	for _, long := range []string{strings.Repeat("s", 5000), strings.Repeat("\t", 3000), strings.Repeat("\x00", 16000)} {
		for _, r := range []attempt.Record{
			{Session: long, Target: "bob@example.org"},
			{Session: "s1", Target: long},
			{Session: long, Target: long},
		} {
			r.Event, r.Result, r.Principal, r.Command = "ticket", attempt.ResultOK, "admin@example.org", "expunge"
			line := string(audit(r))
			f := strings.Split(line, "\t")
			if len(line) > logline.MaxLine || len(f) != 3 || !strings.HasPrefix(line, "\x01a") ||
				!strings.HasPrefix(f[2], "event=ticket result=ok ") || !strings.Contains(f[2], `principal="admin@example.org"`) || !strings.Contains(f[2], `command="expunge"`) {
				t.Errorf("session of %d bytes, target of %d: got the line %.200q of %d bytes, want the record in it", len(r.Session), len(r.Target), line, len(line))
			}
		}
	}
}
