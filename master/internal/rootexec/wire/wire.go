// Package wire is what the master and its spawners say to each other.
//
// Runs as:   the master and its spawners, both root; pure.
// Trusts:    the other end, which is our own code under root.
// Distrusts: nobody, yet every message has one fixed form and named limits, so
// that a fault of ours ends in an error and not in a strange child.
// Speaks:    design 2; one message a SOCK_SEQPACKET packet: one byte of Kind,
// numbers as 64 bits little-endian, texts and lists with a length of 16 bits.
package wire

import (
	"errors"

	"culver/internal/packet"
)

// The descriptors a spawner is started with; 4 and up are those of its children.
const (
	FDControl  = 3
	FDSettings = 4
	FDListen   = 5
)

// Limits of the messages. A message that breaks one is refused by both ends.
const (
	MaxMessage = 64 << 10 // bytes of one packet
	MaxPath    = 4095     // bytes of a path, as PATH_MAX has it
	MaxPaths   = 64       // paths of one message
	MaxStrings = 64       // arguments, and variables of the environment
	MaxString  = 4095     // bytes of one of them
	MaxGroups  = 256      // supplementary groups of a child
	MaxText    = 512      // bytes of an error's text
)

// Kind tells what a message is.
type Kind byte

const (
	KindSetup Kind = iota + 1 // master: the first message, once
	KindBirth                 // master: make a child; its control and log descriptors come along
	KindGo                    // master: a birth that said Slow and Opened may fork now
	KindDrop                  // master: such a birth is to end without a word; another spawner makes it
)

const (
	KindHello   Kind = iota + 16 // spawner: set up, or why not
	KindSlow                     // spawner: this birth's paths take long; take me as free
	KindOpened                   // spawner: that birth's paths are open now; waits for Go
	KindForking                  // spawner: the fork comes now
	KindStarted                  // spawner: the child's pid
	KindFailed                   // spawner: no child
	KindBack                     // spawner: an opening that had failed by its deadline has come back
)

// Filter names a list of allowed system calls.
type Filter byte

const (
	FilterWorker Filter = iota // one user's mail, no socket
	FilterDaemon               // sockets and watches as well
)

// Sandbox is the setting of that name.
type Sandbox byte

const (
	SandboxRequired Sandbox = iota
	SandboxBestEffort
	SandboxOff
)

// Class says what a failure means to the one who asked.
type Class byte

const (
	ClassNone    Class = iota
	ClassTemp          // the system failed: try again later
	ClassPath          // the user's paths are missing, forbidden or not what they should be
	ClassMount         // the mount marker is missing
	ClassTimeout       // the user's paths did not open in time
	ClassConfig        // what no retry mends: the program is missing, the box cannot be had
	ClassStopped       // the user stopped the child before it was born
	ClassHeld          // the user did so a short while ago
)

// Setup is all that a spawner's children have in common.
type Setup struct {
	Path      string   // the program
	Args      []string // all arguments, the program's name first
	Env       []string
	ReadOnly  []string // fixed paths of the box, opened as root; a missing one is left out
	ReadWrite []string
	Libraries []string // may be executed too: what a program that is not static needs
	Data      uint64   // RLIMIT_DATA, 0: none
	Files     uint64   // RLIMIT_NOFILE, 0: as the master has it
	Listeners int      // descriptors from FDListen on
	Filter    Filter
	Sandbox   Sandbox
	Keep      bool // the identity stays: the master is not root
}

// Path is a directory that a box opens for its user.
type Path struct {
	Above string // absolute; symlinks only where root alone could have put them
	Below string // relative to Above, no symlinks; may be ""
	Make  bool   // make the last directory when it is missing
	Spare bool   // the box can do without, when it is missing
}

// Birth asks for one child.
type Birth struct {
	Serial   uint64
	UID, GID int
	Groups   []int
	Identity string // the variable of the environment that names the identity
	Marker   string // absolute path that must exist, or ""
	Paths    []Path
	Deadline int64 // nanoseconds for the opening
}

// Report is any message of a spawner.
type Report struct {
	Kind   Kind
	Serial uint64
	PID    int    // Started
	ABI    int    // Hello: the kernel's Landlock, 0 without
	Class  Class  // Failed; Hello that could not set up
	Text   string // why, in words; Hello: what a best-effort sandbox lacks
}

// ErrMessage says that a packet is not a message of ours.
var ErrMessage = errors.New("malformed spawner message")

// Append adds the packet to out.
func (s *Setup) Append(out []byte) []byte {
	w := begin(out, KindSetup)
	w.Text(s.Path)
	for _, l := range [][]string{s.Args, s.Env, s.ReadOnly, s.ReadWrite, s.Libraries} {
		w.Num(uint64(len(l)))
		for _, t := range l {
			w.Text(t)
		}
	}
	w.Num(s.Data)
	w.Num(s.Files)
	w.Num(uint64(s.Listeners))
	w.Out = append(w.Out, byte(s.Filter), byte(s.Sandbox), flag(s.Keep))
	return w.Out
}

// ParseSetup reads what Append wrote.
func ParseSetup(from []byte) (s Setup, err error) {
	r := reader{packet.Reader{Rest: from}}
	r.want(KindSetup)
	s.Path = r.Text(MaxPath)
	for _, l := range []*[]string{&s.Args, &s.Env, &s.ReadOnly, &s.ReadWrite, &s.Libraries} {
		for n := r.count(MaxStrings); n > 0; n-- {
			*l = append(*l, r.Text(MaxString))
		}
	}
	s.Data, s.Files, s.Listeners = r.Num(), r.Num(), r.count(MaxPaths)
	s.Filter, s.Sandbox = Filter(r.Byte()), Sandbox(r.Byte())
	s.Keep = r.Byte() != 0
	return s, r.end()
}

// Append adds the packet to out.
func (b *Birth) Append(out []byte) []byte {
	w := begin(out, KindBirth)
	w.Num(b.Serial)
	w.Num(uint64(b.UID))
	w.Num(uint64(b.GID))
	w.Num(uint64(b.Deadline))
	w.Num(uint64(len(b.Groups)))
	for _, g := range b.Groups {
		w.Num(uint64(g))
	}
	w.Text(b.Identity)
	w.Text(b.Marker)
	w.Num(uint64(len(b.Paths)))
	for _, p := range b.Paths {
		w.Text(p.Above)
		w.Text(p.Below)
		w.Out = append(w.Out, flag(p.Make), flag(p.Spare))
	}
	return w.Out
}

// ParseBirth reads what Append wrote.
func ParseBirth(from []byte) (b Birth, err error) {
	r := reader{packet.Reader{Rest: from}}
	r.want(KindBirth)
	b.Serial, b.UID, b.GID, b.Deadline = r.Num(), r.id(), r.id(), int64(r.Num())
	for n := r.count(MaxGroups); n > 0; n-- {
		b.Groups = append(b.Groups, r.id())
	}
	b.Identity, b.Marker = r.Text(MaxString), r.Text(MaxPath)
	for n := r.count(MaxPaths); n > 0; n-- {
		b.Paths = append(b.Paths, Path{r.Text(MaxPath), r.Text(MaxPath), r.Byte() != 0, r.Byte() != 0})
	}
	return b, r.end()
}

// Go is the packet that lets a birth that was slow fork.
func Go(serial uint64) []byte {
	return number(KindGo, serial)
}

// Drop is the packet that ends it instead.
func Drop(serial uint64) []byte {
	return number(KindDrop, serial)
}

// ParseGo reads what Go or Drop wrote.
func ParseGo(from []byte) (serial uint64, drop bool, err error) {
	r := reader{packet.Reader{Rest: from}}
	k := Kind(r.Byte())
	serial = r.Num()
	if k != KindGo && k != KindDrop {
		return 0, false, ErrMessage
	}
	return serial, k == KindDrop, r.end()
}

// Append adds the packet to out.
func (p *Report) Append(out []byte) []byte {
	w := begin(out, p.Kind)
	w.Num(p.Serial)
	w.Num(uint64(p.PID))
	w.Num(uint64(p.ABI))
	w.Out = append(w.Out, byte(p.Class))
	w.Text(p.Text[:min(len(p.Text), MaxText)])
	return w.Out
}

// ParseReport reads what Append wrote.
func ParseReport(from []byte) (p Report, err error) {
	r := reader{packet.Reader{Rest: from}}
	p.Kind = Kind(r.Byte())
	if p.Kind < KindHello || p.Kind > KindBack {
		return p, ErrMessage
	}
	p.Serial, p.PID, p.ABI, p.Class = r.Num(), int(r.Num()), int(r.Num()), Class(r.Byte())
	p.Text = r.Text(MaxText)
	return p, r.end()
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

type writer struct{ packet.Writer }

func begin(out []byte, k Kind) writer { return writer{packet.Writer{Out: append(out, byte(k))}} }

// number is a message of one number.
func number(k Kind, n uint64) []byte {
	w := begin(nil, k)
	w.Num(n)
	return w.Out
}

type reader struct{ packet.Reader }

func (r *reader) want(k Kind) {
	if Kind(r.Byte()) != k {
		r.Bad = true
	}
}

// id reads a uid or gid. The largest 32-bit number means "no change" to the
// kernel, which would leave a child root.
func (r *reader) id() int {
	n := r.Num()
	if n >= 1<<32-1 {
		r.Bad = true
		return 0
	}
	return int(n)
}

func (r *reader) count(limit int) int {
	n := r.Num()
	if n > uint64(limit) {
		r.Bad = true
	}
	if r.Bad {
		return 0
	}
	return int(n)
}

func (r *reader) end() error {
	if !r.Whole() {
		return ErrMessage
	}
	return nil
}
