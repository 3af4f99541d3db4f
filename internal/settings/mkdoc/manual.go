package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"culver/internal/settings"
)

// language is the part of the manual that explains how files are written.
//
//go:embed language.md
var language string

// page is culver.conf(5): the language, and every row of the table.
func page() string {
	m := &manual{}
	m.WriteString(language)
	root := settings.Root()
	m.WriteString("\n## SETTINGS\n\n")
	m.rows(root.Rows)
	for _, b := range root.Blocks {
		m.block(b, "", 2)
	}
	m.WriteString(trailer)
	return m.String()
}

const trailer = `
## FILES

/etc/culver/culver.conf, /etc/culver/conf.d/*.conf, /etc/culver/users

## SEE ALSO

culver(8)
`

type manual struct{ strings.Builder }

func (m *manual) block(b *settings.Block, outer string, level int) {
	path := strings.TrimSpace(outer + " " + b.Kind)
	fmt.Fprintf(m, "%s %s %q\n\n%s\n\n", strings.Repeat("#", level), strings.ToUpper(path), b.Label, b.Help)
	if b.Kind == "service" {
		m.services(b)
	}
	m.rows(b.Rows)
	for _, inner := range b.Blocks {
		m.block(inner, path, level+1)
	}
}

// services lists what each service has unless its block says otherwise.
func (m *manual) services(b *settings.Block) {
	m.WriteString("Defaults that differ from service to service:\n\n")
	for _, s := range settings.Builtins() {
		var all []string
		for _, row := range b.Rows {
			row = s.ServiceRow(row)
			if _, own := s.Defaults[row.Name]; own {
				all = append(all, row.Name+" = "+row.Shown())
			}
		}
		for _, path := range slices.Sorted(maps.Keys(s.Listeners)) {
			all = append(all, fmt.Sprintf("unix_listener %q with mode = %s", path, s.Listeners[path]["mode"]))
		}
		fmt.Fprintf(m, "- **%s**: %s\n", s.Name, strings.Join(all, ", "))
	}
	m.WriteByte('\n')
}

func (m *manual) rows(rows []settings.Setting) {
	for _, row := range rows {
		fmt.Fprintf(m, "**%s** (%s; default: %s)", row.Name, row.Type.Name, row.Shown())
		if row.Drivers != "" {
			fmt.Fprintf(m, " (driver %s)", row.Drivers)
		}
		fmt.Fprintf(m, "\n: %s", row.Help)
		if row.Own {
			m.WriteString(" A userdb field of this name overrides it for a user.")
		}
		m.WriteString("\n\n")
	}
}
