package brain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/authproto"
	"culver/services/doveadm/command"
)

// PasswordVariable is the environment's place for the password that belongs to --as.
const PasswordVariable = "CULVER_DOVEADM_PASSWORD"

// Login is who the command is to servers instead of who the configuration says,
// and where the password is. It is never a word of the command line, which
// everybody on the host can read.
type Login struct {
	As      string // a master user's name; "" is nobody in particular
	File    string // --password-file
	Command string // --password-command

	Variable string // what PasswordVariable has
	// Ask asks on the terminal; nil: there is none.
	Ask func(prompt string) (string, error)
}

// over takes what stands after the command's name, which counts for more than
// what stands before it.
func (l Login) over(p command.Parsed) (Login, error) {
	for option, to := range map[string]*string{"as": &l.As, "password-file": &l.File, "password-command": &l.Command} {
		if p.Has(option) {
			if *to = p.Value(option); *to == "" {
				return l, usage("--" + option + " wants a value")
			}
		}
	}
	switch {
	case l.As == "" && (l.File != "" || l.Command != ""):
		return l, usage("a password's file or command goes with --as NAME")
	case l.File != "" && l.Command != "":
		return l, usage("--password-file or --password-command, not both")
	case l.As != "" && !authproto.ValidUser(l.As):
		return l, usage(fmt.Sprintf("--as %.64q can be nobody's name", l.As))
	}
	return l, nil
}

// password finds the password that belongs to As.
func (l Login) password(ctx context.Context, errs io.Writer) (password string, err error) {
	switch {
	case l.File != "":
		password, err = passwordIn(l.File)
	case l.Command != "":
		password, err = passwordBy(ctx, l.Command, errs)
	case l.Variable != "":
		password = l.Variable
	case l.Ask != nil:
		if password, err = l.Ask("Password of " + l.As + ": "); err != nil {
			err = fmt.Errorf("password of %s: %w", l.As, err)
		}
	default:
		return "", usage("--as wants a password: --password-file FILE, --password-command COMMAND, " + PasswordVariable + ", or a terminal")
	}
	switch {
	case err != nil:
		return "", err
	case password == "":
		return "", usage("the password of " + l.As + " is empty")
	case len(password) > maxPassword, strings.ContainsRune(password, 0):
		return "", usage(fmt.Sprintf("the password of %s has a NUL byte, or more than %d bytes", l.As, maxPassword))
	}
	return password, nil
}

// passwordIn reads the first line of a file that nobody else can read.
func passwordIn(name string) (string, error) {
	wrong := func(format string, args ...any) (string, error) {
		return "", &failure{exitConfig, fmt.Sprintf("password file %s: ", name) + fmt.Sprintf(format, args...)}
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // not to wait for a FIFO's writer
	if err != nil {
		return wrong("%v", errors.Unwrap(err))
	}
	defer f.Close()
	var st unix.Stat_t
	switch err := unix.Fstat(int(f.Fd()), &st); {
	case err != nil:
		return wrong("%v", err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return wrong("it is no file")
	case st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return wrong("owner %d, mode %04o: want it yours and nobody else's, 0600", st.Uid, st.Mode&0o7777)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPassword+2))
	if err != nil {
		return wrong("%v", err)
	}
	return firstLine(text), nil
}

// passwordBy has a shell run a command whose first line is the password. It may
// ask on the terminal itself.
func passwordBy(ctx context.Context, line string, errs io.Writer) (string, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	c.Stdin, c.Stderr, c.WaitDelay = os.Stdin, errs, time.Second
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return "", fmt.Errorf("password command: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(pipe, maxPassword+2))
	pipe.Close() // what says more than that ends
	if werr := c.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return "", fmt.Errorf("password command: %w", err)
	}
	return firstLine(text), nil
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return string(bytes.TrimSuffix(line, []byte("\r")))
}
