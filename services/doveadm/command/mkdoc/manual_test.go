package main

import (
	"os"
	"strings"
	"testing"

	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/culver-doveadm.1.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManualIsInStepWithTheTable(t *testing.T) {
	t.Parallel()
	if readPage(t) != page() {
		t.Error("docs/culver-doveadm.1.md is stale: go generate ./services/doveadm/command")
	}
}

// What is written by hand must at least name everything.
func TestManualNamesEveryFieldAndFormat(t *testing.T) {
	t.Parallel()
	text := readPage(t)
	for _, name := range append(command.FetchFields(), format.Names()...) {
		if !strings.Contains(text, "**"+name+"**") {
			t.Errorf("docs/culver-doveadm.1.md does not name %s", name)
		}
	}
}
