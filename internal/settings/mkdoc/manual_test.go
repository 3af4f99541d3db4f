package main

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"culver/internal/settings"
)

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/culver.conf.5.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManualIsInStepWithTheTable(t *testing.T) {
	t.Parallel()
	if readPage(t) != page() {
		t.Error("docs/culver.conf.5.md is stale: go generate ./internal/settings")
	}
}

// The page may be edited by hand against the rule; the names at least must
// agree, both ways.
func TestManualHasEverySettingAndNoOther(t *testing.T) {
	t.Parallel()
	var want []string
	var walk func(*settings.Block)
	walk = func(b *settings.Block) {
		for _, row := range b.Rows {
			want = append(want, row.Name)
		}
		for _, inner := range b.Blocks {
			walk(inner)
		}
	}
	walk(settings.Root())
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\*\*(\w+)\*\* \(`).FindAllStringSubmatch(readPage(t), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got settings %q\nwant %q", got, want)
	}
}
