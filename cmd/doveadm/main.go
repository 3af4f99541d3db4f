// Command doveadm administers mail: for one user, some or all of them.
//
// Runs as: whoever calls it, in most cases root.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"culver/services/doveadm/brain"
	"culver/services/doveadm/command"
	"culver/services/doveadm/operate"
)

// version is set by the build.
var version = "unknown"

const (
	defaultConfig = "/etc/culver/culver.conf"

	exitUsage  = 64
	exitTemp   = 75
	exitOption = 89 // Dovecot's, of an option before the command
)

// onePress is how long after a signal another one is the same. timeout(1) sends
// its signal to the command and to the whole group, which would mean "at once".
const onePress = 100 * time.Millisecond

// world is what a command meets: tests have one of their own.
type world struct {
	in        io.Reader
	out, errs io.Writer
	interrupt <-chan struct{}
}

func main() {
	signal.Ignore(unix.SIGPIPE) // a reader that leaves stops the run in good order
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	interrupt := make(chan struct{}, 2)
	go func() {
		var last time.Time
		for range signals {
			if now := time.Now(); now.Sub(last) >= onePress {
				last = now
				interrupt <- struct{}{}
			}
		}
	}()
	os.Exit(run(os.Args[1:], world{os.Stdin, os.Stdout, os.Stderr, interrupt}))
}

func run(args []string, w world) int {
	g, words, err := parseGlobals(args)
	if err != nil {
		fmt.Fprintln(w.errs, "doveadm:", err)
		return exitOption
	}
	if g.version {
		fmt.Fprintln(w.out, "doveadm", version)
		return 0
	}
	if g.help {
		operate.Overview(w.out)
		return 0
	}
	if len(words) == 0 {
		operate.Overview(w.errs)
		return exitUsage
	}
	spec, rest, err := command.Find(words)
	if err != nil {
		return wrong(w, err)
	}
	p, err := spec.Parse(rest)
	if err != nil {
		return wrong(w, err)
	}
	if p.Has("help") {
		operate.Help(w.out, spec)
		return 0
	}
	if operate.Runs(spec) {
		if l := g.login; l.As != "" || l.File != "" || l.Command != "" {
			fmt.Fprintln(w.errs, "doveadm: --as is for commands on users' mail")
			return exitUsage
		}
		return operatorsCommand(context.Background(), g, p, w)
	}
	if g.now.IsZero() {
		g.now = time.Now()
	}
	settings, err := brain.LoadSettings(g.config, g.set)
	if err != nil {
		fmt.Fprintln(w.errs, "doveadm:", err)
		return brain.Code(err)
	}
	g.login.Variable, g.login.Ask = os.Getenv(brain.PasswordVariable), operate.Asker(context.Background(), w.in, w.errs)
	return brain.Execute(context.Background(), brain.Global{
		Verbose: g.verbose, Debug: g.debug, Formatter: g.formatter, NoHeader: g.noHeader,
		Settings: settings, Login: g.login, Now: g.now,
		In: w.in, Out: w.out, Err: w.errs, Interrupt: w.interrupt,
		OutTerminal: terminal(w.out), ErrTerminal: terminal(w.errs), Width: width(w.out),
	}, p)
}

// wrong says what is wrong with a command line, and how it is written.
func wrong(w world, err error) int {
	var u *command.UsageError
	if errors.As(err, &u) {
		io.WriteString(w.errs, u.Text())
		return u.Exit()
	}
	fmt.Fprintln(w.errs, "doveadm:", err)
	return exitTemp
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
