package arrows

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The architecture page names every program, every room of root's and every
// message: a new one that nobody described fails here.
func TestArchitecturePageIsComplete(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	want := func(what, row string) {
		if !strings.Contains(page, row) {
			t.Errorf("docs/architecture.md has no %s: want %q", what, row)
		}
	}
	programs, _ := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if len(programs) == 0 {
		t.Fatal("no programs found")
	}
	for _, p := range programs {
		want("program", "\n| `"+filepath.Base(filepath.Dir(p))+"` |")
	}
	err = filepath.WalkDir(filepath.Join(root, "master"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == "testdata" {
			return err
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
			room, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			want("room", "\n| `"+room+"` |")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"services/*", "services/*/*", "internal/*"} {
		rooms, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, dir := range rooms {
			if files, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(files) > 0 {
				room, err := filepath.Rel(root, dir)
				if err != nil {
					t.Fatal(err)
				}
				want("room", "`"+room+"`")
			}
		}
	}
	source, err := os.ReadFile(filepath.Join(root, "internal", "handoff", "handoff.go"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(?m)^\tKind([A-Z][A-Za-z]+)\b`).FindAllSubmatch(source, -1)
	if len(kinds) < 8 {
		t.Fatalf("found %d messages, want 8 or more", len(kinds))
	}
	for _, k := range kinds {
		want("message", "`"+string(k[1])+"`")
	}
}
