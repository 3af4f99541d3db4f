package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"culver/internal/settings"
)

// load is Load of what must be valid.
func load(t *testing.T, path string, extra ...string) *settings.Config {
	t.Helper()
	cfg, problems := Load(path, host, extra...)
	for _, p := range problems {
		t.Error(p)
	}
	if t.Failed() {
		t.FailNow()
	}
	return cfg
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "culver.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hideSecrets takes out of a Config what Print does not show.
func hideSecrets(cfg *settings.Config) {
	for _, db := range cfg.Passdbs {
		if _, ok := db.Values["password"]; ok {
			db.Values["password"] = ""
		}
	}
}

func TestPrintedConfigLoadsToTheSame(t *testing.T) {
	t.Parallel()
	for _, sample := range []string{"testdata/base.conf", "testdata/full.conf"} {
		for _, all := range []bool{false, true} {
			t.Run(sample, func(t *testing.T) {
				t.Parallel()
				want := load(t, sample)
				var text bytes.Buffer
				if err := Print(&text, want, all); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text.String(), "secret") {
					t.Error("a secret is printed")
				}
				got := load(t, write(t, text.String()))
				hideSecrets(want)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("all=%v\n%s\ngot  %+v\nwant %+v", all, &text, got, want)
				}
			})
		}
	}
}

func TestPrintShowsOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	if err := Print(&got, load(t, "testdata/base.conf"), false); err != nil {
		t.Fatal(err)
	}
	want := `mail_location = "maildir:%h/Maildir"

service "lmtp" {
  unix_listener "lmtp" {
  }
}

passdb "users" {
  driver = passwd-file
  path   = "/etc/culver/users"
}

userdb "users" {
  driver = passwd-file
  path   = "/etc/culver/users"
}
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}
