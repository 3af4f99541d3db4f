package brain

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"culver/internal/doveadmproto"
)

func TestWhatOthersCouldHaveWrittenIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words []string
		spoil func(file string) error
	}{
		{"a journal that a group may write", []string{"resume"}, func(f string) error { return os.Chmod(f, 0o660) }},
		{"a journal that all may write", []string{"resume"}, func(f string) error { return os.Chmod(f, 0o602) }},
		{"a journal of another's", []string{"resume"}, func(f string) error { return os.Chown(f, 12345, -1) }},
		{"a plan that all may write", []string{"apply"}, func(f string) error { return os.Chmod(f, 0o666) }},
		{"a plan of another's", []string{"apply"}, func(f string) error { return os.Chown(f, 12345, -1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFakeServer(t, oneRow)
			text := planText
			if tt.words[0] == "resume" {
				text = `{"doveadm-journal":1,"command":"expunge","args":["--","mailbox","INBOX","1:5"],"users":{"user":"alice"},"server":"` + s.socket + "\"}\n"
			}
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tt.spoil(file); err != nil {
				t.Skip(err)
			}
			got := doveadm(t, Global{Settings: Settings{Socket: s.socket}}, append(tt.words, file)...)
			if got.code != 77 || len(s.users) != 0 {
				t.Errorf("sent for %v, got %+v", s.users, got)
			}
			os.Chown(file, os.Geteuid(), -1)
			os.Chmod(file, 0o600)
			if got = doveadm(t, Global{Settings: Settings{Socket: s.socket}}, append(tt.words, file)...); len(s.users) == 0 {
				t.Errorf("the same file of ours: got %+v", got)
			}
		})
	}
}

func TestLinksAndDevicesAreNotWrittenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(victim, "precious")
	link := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.Symlink(victim, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	users := filepath.Join(dir, "users")
	write(users, "alice\n")
	s := newFakeServer(t, dryServer)
	run := func(words ...string) ran {
		return doveadm(t, Global{Settings: Settings{Socket: s.socket}}, append(words, "mailbox", "Trash", "all")...)
	}
	if got := run("expunge", "-F", users, "--dry-run", "--plan", link("plan")); got.code == 0 {
		t.Errorf("a plan through a link: got %+v", got)
	}
	device := link("device") // such as /dev/stderr
	if got := run("expunge", "-F", users, "--failed-file", device); got.code != 77 {
		t.Errorf("a failed file in the place of a link: got %+v", got)
	}
	if to, err := os.Readlink(device); err != nil || to != victim {
		t.Errorf("the link is %q now, %v", to, err)
	}
	link("failed.new")
	if got := run("expunge", "-F", users, "--failed-file", filepath.Join(dir, "failed")); got.code != 0 {
		t.Errorf("a link where the failed file is made: got %+v", got)
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the victim has %q now, %v", text, err)
	}
	if info, err := os.Lstat(filepath.Join(dir, "failed")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the failed file: %v, %v", info, err)
	}
}

func TestEventsObeyNoUser(t *testing.T) {
	t.Parallel()
	const text = "\x1b[2J\u009b31m\x7f\u202etxt.exe é"
	var out bytes.Buffer
	newEvents(&out).log("ann", doveadmproto.LogError, text)
	for _, r := range strings.TrimSuffix(out.String(), "\n") {
		if unicode.IsControl(r) || r == 0x202e {
			t.Errorf("%q has %q", out.String(), r)
		}
	}
	var e event
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || e.Text != text {
		t.Errorf("got %q, %v", e.Text, err)
	}
}
