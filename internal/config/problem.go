// Package config reads configuration files into checked settings, prints them
// again, and says exactly what is wrong with them.
//
// Runs as:   the master (root) at start, reload and check; whoever calls culver config.
// Trusts:    the files, which only an administrator can write; not their correctness.
// Distrusts: nothing that came from a network is ever read here.
// Speaks:    HCL 2 native syntax, blocks and attributes only, no expressions.
package config

import (
	"cmp"
	"fmt"
	"slices"
)

// Pos is a place in a file, line and column from 1, the column in characters.
type Pos struct {
	File      string
	Line, Col int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// Problem is one thing wrong with the configuration, at the place an
// administrator must edit.
type Problem struct {
	Pos
	What, Hint string
}

func (p Problem) String() string {
	if p.Hint == "" {
		return p.Pos.String() + ": " + p.What
	}
	return p.Pos.String() + ": " + p.What + " (" + p.Hint + ")"
}

func (p Problem) Error() string { return p.String() }

// sortProblems orders them as somebody who edits file after file wants them:
// files in the order they were read, then by place; the same thing said twice
// is said once.
func sortProblems(all []Problem, files []string) []Problem {
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(slices.Index(files, a.File), slices.Index(files, b.File)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(all)
}
