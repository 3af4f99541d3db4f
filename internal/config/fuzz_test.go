package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"culver/internal/settings"
)

// FuzzConfig feeds any text to the whole of the loader, but for other files:
// nothing may panic, every problem must be at a place in the text, and what is
// accepted must survive being printed.
func FuzzConfig(f *testing.F) {
	for _, pattern := range []string{"testdata/*.conf", "testdata/bad/*.conf", "../../conf.d/*.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		cfg, problems := loadText(text)
		for _, p := range problems {
			checkInside(t, p, text)
		}
		if len(problems) > 0 {
			return
		}
		var printed bytes.Buffer
		if err := Print(&printed, cfg, true); err != nil {
			t.Fatal(err)
		}
		if _, problems := loadText(printed.Bytes()); len(problems) > 0 {
			t.Errorf("printed text is refused: %v\n%s", problems[0], &printed)
		}
	})
}

// loadText is Load of a text, without include.
func loadText(text []byte) (*settings.Config, []Problem) {
	l := &loader{glob: func(string) ([]string, error) { return nil, nil }, files: []string{"x"}}
	root := newNode(settings.Root(), "", Pos{"x", 1, 1})
	l.source(newSource("x", text), root)
	b := &builder{loader: l, root: root, acc: Self{UID: 1000, GID: 1000}}
	cfg := b.config()
	b.check(cfg)
	return cfg, sortProblems(l.problems, l.files)
}

func checkInside(t *testing.T, p Problem, text []byte) {
	t.Helper()
	lines := bytes.Split(text, []byte("\n"))
	if p.File != "x" || p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > utf8.RuneCount(lines[p.Line-1])+1 {
		t.Errorf("%v is outside the file", p)
	}
}
