package brain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"culver/internal/backend"
	"culver/internal/doveadmproto"
	"culver/services/doveadm/command"
)

func TestWhereThePasswordComesFrom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ask := func(string) (string, error) { return "asked", nil }
	for _, tt := range []struct {
		name  string
		login Login
		want  string
		bad   string
		code  int
	}{
		{"a file's first line", Login{File: file("good", "filed\r\nmore\n", 0o600), Variable: "v", Ask: ask}, "filed", "", 0},
		{"a file that others may read", Login{File: file("open", "filed\n", 0o640)}, "", "mode 0640: want it yours", 78},
		{"no file", Login{File: filepath.Join(dir, "none")}, "", "no such file", 78},
		{"a folder", Login{File: dir}, "", "it is no file", 78},
		{"an empty file", Login{File: file("empty", "", 0o600)}, "", "is empty", 64},
		{"a file without end", Login{File: file("long", strings.Repeat("x", 2*maxPassword), 0o600)}, "", "more than", 64},
		{"a NUL byte", Login{File: file("nul", "a\x00b\n", 0o600)}, "", "NUL", 64},
		{"a command", Login{Command: "echo told; echo more", Variable: "v"}, "told", "", 0},
		{"a command that fails", Login{Command: "echo told; exit 3"}, "", "exit status 3", 75},
		{"a command that says nothing", Login{Command: "true"}, "", "is empty", 64},
		{"the environment", Login{Variable: "v", Ask: ask}, "v", "", 0},
		{"the terminal", Login{Ask: ask}, "asked", "", 0},
		{"a terminal that is interrupted", Login{Ask: func(string) (string, error) { return "", errors.New("interrupted") }}, "", "interrupted", 75},
		{"nowhere", Login{}, "", "--as wants a password", 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.login.As = "admin@example.org"
			got, err := tt.login.password(t.Context(), io.Discard)
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) || Code(err) != tt.code {
					t.Errorf("got %v, want %q and %d", err, tt.bad, tt.code)
				}
				return
			}
			if got != tt.want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestACommandThatSaysTooMuchIsEnded(t *testing.T) {
	t.Parallel()
	if got, err := passwordBy(t.Context(), "yes x", io.Discard); err == nil && len(got) > maxPassword {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestWhatBelongsToAs(t *testing.T) {
	t.Parallel()
	spec, _, err := command.Find([]string{"search"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		before Login
		words  string
		want   Login
		bad    string
	}{
		{"nothing", Login{}, "", Login{}, ""},
		{"before the command", Login{As: "a", File: "/f"}, "", Login{As: "a", File: "/f"}, ""},
		{"after it", Login{}, "--as a --password-file /f", Login{As: "a", File: "/f"}, ""},
		{"what is after counts for more", Login{As: "a", File: "/f"}, "--as b --password-file=/g", Login{As: "b", File: "/g"}, ""},
		{"a file for nobody", Login{}, "--password-file /f", Login{}, "goes with --as"},
		{"two sources", Login{}, "--as a --password-file /f --password-command c", Login{}, "not both"},
		{"no name at all", Login{}, "--as=", Login{}, "wants a value"},
		{"a name that is none", Login{As: "a\tb"}, "", Login{}, "nobody's name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := spec.Parse(append(strings.Fields(tt.words), "all"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.before.over(p)
			if (tt.bad != "") != (err != nil) || err != nil && !strings.Contains(err.Error(), tt.bad) {
				t.Fatalf("got %v, want %q", err, tt.bad)
			}
			if err == nil && (got.As != tt.want.As || got.File != tt.want.File || got.Command != tt.want.Command) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if wire := strings.Join(p.Wire(), " "); strings.Contains(wire, "as") || strings.Contains(wire, "/f") {
				t.Errorf("%q would be sent", wire)
			}
		})
	}
}

// Who trusts us for our own sake would do more than the one who was named may.
func TestAServerThatWantsNoPasswordIsNotUsedByOneWhoWasNamed(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, func(*asked) int { return 0 })
	var errs bytes.Buffer
	spec, rest, err := command.Find([]string{"search", "-u", "x", "-S", s.socket, "--as", "admin@example.org", "all"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := spec.Parse(rest)
	if err != nil {
		t.Fatal(err)
	}
	code := Execute(t.Context(), Global{Login: Login{Variable: "pw"}, Now: time.Unix(1, 0), In: strings.NewReader(""), Out: io.Discard, Err: &errs}, p)
	if code != doveadmproto.Usage || !strings.Contains(errs.String(), "wants no password") || len(s.users) > 0 {
		t.Errorf("got %d, %q, asked for %v", code, errs.String(), s.users)
	}
}

// Another host does not get the password in the clear, whoever's it is. 192.0.2.1
// is nobody's; this end of the connection stands for it.
func TestANamedPasswordStaysHereWithoutTLS(t *testing.T) {
	t.Parallel()
	who := &access{user: "admin@example.org", named: true, password: secret}
	if who.clears("tcp", "192.0.2.1:24245") {
		t.Error("it would cross the network in the clear")
	}
	a := impostor(t, speaks(serverVersion+"-\n", "-\n"))
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	_, err := who.open(ctx, "tcp", backend.Target{Address: a.address, Host: "127.0.0.1"})
	if !errors.Is(err, doveadmproto.ErrAuth) {
		t.Errorf("got %v", err)
	}
}
