package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswordFileIsLookedAtAsTheMasterWill(t *testing.T) {
	t.Parallel()
	const remote = "service doveadm {\ninet_listener \"doveadm\" {\n port = 24245\n}\n}\n"
	for _, tt := range []struct {
		name, block, text string
		mode              os.FileMode
		note, err         string
	}{
		{"as it should be", remote, "long and secret\n", 0o600, "", ""},
		{"readable by all", remote, "long and secret\n", 0o644, "", "mode 0644"},
		{"writable by the group", remote, "long and secret\n", 0o620, "", "mode 0620"},
		{"readable by all, and used by nobody", "", "long and secret\n", 0o644, "", ""},
		{"short", remote, "secret7\n", 0o600, "fewer than 8 bytes", ""},
		{"empty", remote, "\nx\n", 0o600, "", "first line is empty"},
		{"missing", remote, "", 0, "", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "password")
			if tt.mode != 0 {
				if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(file, tt.mode); err != nil {
					t.Fatal(err)
				}
			}
			cfg := load(t, write(t, someUsers+"doveadm_password_file = \""+file+"\"\n"+tt.block))
			note, err := Password(cfg)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if (note != "") != (tt.note != "") || !strings.Contains(note, tt.note) || strings.Contains(note, "secret7") {
				t.Errorf("got note %q, want %q", note, tt.note)
			}
		})
	}
}
