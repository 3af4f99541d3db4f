package arrows

import (
	"go/ast"
	"go/token"
	"testing"
)

// powers are the names by which a program changes who it is, who owns a file,
// or what its root is.
var powers = map[string]bool{
	"Credential": true, "Chroot": true,
	"Setuid": true, "Setgid": true, "Setgroups": true,
	"Seteuid": true, "Setegid": true, "Setreuid": true, "Setregid": true,
	"Setresuid": true, "Setresgid": true, "Setfsuid": true, "Setfsgid": true,
	"SetfsuidRetUid": true, "SetfsgidRetGid": true,
	"SYS_SETUID": true, "SYS_SETGID": true, "SYS_SETGROUPS": true,
	"SYS_SETREUID": true, "SYS_SETREGID": true, "SYS_SETRESUID": true, "SYS_SETRESGID": true,
	"SYS_SETFSUID": true, "SYS_SETFSGID": true, "SYS_CHROOT": true,
	"Chown": true, "Lchown": true, "Fchown": true, "Fchownat": true,
	"SYS_CHOWN": true, "SYS_LCHOWN": true, "SYS_FCHOWN": true, "SYS_FCHOWNAT": true,
}

// use is one place where a power is named.
type use struct{ file, function, power string }

// exceptions are the uses outside master/.
var exceptions = map[use]string{
	{"internal/worker/worker_linux.go", "verifyIdentity", "SYS_SETUID"}: "the probe: every child tries to become root again, and ends when it can",
	{"internal/mailstore/maildir/dir_linux.go", "apply", "Fchown"}:      "gives a file to one of the user's own groups, as a shared mailbox asks; the owner stays (-1)",
}

// refusal is the function that names powers only to have them refused.
var refusal = use{file: "internal/worker/seal_linux.go", function: "sealed"}

func TestRootsPowersAreUsedInTheMasterOnly(t *testing.T) {
	t.Parallel()
	found := map[use]int{}
	for _, s := range sources(t) {
		if s.test || within(s.dir, "master") {
			continue
		}
		function := ""
		report := func(name *ast.Ident, n ast.Node) {
			u := use{s.name, function, name.Name}
			found[u]++
			if u.file == refusal.file && u.function == refusal.function {
				return
			}
			if _, ok := exceptions[u]; !ok {
				t.Errorf("%s: %s in %s is for master/ only", s.at(n), name.Name, function)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				function = n.Name.Name
			case *ast.SelectorExpr:
				// syscall.Setuid, unix.SYS_SETUID, file.Chown, attr.Credential: but not a
				// field that is read and has another thing's name, such as Chroot of a
				// service's settings.
				if powers[n.Sel.Name] && (packageName(n.X) || n.Sel.Name == "Credential") {
					report(n.Sel, n)
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && powers[sel.Sel.Name] && !packageName(sel.X) {
					report(sel.Sel, n)
				}
			case *ast.CompositeLit:
				for _, key := range processPowers(n) {
					report(key, n)
				}
			}
			return true
		})
	}
	for u, why := range exceptions {
		if found[u] != 1 {
			t.Errorf("%+v is used %d times, want once: %s", u, found[u], why)
		}
	}
}

// packageName tells a package that offers system calls from a value.
func packageName(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && (id.Name == "os" || id.Name == "syscall" || id.Name == "unix")
}

// processPowers gives the keys of a SysProcAttr by which a child changes.
func processPowers(lit *ast.CompositeLit) (keys []*ast.Ident) {
	if sel, ok := lit.Type.(*ast.SelectorExpr); !ok || sel.Sel.Name != "SysProcAttr" {
		return nil
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && powers[key.Name] {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// The exception of the store holds only while it leaves the owner alone.
func TestTheStoreChangesNoOwner(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || !within(s.dir, "internal/mailstore") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Fchown" && !minusOne(call.Args[1]) {
				t.Errorf("%s: Fchown with an owner other than -1", s.at(n))
			}
			return true
		})
	}
}

func minusOne(x ast.Expr) bool {
	u, ok := x.(*ast.UnaryExpr)
	if !ok || u.Op != token.SUB {
		return false
	}
	one, ok := u.X.(*ast.BasicLit)
	return ok && one.Value == "1"
}
