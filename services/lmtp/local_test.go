package lmtp

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/internal/favour"
	"culver/internal/settings/finished"
)

func TestLocalRefusesWhatIsNotItsPlace(t *testing.T) {
	t.Parallel()
	root, other := t.TempDir(), t.TempDir()
	for _, tt := range []struct {
		name, home, marker, want string
	}{
		{"a home below mail_root", root + "/bob", "", ""},
		{"a home elsewhere", other + "/bob", "", "is not below mail_root"},
		{"a neighbour of mail_root", root + "x/bob", "", "is not below mail_root"},
		{"a mount that is missing", root + "/bob", ".absent", "mail_mount_marker"},
		{"a mount that is there", root + "/bob", ".mounted", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.marker == ".mounted" {
				if err := os.WriteFile(filepath.Join(root, tt.marker), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			l, err := NewLocal(finished.Bag{"mail_root": root, "mail_location": "maildir:~/Maildir",
				"mail_home_create": "yes", "mail_mount_marker": tt.marker, "process_limit": "2",
				"lmtp_user_concurrency_limit": "10", "worker_queue_timeout": "60000000000",
				"deliver/hostname": "vm", "deliver/login_greeting": "x"})
			if err != nil {
				t.Fatal(err)
			}
			fd, err := l.Worker(context.Background(), authproto.User{Name: "bob", Home: tt.home, UID: os.Getuid(), GID: os.Getgid()})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err == nil {
				unix.Close(fd)
			}
		})
	}
}

func TestLocalHoldsAUserToHisLimit(t *testing.T) {
	t.Parallel()
	l := &Local{slots: make(chan struct{}, 2), turns: turns{limit: 1, of: map[string]*turn{}}, patience: 20 * time.Millisecond}
	enter := func(user, want string) func() {
		t.Helper()
		done, err := l.enter(context.Background(), user)
		var r *favour.Refusal
		if got := errors.As(err, &r); got != (want != "") || got && r.Setting != want {
			t.Fatalf("%s: got %v, want %q", user, err, want)
		}
		return done
	}
	ann := enter("ann", "")
	enter("ann", "lmtp_user_concurrency_limit")
	bob := enter("bob", "")
	enter("carol", "process_limit")
	ann()
	enter("ann", "")()
	bob()
	if n := len(l.turns.of); n != 0 {
		t.Errorf("%d users are remembered for nothing", n)
	}
}
