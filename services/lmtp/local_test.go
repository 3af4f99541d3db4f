package lmtp

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
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
