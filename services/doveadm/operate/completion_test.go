package operate

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"culver/internal/mailtest"
)

// completed gives what bash offers for the last of these words.
func completed(t *testing.T, words ...string) []string {
	t.Helper()
	var script bytes.Buffer
	bash(&script)
	fmt.Fprintf(&script, "COMP_WORDS=(")
	for _, w := range words {
		fmt.Fprintf(&script, "'%s' ", w)
	}
	fmt.Fprintf(&script, ")\nCOMP_CWORD=%d\n_culver_doveadm\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n", len(words)-1)
	out, err := exec.Command("bash", "-c", script.String()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Fields(string(out))
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	mailtest.NeedProgram(t, "bash", "bash")
	for _, tt := range []struct {
		name  string
		words []string
		want  []string // all of them
	}{
		{"a command", []string{"culver-doveadm", "exp"}, []string{"expunge"}},
		{"a command after options", []string{"culver-doveadm", "-f", "json", "-v", "sea"}, []string{"search"}},
		{"the second word", []string{"culver-doveadm", "mailbox", "su"}, []string{"subscribe"}},
		{"the third word", []string{"culver-doveadm", "auth", "cache", ""}, []string{"flush", "status"}},
		{"an option of the command", []string{"culver-doveadm", "expunge", "-u", "alice", "--dr"}, []string{"--dry-run"}},
		{"a key of a query", []string{"culver-doveadm", "search", "-u", "search", "mailbox", "INBOX", "savedb"}, []string{"savedbefore"}},
		{"a formatter", []string{"culver-doveadm", "-f", "nd"}, []string{"ndjson"}},
		{"a field", []string{"culver-doveadm", "mailbox", "status", "vs"}, []string{"vsize"}},
		{"nothing it does not know", []string{"culver-doveadm", "nonsense", "x"}, nil},
	} {
		if got := completed(t, tt.words...); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFishCompletes(t *testing.T) {
	t.Parallel()
	mailtest.NeedProgram(t, "fish", "fish")
	script, _, _ := ran(t, Env{}, "completion", "fish")
	for line, want := range map[string]string{
		"culver-doveadm exp":                             "expunge",
		"culver-doveadm mailbox su":                      "subscribe",
		"culver-doveadm -v auth cache ":                  "flush",
		"culver-doveadm expunge -u alice --dr":           "--dry-run",
		"culver-doveadm search mailbox INBOX savedb":     "savedbefore",
		"culver-doveadm -f nd":                           "ndjson",
		"culver-doveadm -f json search -u search savedb": "savedbefore",
	} {
		c := exec.Command("fish", "-c", "source - ; complete -C '"+line+"'")
		c.Stdin = strings.NewReader(script)
		out, err := c.CombinedOutput()
		if got := strings.Fields(string(out)); err != nil || len(got) == 0 || got[0] != want {
			t.Errorf("%s: got %q, %v, want %s", line, out, err, want)
		}
	}
}

func TestScriptsAreScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			mailtest.NeedProgram(t, shell, shell)
			out, _, code := ran(t, Env{}, "completion", shell)
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil || code != 0 {
				t.Errorf("exit %d, %v: %s", code, err, said)
			}
		})
	}
}
