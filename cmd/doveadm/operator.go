package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"culver/internal/config"
	"culver/internal/settings"
	"culver/services/doveadm/command"
	"culver/services/doveadm/operate"
)

// operatorsCommand runs a command that is for no user's mail.
func operatorsCommand(ctx context.Context, g globals, p command.Parsed, w world) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		for again := false; ; again = true {
			select {
			case <-w.interrupt:
				if again {
					os.Exit(exitTemp)
				}
				cancel()
			case <-over:
				return
			}
		}
	}()
	return operate.Run(ctx, p, operate.Env{
		In: w.in, Out: w.out, Err: w.errs,
		Formatter: g.formatter, NoHeader: g.noHeader, Terminal: terminal(w.out), Width: width(w.out),
		Load:     func() (*settings.Config, error) { return load(g.config) },
		Print:    config.Print,
		Password: operate.Asker(ctx, w.in, w.errs),
	})
}

func load(file string) (*settings.Config, error) {
	var accounts config.Accounts = config.System{}
	if os.Geteuid() != 0 {
		accounts = config.Self{UID: os.Getuid(), GID: os.Getgid()}
	}
	cfg, problems := config.Load(file, accounts)
	var all []error
	for _, p := range problems {
		all = append(all, p)
	}
	return cfg, errors.Join(all...)
}

// width is how many columns a terminal has; 0 is not known.
func width(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
