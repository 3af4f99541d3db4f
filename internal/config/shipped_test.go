package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"culver/internal/settings"
)

const shipped = "../../conf.d"

func shippedFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shipped, "*.conf"))
	if err != nil || len(files) == 0 {
		t.Fatal("no shipped files")
	}
	return files
}

// laidOut copies the shipped files to where an administrator has them, each
// line changed by edit.
func laidOut(t *testing.T, edit func(string) string) string {
	t.Helper()
	dir := t.TempDir()
	main, err := os.ReadFile("../../packaging/culver.conf")
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	put("culver.conf", string(main))
	for _, f := range shippedFiles(t) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for l := range strings.Lines(string(text)) {
			out.WriteString(edit(l))
		}
		put("conf.d/"+filepath.Base(f), out.String())
	}
	return filepath.Join(dir, "culver.conf")
}

// offDefault is a setting that is shown at its default, behind a #.
var offDefault = regexp.MustCompile(`^(\s*)#(\S.*|  \S.*)$`)

func TestShippedSettingsAreValid(t *testing.T) {
	t.Parallel()
	load(t, laidOut(t, func(l string) string { return l }))
}

// A shipped file alone may lack what another has, but every line of it is
// understood.
func TestEachShippedFileIsUnderstood(t *testing.T) {
	t.Parallel()
	for _, f := range shippedFiles(t) {
		_, problems := Load("testdata/base.conf", host, f)
		for _, p := range problems {
			t.Error(p)
		}
	}
}

func TestShownDefaultsAreTheDefaults(t *testing.T) {
	t.Parallel()
	want := load(t, laidOut(t, func(l string) string { return l }))
	shown := 0
	got := load(t, laidOut(t, func(l string) string {
		m := offDefault.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		// Explanations begin with "# "; "#  mode" is inside a block behind #.
		if m == nil || strings.HasPrefix(m[2], "   ") {
			return l
		}
		shown++
		return m[1] + m[2] + "\n"
	}))
	if shown < 60 {
		t.Errorf("only %d settings are shown", shown)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryGlobalSettingIsShipped(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, f := range shippedFiles(t) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for _, row := range settings.Root().Rows {
		if !regexp.MustCompile(`(?m)^#?` + row.Name + `\s*=`).MatchString(all.String()) {
			t.Errorf("%s is in no file of conf.d", row.Name)
		}
	}
}

// The familiar shape of the design is valid as it stands.
func TestLaterFileOverridesTheShippedOnes(t *testing.T) {
	t.Parallel()
	path := laidOut(t, func(l string) string { return l })
	extra := write(t, `
base_dir               = "/tmp/scratch"
default_internal_user  = 1001
default_internal_group = 1001
service log {
  user = 1002
}
service auth {
  user = 1003
}
service doveadm {
  user = 1005
}
service lmtp {
  user = 1004
  unix_listener "lmtp" {
    mode = 0
  }
  inet_listener "test" {
    port    = 2400
    address = "127.0.0.1"
  }
}
passdb "users" {
  path = "/tmp/scratch/users"
}
userdb "users" {
  path = "/tmp/scratch/users"
}
`)
	cfg, problems := Load(path, names{}, extra) // a bare host: numbers only
	for _, p := range problems {
		t.Error(p)
	}
	if t.Failed() {
		return
	}
	lmtp, _ := cfg.Service("lmtp")
	if len(lmtp.Unix) != 0 || len(lmtp.Inet) != 1 || !reflect.DeepEqual(lmtp.Groups, []int{1001}) || lmtp.User.UID != 1004 {
		t.Errorf("got %+v", lmtp)
	}
	auth, _ := cfg.Service("auth")
	at := slices.IndexFunc(auth.Unix, func(u settings.UnixListener) bool { return strings.HasSuffix(u.Path, "/auth-userdb") })
	if u := auth.Unix[at]; u.Path != "/tmp/scratch/auth-userdb" || u.Owner.GID != 1001 || u.Mode != 0o660 {
		t.Errorf("got %+v", u)
	}
	if got := cfg.Userdbs[0].Values["path"]; got != "/tmp/scratch/users" || len(cfg.Userdbs) != 1 {
		t.Errorf("got %q in %d userdbs", got, len(cfg.Userdbs))
	}
	if got := cfg.Global["spool_dir"]; got != "/tmp/scratch/spool" {
		t.Errorf("got spool_dir %q", got)
	}
}
