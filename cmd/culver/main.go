// Command culver is the master: it starts the system, or says what its
// configuration is and what is wrong with it.
//
// Runs as: ROOT as the master, or whoever starts it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"culver/internal/config"
	"culver/internal/settings"
	"culver/master"
)

// version is set by the build.
var version = "unknown"

const usage = `usage: culver -F [-c FILE]              run in the foreground
       culver check [-c FILE]           say what is wrong with the configuration
       culver config [-a] [-c FILE]     print the settings that differ from the defaults, or all
       culver --version

  -c FILE   the configuration (default /etc/culver/culver.conf)

Signals: HUP reloads, TERM stops, USR1 opens the log files again.
Exit status: 0 ended cleanly, 1 failed, 64 wrong usage, 78 the configuration is bad.
See culver(8) and culver.conf(5).
`

const (
	exitUsage  = 64
	exitConfig = 78
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	command := ""
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		command, args = args[0], args[1:]
	}
	f := flag.NewFlagSet("culver", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = func() { fmt.Fprint(errs, usage) }
	file := f.String("c", "/etc/culver/culver.conf", "")
	foreground := f.Bool("F", false, "")
	all := f.Bool("a", false, "")
	showVersion := f.Bool("version", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return exitUsage
	}
	load := func() (*settings.Config, error) { return load(*file) }
	switch {
	case *showVersion:
		fmt.Fprintln(out, "culver", version)
		return 0
	case f.NArg() > 0:
		fmt.Fprint(errs, usage)
		return exitUsage
	case command == "check":
		return check(load, out, errs)
	case command == "config":
		return show(load, *all, out, errs)
	case command == "" && *foreground:
		return serve(load, errs)
	}
	fmt.Fprint(errs, usage)
	return exitUsage
}

// accounts resolves names, or makes everybody the caller where nobody else can
// be had.
func accounts() config.Accounts {
	if os.Geteuid() != 0 {
		return config.Self{UID: os.Getuid(), GID: os.Getgid()}
	}
	return config.System{}
}

func load(file string) (*settings.Config, error) {
	cfg, problems := config.Load(file, accounts())
	var all []error
	for _, p := range problems {
		all = append(all, p)
	}
	return cfg, errors.Join(all...)
}

func check(load func() (*settings.Config, error), out, errs io.Writer) int {
	cfg, err := load()
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitConfig
	}
	password, err := config.Password(cfg)
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitConfig
	}
	notes := config.Notes(cfg)
	if password != "" {
		notes = append(notes, password)
	}
	for _, note := range notes {
		fmt.Fprintln(out, "note:", note)
	}
	fmt.Fprintln(out, "configuration ok")
	return 0
}

func show(load func() (*settings.Config, error), all bool, out, errs io.Writer) int {
	cfg, err := load()
	if err != nil {
		fmt.Fprintln(errs, err)
		return exitConfig
	}
	if err := config.Print(out, cfg, all); err != nil {
		fmt.Fprintln(errs, "culver:", err)
		return 1
	}
	return 0
}

func serve(load func() (*settings.Config, error), errs io.Writer) int {
	bad := false
	err := master.Run(master.Options{
		Load: func() (*settings.Config, error) {
			cfg, err := load()
			bad = err != nil
			return cfg, err
		},
		Notes:  config.Notes,
		Stderr: os.Stderr,
	})
	switch {
	case err == nil:
		return 0
	case bad:
		fmt.Fprintln(errs, err)
		return exitConfig
	case errors.Is(err, master.ErrConfig):
		fmt.Fprintln(errs, "culver:", err)
		return exitConfig
	}
	fmt.Fprintln(errs, "culver:", err)
	return 1
}
