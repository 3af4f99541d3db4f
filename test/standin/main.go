// Command standin takes the place of Culver's own programs in tests and in the
// demo: a worker that was taken over, or that lets others wait, a daemon that
// dies at once, and a front of doveadm that does what it is told (front).
//
// In the place of lmtp-deliver or doveadm-worker it is born like every worker, under its user's
// identity and in its user's box. A file "play" in the user's Maildir has its role
// and, one a line, paths; without that file it does what lmtp-deliver does.
//
// Runs as:   the recipient, or the account of the service it stands in for.
// Trusts:    nobody.
// Distrusts: nothing: it is the one to be distrusted.
// Speaks:    package handoff, and as much of LMTP as its role wants.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/handoff"
	"culver/internal/maillog/logline"
	"culver/internal/mailstore/maildir"
	"culver/internal/settings/finished"
	"culver/internal/worker"
	"culver/services/lmtp/deliver"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "dies":
		fmt.Fprintln(os.Stderr, "the last word of one that dies")
		os.Exit(1)
	case "leaves":
		os.Exit(0)
	case "doveadm-server":
		front()
	}
	p := worker.Begin(false)
	// The first access is there already: whose it is decides whether we get ready.
	m, fd, err := p.Next()
	if err != nil || m.Kind != handoff.KindAccess {
		os.Exit(0)
	}
	grant, err := finished.Decode([]byte(m.Text))
	if err != nil {
		os.Exit(worker.ExitConfig)
	}
	list, _ := os.ReadFile(filepath.Join(grant["mail_path"], "play"))
	play := strings.Split(strings.TrimSpace(string(list)), "\n")
	if play[0] == "quits" {
		os.Exit(1)
	}
	if p.Status(1, 0) != nil {
		os.Exit(worker.ExitTempfail)
	}
	act(p, grant, fd, play[0], play[1:])
	p.Status(0, 1)
}

// act is one access; it leaves fd closed.
func act(p *worker.Process, grant finished.Bag, fd int, role string, paths []string) {
	switch role {
	case "says garbage":
		unix.Write(fd, []byte("\x00\xff\r\n250 \r\n2x0 ok\n\n"))
	case "says too much":
		unix.Write(fd, bytes.Repeat([]byte("220 and more\r\n"), 1<<16))
		unix.Write(fd, bytes.Repeat([]byte("250"), 1<<20))
	case "says nothing":
		for n := 1; n > 0; { // until the front has had enough
			n, _ = unix.Read(fd, make([]byte, 4096))
		}
	case "hangs up":
	case "breaks the contract":
		unix.Write(handoff.FDControl, []byte("not a message"))
		unix.Pause()
	case "steals":
		for _, path := range paths {
			steal(path, filepath.Join(grant["mail_path"], "stolen"))
		}
	default:
		if role == "waits" { // until somebody opens the other end
			gate, _ := unix.Open(paths[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
			unix.Close(gate)
		}
		deliver.Serve(p.Settings, new(maildir.Names), grant, fd)
		return
	}
	unix.Close(fd)
}

// steal tries to read, to spoil and to take a file.
func steal(path, to string) {
	try("read", path, func() error {
		f, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		unix.Close(f)
		return err
	})
	try("change the mode of", path, func() error { return unix.Chmod(path, 0o666) })
	try("take away", path, func() error { return unix.Rename(path, to) })
}

func try(what, path string, f func() error) {
	outcome := "DONE"
	if err := f(); err != nil {
		outcome = "refused: " + err.Error()
	}
	logline.Print(logline.Info, "", "", "probe: tried to %s %s: %s (pid %d, uid %d)", what, path, outcome, os.Getpid(), os.Getuid())
}
