// Command mkdoc writes the manual page culver-doveadm(1) from the table of commands:
// mkdoc FILE.
//
// Runs as:   a developer, by go generate.
// Trusts:    the table.
// Distrusts: nothing.
// Speaks:    Markdown, as the other pages in docs/.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mkdoc FILE")
		os.Exit(1)
	}
	if err := os.WriteFile(os.Args[1], []byte(page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "mkdoc:", err)
		os.Exit(1)
	}
}
