// Package brain is the doveadm command's side of a run: who the users are,
// which of them a connection takes next, whose result is printed when, and what
// is known of each afterwards.
//
// Runs as:   the caller, in most cases root at a terminal or in a cron job.
// Trusts:    the command line, the configuration, the caller's own files.
// Distrusts: auth for the form of names, servers for all they send: a user's
// mail is not to drive a terminal, and a user's failure is that user's alone.
// Speaks:    the doveadm protocol as a client (spec/doveadm.md 1 and 2), auth's
// LIST; NDJSON for programs, plans and journals.
package brain

import (
	"context"
	"fmt"
	"io"
	"time"

	"culver/services/doveadm/command"
)

// Limits of a run.
const (
	maxHeld      = 8 << 20  // bytes of results that wait for their turn in memory, all users together
	maxPiece     = 64 << 10 // of one user, before they go to a file
	maxFiled     = 1 << 30  // bytes of that file; users wait then
	maxAhead     = 16 << 10 // --ordered: users begun beyond the one that is printed, at least
	maxTries     = 2        // times one user's command is sent
	maxReason    = 512      // bytes of a reason in the failed file
	maxPlanned   = 4 << 20  // bytes of one user's part of a plan
	maxPlanLine  = 1 << 20  // bytes of a line of a plan
	maxSet       = 64 << 10 // bytes of a set of UIDs in one command
	maxJournal   = 2 << 20  // bytes of a line of a journal: its header has the command
	maxUserLine  = 64 << 10 // bytes of a line of a users file
	maxPlanCell  = 64 << 10 // bytes of one cell of a dry run
	maxPassword  = 4 << 10  // bytes of a password file
	connectWait  = 30 * time.Second
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
	patience     = 30 * time.Second // how long a server may be away before a run goes on without it
)

// Global is what stands before the command's name, and the world it runs in.
type Global struct {
	Verbose   bool
	Debug     bool
	Formatter string // "" is the command's own
	NoHeader  bool
	Settings  Settings
	Login     Login
	Now       time.Time
	In        io.Reader
	Out       io.Writer
	Err       io.Writer
	// Whether Out and Err are terminals: the bar and the escaping depend on it.
	OutTerminal, ErrTerminal bool
	Width                    int // of the terminal; 0 is not known
	// Interrupt has a value for each Ctrl-C; the second ends the program.
	Interrupt <-chan struct{}

	// dial stands between the run and its server, in tests.
	dial func(next func(context.Context) (link, error)) func(context.Context) (link, error)
}

// Execute runs a per-user command, apply or resume, and gives the exit status.
func Execute(ctx context.Context, g Global, p command.Parsed) int {
	r, err := prepare(ctx, g, p)
	if err != nil {
		fmt.Fprintln(g.Err, "doveadm:", err)
		return Code(err)
	}
	defer r.close()
	return r.run(ctx)
}
