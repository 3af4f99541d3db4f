package mailtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Process is a server that was started.
type Process struct {
	PID int

	name string
	out  string // file with its stdout and stderr, "" where they went elsewhere
	done chan struct{}
	err  error
}

// Run starts a program in the foreground. Its output goes to the file out, which
// is made, or where that is "" to our own standard error.
func Run(out string, command ...string) (*Process, error) {
	f := os.Stderr
	if out != "" {
		var err error
		if f, err = os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = f, f
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TZ=UTC"}
	// A session of its own: a Ctrl-C at the terminal reaches only us, who stop it.
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &Process{PID: c.Process.Pid, name: command[0], out: out, done: make(chan struct{})}
	go func() {
		p.err = c.Wait()
		close(p.done)
	}()
	return p, nil
}

// Ended is closed when the server has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Running tells whether the server was started and has not ended.
func (p *Process) Running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends the server a signal, unless it has ended.
func (p *Process) Signal(s syscall.Signal) error {
	if !p.Running() {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.PID, s)
}

// Stop ends the server as an administrator would, waits for it, and tells how it
// ended.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(40 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s: still there 40 s after SIGTERM", p.name)
	}
}

// Until asks ok again and again: servers do not tell everybody when they are
// ready, so this is the one place that has to look. It fails when the server
// ends or the time is over.
func (p *Process) Until(what string, limit time.Duration, ok func() bool) error {
	err := Await(what, limit, func() bool { return !p.Running() || ok() })
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w\n%s", p.name, err, p.output())
	case !p.Running() && !ok():
		return fmt.Errorf("%s ended (%v), and %s did not come:\n%s", p.name, p.err, what, p.output())
	}
	return nil
}

// output is what the server said so far.
func (p *Process) output() string {
	text, _ := os.ReadFile(p.out)
	return string(text)
}

// Await asks ok again and again until it is true or the time is over.
func Await(what string, limit time.Duration, ok func() bool) error {
	end := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("%s did not come in %v", what, limit)
		}
	}
	return nil
}
