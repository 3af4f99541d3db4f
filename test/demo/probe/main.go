// Command probe stands in for lmtp-deliver once, in the demo: a worker that was
// taken over. It is born like every worker, under its user's identity and in
// its user's box, and then tries to read another user's mail.
//
// Runs as:   the recipient.
// Trusts:    nobody.
// Distrusts: nothing: it is the one to be distrusted.
// Speaks:    package handoff, and not one word of LMTP.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
	"culver/internal/worker"
)

func main() {
	p := worker.Begin(false)
	if p.Status(1, 0) != nil {
		os.Exit(worker.ExitTempfail)
	}
	m, fd, err := p.Next()
	if err != nil || m.Kind != handoff.KindAccess {
		os.Exit(0)
	}
	grant, err := finished.Decode([]byte(m.Text))
	if err != nil {
		os.Exit(worker.ExitConfig)
	}
	// The user's own file says whose mail to try: that one can be read.
	list, err := os.ReadFile(filepath.Join(grant["mail_path"], "targets"))
	if err != nil {
		say("cannot read my own mail: %v", err)
	}
	for path := range strings.Lines(string(list)) {
		path = strings.TrimSuffix(path, "\n")
		try("read", path, func() error {
			f, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			unix.Close(f)
			return err
		})
		try("change the mode of", path, func() error { return unix.Chmod(path, 0o666) })
		try("take away", path, func() error { return unix.Rename(path, filepath.Join(grant["mail_path"], "stolen")) })
	}
	unix.Close(fd)
	p.Status(0, 1)
}

func try(what, path string, f func() error) {
	if err := f(); err != nil {
		say("tried to %s %s: refused: %v", what, path, err)
		return
	}
	say("tried to %s %s: DONE", what, path)
}

func say(format string, args ...any) {
	logline.Print(logline.Info, "", "", "probe: %s (pid %d, uid %d)", fmt.Sprintf(format, args...), os.Getpid(), os.Getuid())
}
