// Package system runs whole mail systems in a scratch folder: Culver, Dovecot
// beside it or in its place, and the users whose mail they keep. The peer tests
// and the benchmark share it.
//
// Runs as:   root, or the caller (then all users share the caller's uid).
// Trusts:    the programs it starts.
// Distrusts: nothing: it is only for tests.
// Speaks:    nothing itself.
package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// NewDir makes a scratch folder that every uid may pass through, which a folder
// of testing.T is not: deliveries run as their recipient. Its path is short, for
// the 107 bytes of a socket's name. parent may be "".
func NewDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, "culver-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// Repository is the root of the source tree.
func Repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Build compiles the named programs of cmd/, and those named by a path such as
// "test/floor", into dir.
func Build(ctx context.Context, dir string, programs ...string) error {
	for _, p := range programs {
		from := "./cmd/" + p
		if filepath.Base(p) != p {
			from = "./" + p
		}
		c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w",
			"-o", filepath.Join(dir, filepath.Base(p)), from)
		c.Dir = Repository()
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return nil
}

// Process is a server that was started.
type Process struct {
	Pid  int
	name string
	out  string // file with its stdout and stderr
	done chan struct{}
	err  error
}

// start runs a program in the foreground, its output going to the file out.
func start(out, name string, args ...string) (*Process, error) {
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = f, f
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC"}
	// A session of its own: a Ctrl-C at the terminal reaches only us, who stop it.
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &Process{Pid: c.Process.Pid, name: name, out: out, done: make(chan struct{})}
	go func() {
		p.err = c.Wait()
		close(p.done)
	}()
	return p, nil
}

// Signal sends the server a signal.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(p.Pid, s) }

// Stop ends the server as an administrator would, and waits for it.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(30 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s: still there 30 s after SIGTERM", p.name)
	}
}

// until asks ok again and again: foreign programs do not say when they are
// ready, so this is the one place that has to look. It fails when the
// server ends or the time is over.
func (p *Process) until(what string, limit time.Duration, ok func() bool) error {
	end := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-p.done:
			text, _ := os.ReadFile(p.out)
			return fmt.Errorf("%s ended before it was ready (%v):\n%s", p.name, p.err, text)
		case <-end:
			text, _ := os.ReadFile(p.out)
			return fmt.Errorf("%s: no %s after %v:\n%s", p.name, what, limit, text)
		}
	}
	return nil
}
