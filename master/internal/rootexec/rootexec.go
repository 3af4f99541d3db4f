// Package rootexec is the only place that forks and executes: it starts the
// spawners of a service and asks them for children, each under an identity and
// in a box of its own.
//
// Runs as:   ROOT, in the master; or whoever runs the master.
// Trusts:    the master's settings, and the spawners, which are root's too.
// Distrusts: the users of the children: they own the directories that are
// opened, and may signal a child as soon as it has their uid.
// Speaks:    package wire; design 2.
//
// Use: Open a Pool per service, Start a child, hear of it once by callback. The
// children are the master's own (CLONE_PARENT), so the master reaps them with
// wait4(-1), together with the spawners and with children whose exec failed,
// which are in no Result. A child can be reaped before its Result comes:
// the master keeps such an end until the Result names its pid.
package rootexec

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"culver/internal/handoff"
	"culver/internal/worker"
	"culver/master/internal/rootexec/box"
	"culver/master/internal/rootexec/wire"
)

// The words of the wire that callers need.
type (
	Class   = wire.Class
	Filter  = wire.Filter
	Sandbox = wire.Sandbox
	Path    = wire.Path
)

const (
	ClassNone    = wire.ClassNone
	ClassTemp    = wire.ClassTemp
	ClassPath    = wire.ClassPath
	ClassMount   = wire.ClassMount
	ClassTimeout = wire.ClassTimeout
	ClassConfig  = wire.ClassConfig
	ClassStopped = wire.ClassStopped
	ClassHeld    = wire.ClassHeld

	FilterWorker = wire.FilterWorker
	FilterDaemon = wire.FilterDaemon

	SandboxRequired   = wire.SandboxRequired
	SandboxBestEffort = wire.SandboxBestEffort
	SandboxOff        = wire.SandboxOff
)

// Program is what all children of a Pool have in common.
type Program struct {
	Service   string   // handoff.EnvService
	Path      string   // absolute
	Args      []string // default: Path
	Env       []string // besides EnvService and EnvIdentity; nothing is passed on from the master
	Settings  int      // descriptor 4 of the children; the Pool keeps a duplicate
	Listeners []int    // descriptors 5..; likewise
	VSZ       uint64   // vsz_limit, as RLIMIT_DATA of the spawners and the children; 0: none
	Files     uint64   // RLIMIT_NOFILE; 0: as the master has it
	Filter    Filter
	Sandbox   Sandbox
	ReadOnly  []string // what daemons may reach besides their binary; opened as root, missing ones left out
	ReadWrite []string
	Libraries []string // read and executed besides; empty for our own binaries, which are static

	Spawner     string   // path of culver-spawn
	SpawnerArgs []string // default: Spawner
	SpawnerLog  int      // descriptor 2 of the spawners; the Pool keeps a duplicate
	Spawners    int      // default: cores + 2; 1 is enough for a service of one process
	Keep        bool     // non-root mode: children keep the master's identity

	// Logf hears what a person should know: a spawner that died, a user who
	// stops children. It is called without locks, from any goroutine.
	Logf func(format string, args ...any)
}

// Identity is what a child is born as.
type Identity struct {
	UID, GID int
	Groups   []int
}

// Child asks for one child. Control and Log are the child's ends of its control
// socket and its log pipe, close-on-exec: Start takes them over.
type Child struct {
	Identity
	User     string // whose mail; children without one ("") do not wait for each other
	Control  int
	Log      int
	Paths    []Path        // what the box holds: the home first, then what lies elsewhere
	Marker   string        // mail_mount_marker as an absolute path, or ""
	Deadline time.Duration // mail_open_timeout; 0: openDefault
}

// LeastVSZ is the least vsz_limit with which a Go program starts: one arena of
// its heap is 64 MiB of address space.
const LeastVSZ = 64 << 20

// openDefault bounds an opening where the caller does not.
const openDefault = 10 * time.Second

// Result ends a Start: a pid, or why there is none. ClassStopped may have both:
// such a child has been killed and will be reaped.
type Result struct {
	Serial uint64
	PID    int
	Class  Class
	Err    error
	Held   bool // ClassStopped or ClassHeld: the user's next birth waits
}

// ErrClosed says that the Pool takes no more births.
var ErrClosed = errors.New("the service is closing")

// check names what would not fit a spawner's messages, which a spawner could
// only call malformed.
func (p *Program) check() error {
	setup := p.setup()
	total := 0
	for _, l := range []struct {
		what string
		list []string
	}{{"arguments", setup.Args}, {"variables of the environment", setup.Env}, {"paths to read", setup.ReadOnly},
		{"paths to write", setup.ReadWrite}, {"libraries", setup.Libraries}, {"paths of the program", []string{setup.Path}}} {
		if len(l.list) > wire.MaxStrings {
			return fmt.Errorf("%d %s, want at most %d", len(l.list), l.what, wire.MaxStrings)
		}
		for _, t := range l.list {
			if total += len(t); len(t) > wire.MaxString {
				return fmt.Errorf("%s: one of %d bytes, want at most %d", l.what, len(t), wire.MaxString)
			}
		}
	}
	switch {
	case len(p.Listeners) > wire.MaxPaths:
		return fmt.Errorf("%d listeners, want at most %d", len(p.Listeners), wire.MaxPaths)
	case total > wire.MaxMessage/2:
		return fmt.Errorf("paths, arguments and environment have %d bytes together, want at most %d", total, wire.MaxMessage/2)
	case p.VSZ != 0 && p.VSZ < LeastVSZ:
		return fmt.Errorf("vsz_limit is %d, want 0 or at least %d: less does not start", p.VSZ, LeastVSZ)
	}
	return nil
}

// Probe says whether the kernel has what sandbox = required needs; it changes
// nothing. The spawners try the box itself as they start.
func Probe() error {
	if abi := box.ABI(); abi < box.LeastABI {
		return fmt.Errorf("sandbox = required: the kernel has Landlock ABI %d, want %d or more", abi, box.LeastABI)
	}
	return nil
}

func (p *Program) setup() wire.Setup {
	return wire.Setup{
		Path: p.Path, Args: orDefault(p.Args, p.Path), ReadOnly: p.ReadOnly, ReadWrite: p.ReadWrite, Libraries: p.Libraries,
		Env:  append(slices.Clone(p.Env), handoff.EnvService+"="+p.Service),
		Data: p.VSZ, Files: p.Files, Listeners: len(p.Listeners), Filter: p.Filter, Sandbox: p.Sandbox, Keep: p.Keep,
	}
}

func orDefault(args []string, path string) []string {
	if len(args) > 0 {
		return args
	}
	return []string{path}
}

func (p *Program) spawners() int {
	if p.Spawners > 0 {
		return p.Spawners
	}
	return runtime.NumCPU() + 2
}

func (c *Child) packet(serial uint64) []byte {
	groups := slices.Clone(c.Groups)
	slices.Sort(groups)
	b := wire.Birth{
		Serial: serial, UID: c.UID, GID: c.GID, Groups: groups, Marker: c.Marker, Paths: c.Paths, Deadline: int64(c.deadline()),
		Identity: handoff.EnvIdentity + "=" + worker.Identity(c.UID, c.GID, groups),
	}
	return b.Append(nil)
}

func (c *Child) deadline() time.Duration {
	if c.Deadline <= 0 {
		return openDefault
	}
	return c.Deadline
}

// check refuses what would not fit a message, or would leave a child root by
// mistake; the caller bounds the ids by the settings before.
func (c *Child) check() error {
	switch {
	case c.UID < 0 || c.GID < 0 || c.UID >= 1<<32-1 || c.GID >= 1<<32-1:
		return fmt.Errorf("identity %d:%d is none", c.UID, c.GID)
	case len(c.Groups) > wire.MaxGroups:
		return fmt.Errorf("%d groups, want at most %d", len(c.Groups), wire.MaxGroups)
	case len(c.Paths) > wire.MaxPaths:
		return fmt.Errorf("%d paths, want at most %d", len(c.Paths), wire.MaxPaths)
	case len(c.Marker) > wire.MaxPath:
		return errors.New("mail_mount_marker is too long")
	}
	total := 0
	for _, p := range c.Paths {
		if len(p.Above) > wire.MaxPath || len(p.Below) > wire.MaxPath {
			return errors.New("a path is too long")
		}
		total += len(p.Above) + len(p.Below)
	}
	if total > wire.MaxMessage/2 {
		return errors.New("the paths are too long together")
	}
	return nil
}
