package arrows

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write cmd/*/deps.txt anew")

// heavy are the packages of the standard library that a program's start or size
// is known by. They stand in deps.txt beside all packages that are not standard.
var heavy = []string{
	"bufio", "crypto/tls", "crypto/x509", "encoding/gob", "encoding/json", "encoding/xml", "flag", "fmt",
	"html/template", "log", "log/slog", "log/syslog", "math/big", "mime/multipart", "net", "net/http", "net/mail",
	"net/textproto", "net/url", "os/exec", "os/signal", "os/user", "plugin", "reflect", "regexp", "testing", "text/template",
}

// light are the programs that are started once a user, or that fork for root:
// each of them pays for its imports at every birth.
var light = []string{"culver-spawn", "doveadm-worker", "lmtp-deliver"}

// barred is what no light program links, and why.
var barred = map[string]string{
	"crypto/tls":    "64 package inits and 1 MB resident",
	"net":           "a worker has its descriptors and opens no connection",
	"net/http":      "77 package inits and 1.5 MB resident",
	"regexp":        "expressions compiled at start",
	"log/slog":      "package logline is enough for one line",
	"encoding/json": "its tables are built by reflection",
	"os/user":       "a name is resolved by the master",
}

// barredModules are those of which a light program links nothing.
var barredModules = []string{"github.com/hashicorp", "github.com/zclconf", "culver/internal/config"}

func programs(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob(filepath.Join(root, "cmd", "*", "main.go"))
	if err != nil || len(mains) == 0 {
		t.Fatalf("no programs below cmd/: %v", err)
	}
	var names []string
	for _, m := range mains {
		names = append(names, filepath.Base(filepath.Dir(m)))
	}
	return names
}

// links gives all packages that a program links, built as make build does.
func links(t *testing.T, program string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "./cmd/"+program)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./cmd/%s: %v", program, err)
	}
	return strings.Fields(string(out))
}

// notable is the part of them that deps.txt shows.
func notable(deps []string) []string {
	var out []string
	for _, d := range deps {
		first, _, _ := strings.Cut(d, "/")
		ours := strings.HasPrefix(d, module) || strings.Contains(first, ".")
		if ours || slices.Contains(heavy, d) {
			out = append(out, d)
		}
	}
	slices.Sort(out)
	return out
}

func TestProgramDependencies(t *testing.T) {
	t.Parallel()
	for _, p := range programs(t) {
		t.Run(p, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(notable(links(t, p)), "\n") + "\n"
			path := filepath.Join(root, "cmd", p, "deps.txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (make deps writes it)", err)
			}
			added, gone := differ(string(want), got)
			if added != "" || gone != "" {
				t.Errorf("what %s links has changed; if it should, make deps.\nnew: %s\ngone: %s", p, added, gone)
			}
		})
	}
}

// differ names the lines that only one of the two texts has.
func differ(want, got string) (added, gone string) {
	w, g := strings.Fields(want), strings.Fields(got)
	for _, d := range g {
		if !slices.Contains(w, d) {
			added += " " + d
		}
	}
	for _, d := range w {
		if !slices.Contains(g, d) {
			gone += " " + d
		}
	}
	return added, gone
}

func TestWorkersStayLight(t *testing.T) {
	t.Parallel()
	have := programs(t)
	for _, p := range light {
		if !slices.Contains(have, p) {
			continue
		}
		for _, dep := range links(t, p) {
			if why, no := barred[dep]; no {
				t.Errorf("%s links %s: %s", p, dep, why)
			}
			for _, mod := range barredModules {
				if within(dep, mod) {
					t.Errorf("%s links %s: configuration text is the master's", p, dep)
				}
			}
		}
	}
}
