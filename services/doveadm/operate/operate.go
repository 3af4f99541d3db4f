// Package operate has doveadm's commands that are not for one user's mail: what
// the master and auth know, and what needs no server at all.
//
// Runs as:   whoever calls doveadm; the master listens to root and its own uid.
// Trusts:    the configuration, the master.
// Distrusts: names and fields that auth gives: they go to a terminal.
// Speaks:    package masterproto to the master, authproto to auth, anvilproto to anvil.
package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"culver/internal/authproto"
	"culver/internal/masterproto"
	"culver/internal/settings"
	"culver/services/doveadm/command"
	"culver/services/doveadm/format"
)

// Exit codes (spec/doveadm.md 2.6).
const (
	exitUsage       = command.ExitUsage
	exitDataErr     = 65
	exitNoUser      = 67
	exitNotFound    = 68
	exitUnavailable = 69
	exitTemp        = 75
	exitNoPerm      = 77
	exitConfig      = 78
)

// Env is the world that a command meets.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Formatter and NoHeader are -f and -h; "" is the command's own.
	Formatter string
	NoHeader  bool
	Terminal  bool // Out is one
	Width     int  // of it; 0 is not known
	// Load reads the configuration. It is called by commands that need it only.
	Load func() (*settings.Config, error)
	// Print writes the configuration, all of it or what is not default.
	Print func(w io.Writer, cfg *settings.Config, all bool) error
	// Password asks for one without showing it. Nil where nobody can be asked.
	Password func(prompt string) (string, error)
}

// Runs says whether Run has the command; the others are per user.
func Runs(s *command.Spec) bool { return commands[s.Name] != nil }

// Run runs one command and gives the exit status.
func Run(ctx context.Context, p command.Parsed, env Env) int {
	run := commands[p.Spec.Name]
	if run == nil {
		fmt.Fprintf(env.Err, "doveadm: %s is no command for the operator\n", p.Spec.Name)
		return exitUsage
	}
	o := &operation{Env: env, ctx: ctx, p: p}
	err := run(o)
	if o.rows != nil {
		err = errors.Join(err, o.rows.Close())
	}
	if err == nil {
		return 0
	}
	code, text := exitTemp, err.Error()
	var f *failure
	switch {
	case errors.As(err, &f):
		code = f.code
	case errors.Is(err, masterproto.ErrNotFound):
		code = exitNotFound
	case errors.Is(err, authproto.ErrNotFound):
		code = exitNoUser
	}
	if text != "" {
		fmt.Fprintf(env.Err, "doveadm: %s\n", text)
	}
	return code
}

// failure is an error with an exit status of its own. An empty text has been
// said already.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func failed(code int, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

type operation struct {
	Env
	ctx  context.Context
	p    command.Parsed
	rows *format.Printer
}

var commands = map[string]func(*operation) error{
	"auth cache flush":  (*operation).authCacheFlush,
	"auth cache status": (*operation).authCacheStatus,
	"auth login":        (*operation).authLogin,
	"auth lookup":       (*operation).authLookup,
	"auth test":         (*operation).authTest,
	"completion":        (*operation).completion,
	"config":            (*operation).config,
	"help":              (*operation).help,
	"kick":              (*operation).kick,
	"log find":          (*operation).logFind,
	"log reopen":        (*operation).logReopen,
	"log test":          (*operation).logTest,
	"mailbox mutf7":     (*operation).mutf7,
	"penalty":           (*operation).penalty,
	"penalty clear":     (*operation).penaltyClear,
	"process status":    (*operation).processStatus,
	"pw":                (*operation).pw,
	"reload":            (*operation).reload,
	"service status":    (*operation).serviceStatus,
	"service stop":      (*operation).serviceStop,
	"stop":              (*operation).stop,
	"user":              (*operation).user,
	"who":               (*operation).who,
}

// row prints a row of cells in the command's formatter.
func (o *operation) row(cells ...string) error {
	if err := o.header(); err != nil {
		return err
	}
	for _, c := range cells {
		o.rows.Value(c)
	}
	return nil
}

// header begins the output, so that a table without rows has its titles.
func (o *operation) header() error {
	if o.rows != nil {
		return nil
	}
	name := o.Formatter
	if name == "" {
		name = o.p.Spec.Formatter
	}
	rows, err := format.New(name, o.Out, o.p.Columns(), format.Options{NoHeader: o.NoHeader, Terminal: o.Terminal, Width: o.Width})
	if err != nil {
		return err
	}
	o.rows = rows
	return nil
}

// line prints a line of text that is not a row.
func (o *operation) line(text string) {
	if o.Terminal {
		text = format.Safe(text)
	}
	fmt.Fprintln(o.Out, text)
}

func (o *operation) load() (*settings.Config, error) {
	cfg, err := o.Load()
	if err != nil {
		return nil, failed(exitConfig, "%v", err)
	}
	return cfg, nil
}

// stamp is a time as numbers of rows have it; never is 0.
func stamp(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Unix())
}
