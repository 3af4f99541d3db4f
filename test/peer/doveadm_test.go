package peer

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"culver/internal/mailtest"
	"culver/test/system"
)

// startDovecot24 runs trixie's Dovecot beside the homes of these users.
func startDovecot24(t *testing.T, dir string, users system.Users) *system.Dovecot {
	t.Helper()
	mailtest.NeedProgram(t, "mmdebstrap", "mmdebstrap")
	d, err := system.StartDovecot24(filepath.Join(dir, "dovecot24"), users)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop() })
	return d
}

// The harness must hold between servers and clients that are known to be right
// before it judges ours.
func TestDovecotsDoveadmToItself(t *testing.T) {
	t.Parallel()
	needs(t)
	dir, users := someUsers(t, 2)
	for name, d := range map[string]*system.Dovecot{"2.3": startDovecot(t, dir, users), "2.4": startDovecot24(t, dir, users)} {
		for _, at := range []string{d.Admin, fmt.Sprintf("127.0.0.1:%d", d.AdminPort)} {
			if said, err := d.Doveadm("", "mailbox", "list", "-S", at, "-u", users.Name(1)); err != nil || strings.TrimSpace(said.Out) != "INBOX" {
				t.Errorf("%s at %s: got %+v (%v), want INBOX", name, at, said, err)
			}
		}
	}
}
