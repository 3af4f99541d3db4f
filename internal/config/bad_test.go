package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata/bad")

// TestBadSamples holds every sample against the exact messages beside it.
func TestBadSamples(t *testing.T) {
	t.Parallel()
	samples, err := filepath.Glob("testdata/bad/*.conf")
	if err != nil || len(samples) == 0 {
		t.Fatal("no samples")
	}
	for _, sample := range samples {
		name := strings.TrimSuffix(filepath.Base(sample), ".conf")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := Load(sample, host)
			var got strings.Builder
			for _, p := range problems {
				p.File = strings.TrimPrefix(p.File, "testdata/bad/")
				got.WriteString(p.String() + "\n")
			}
			text := strings.ReplaceAll(got.String(), "testdata/bad/", "")
			expected := strings.TrimSuffix(sample, ".conf") + ".want"
			if *update {
				if err := os.WriteFile(expected, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(expected)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got\n%swant\n%s", text, want)
			}
			if text == "" {
				t.Error("a bad sample without a message")
			}
		})
	}
}
