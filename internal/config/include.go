package config

import (
	"fmt"
	"path/filepath"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// include reads the files that a pattern names, in sorted order, as if they
// were pasted in its place. A relative pattern hangs in the folder of the
// including file.
func (l *loader) include(src *source, b *hclsyntax.Block, into *node) {
	at := src.pos(b.TypeRange.Start.Byte)
	pattern, ok := l.label(src, b, "GLOB")
	if !ok {
		return
	}
	optional := l.optional(src, b)
	full := pattern
	if !filepath.IsAbs(full) {
		full = filepath.Join(filepath.Dir(src.name), full)
	}
	matches, err := l.glob(full)
	switch {
	case err != nil:
		l.add(at, fmt.Sprintf("include %q: bad pattern", pattern), "")
		return
	case len(matches) == 0 && !optional:
		l.add(at, fmt.Sprintf("include %q: no such file", pattern), "write optional = yes in it if that is all right")
		l.holes = true
		return
	}
	for _, name := range matches {
		if err := l.file(name, into); err != nil && !optional {
			l.add(at, fmt.Sprintf("include %q: %s: %v", pattern, name, err), "")
			l.holes = true
		}
	}
}

// optional reads the one setting of an include.
func (l *loader) optional(src *source, b *hclsyntax.Block) bool {
	for _, inner := range b.Body.Blocks {
		l.add(src.pos(inner.TypeRange.Start.Byte), "a block inside include", "")
	}
	yes := false
	for name, a := range b.Body.Attributes {
		at := src.pos(a.NameRange.Start.Byte)
		if name != "optional" {
			l.add(at, fmt.Sprintf("unknown setting %q in include", name), "it has optional only")
			continue
		}
		v, f := src.value(a.Expr)
		switch {
		case f != nil:
			l.add(src.pos(f.offset), f.what, f.hint)
		case v.Text == "yes":
			yes = true
		case v.Text != "no":
			l.add(at, fmt.Sprintf("optional: %q is neither yes nor no", v.Text), "")
		}
	}
	return yes
}
