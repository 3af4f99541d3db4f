// Package mailtest says what a test needs of the machine it runs on, and runs a
// whole Culver in a scratch folder.
//
// Runs as:   whoever runs the tests.
// Trusts:    the machine.
// Distrusts: a green run that tested nothing: where CULVER_CI is 1, a need that
// is not met fails the test instead of skipping it.
// Speaks:    nothing itself.
package mailtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NeedRoot skips the test unless it runs as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "this test changes identities and needs root: run it as root")
	}
}

// Need skips the test where the machine could not give what the sentence names.
func Need(t testing.TB, sentence string, err error) {
	t.Helper()
	if err != nil {
		missing(t, "this test needs "+sentence+": "+err.Error())
	}
}

// NeedProgram gives the path of a program that another package installs, or
// skips the test with the name of that Debian package. A daemon's folder
// (/usr/sbin) counts even where the caller's PATH leaves it out.
func NeedProgram(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	missing(t, "this test needs the program "+name+": install Debian's package "+debianPackage+
		" (scripts/install-test-packages)")
	return ""
}

// missing skips, or fails where a skip would hide that nothing was tested.
func missing(t testing.TB, sentence string) {
	t.Helper()
	if os.Getenv("CULVER_CI") == "1" {
		t.Fatal(sentence + " (CULVER_CI=1 allows no skips)")
	}
	t.Skip(sentence)
}
