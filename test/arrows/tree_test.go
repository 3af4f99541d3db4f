// Package arrows checks the shape of the repository: who imports whom, where
// root's powers are used, what each program links.
//
// Runs as:   whoever runs the tests.
// Trusts:    the source tree it lies in.
// Distrusts: good intentions.
// Speaks:    nothing.
package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	root   = "../.."
	module = "culver/"
)

// source is one parsed file.
type source struct {
	name    string // "master/roster/next.go"
	dir     string // "master/roster"
	test    bool   // nothing of it reaches a program
	imports []string
	ast     *ast.File
	fset    *token.FileSet
}

func (s source) at(n ast.Node) string {
	return s.name + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// tree parses the repository once.
var tree = sync.OnceValues(func() ([]source, error) {
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		if d.IsDir() {
			switch {
			case name == "bin", name == "tmp", name == "tools", d.Name() == "testdata",
				name != "." && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{
			name: name, dir: filepath.ToSlash(filepath.Dir(name)), ast: file, fset: fset,
			test: strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "internal/mailtest/"),
		}
		for _, spec := range file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			s.imports = append(s.imports, path)
		}
		all = append(all, s)
		return nil
	})
	return all, err
})

func sources(t *testing.T) []source {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d files found below %s", len(all), root)
	}
	return all
}

// within tells whether path is room or lies below it.
func within(path, room string) bool {
	return path == room || strings.HasPrefix(path, room+"/")
}

func TestEveryPackageSaysWhoItRunsAs(t *testing.T) {
	t.Parallel()
	said := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.ast.Name.Name, "_test") {
			continue
		}
		said[s.dir] = said[s.dir] || strings.Contains(s.ast.Doc.Text(), "Runs as:")
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s: no package comment has a \"Runs as:\" line", dir)
		}
	}
}
