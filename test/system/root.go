package system

import (
	"fmt"
	"os/exec"
	"path/filepath"

	"culver/internal/mailtest"
)

// install gives the folder of another release's programs, which the first test
// that needs them makes with the script of that name.
func install(name string) (root string, err error) {
	script := filepath.Join(mailtest.Repository(), "scripts", "install-"+name)
	root = filepath.Join(mailtest.Repository(), "bin", "test", name)
	if out, err := exec.Command(script, root).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return root, nil
}

// within gives the command line that runs a program of root there. The folder
// shared appears under the path that it has here, for that process alone.
func within(root, shared, program string, args ...string) []string {
	const enter = `root=$1 shared=$2; shift 2
mount --bind /dev "$root/dev"
mount --bind /proc "$root/proc"
mkdir -p "$root$shared"
mount --bind "$shared" "$root$shared"
exec chroot "$root" "$@"`
	return append([]string{"unshare", "--mount", "sh", "-euc", enter, "sh", root, shared, program}, args...)
}
