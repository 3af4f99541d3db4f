package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"culver/services/doveadm/brain"
)

func TestOptionsBeforeTheCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		words string
		want  globals
		rest  string
		bad   string
	}{
		{"none", "search -v all", globals{config: defaultConfig}, "search -v all", ""},
		{"letters together, the last with its value", "-vhftab search", globals{config: defaultConfig, verbose: true, noHeader: true, formatter: "tab"}, "search", ""},
		{"values apart", "-D -f json -c /x -o a=b -o c=d who", globals{config: "/x", debug: true, verbose: true, formatter: "json", set: []string{"a=b", "c=d"}}, "who", ""},
		{"a moment", "--now=1000 x", globals{config: defaultConfig, now: time.Unix(1000, 0)}, "x", ""},
		{"a moment that is none", "--now today x", globals{}, "", "--now wants seconds"},
		{"a master user", "--as admin@example.org --password-file=/f search", globals{config: defaultConfig, login: brain.Login{As: "admin@example.org", File: "/f"}}, "search", ""},
		{"nobody", "--as", globals{}, "", "option --as needs a value"},
		{"a value is missing", "-f", globals{}, "", "option -f needs a value"},
		{"what belongs to a command", "-A search all", globals{}, "", "comes after its name"},
		{"an end", "-v -- -x", globals{config: defaultConfig, verbose: true}, "-x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, rest, err := parseGlobals(strings.Fields(tt.words))
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) {
					t.Errorf("got %v, want %q", err, tt.bad)
				}
				return
			}
			same := slices.Equal(got.set, tt.want.set) && got.now.Equal(tt.want.now)
			got.set, tt.want.set, got.now, tt.want.now = nil, nil, time.Time{}, time.Time{}
			if err != nil || !same || strings.Join(rest, " ") != tt.rest ||
				got.verbose != tt.want.verbose || got.debug != tt.want.debug || got.noHeader != tt.want.noHeader ||
				got.formatter != tt.want.formatter || got.login.As != tt.want.login.As || got.login.File != tt.want.login.File || got.config != tt.want.config {
				t.Errorf("got %+v, rest %q, %v; want %+v, rest %q", got, rest, err, tt.want, tt.rest)
			}
		})
	}
}
