// Package masterproto is what an administrator's program and the master say to
// each other over the socket "master" in base_dir: how the services are, who is
// being served, and the orders to end, reload and stop.
//
// Runs as:   the master; the doveadm command, as root or as whoever started the master.
// Trusts:    nobody: every message is one fixed form with named limits.
// Distrusts: the caller of the socket, though only root and the master's own uid get that far.
// Speaks:    one message a SOCK_SEQPACKET packet, in the form of package packet;
// the facts of Dovecot's `service status`, `process status` and `who`.
//
// A connection carries one order after another. Each is answered by any number
// of Service, Process, Access or Problem messages and one Done. Masks are the
// caller's business: root compares no patterns.
package masterproto

import (
	"errors"
	"time"

	"culver/internal/packet"
)

// SocketName is the socket's name in base_dir.
const SocketName = "master"

// Limits of the messages. A message that breaks one is refused by both ends.
const (
	MaxMessage = 4 << 10 // bytes of one packet
	MaxOrder   = 512     // bytes of an order's packet
	MaxUser    = 255     // bytes of a user name (package handoff)
	MaxService = 64      // bytes of a service's name
	MaxText    = 2 << 10 // bytes of a line for people
	// maxAnswers bounds what a client takes for one order: more processes than
	// that no master of ours has.
	maxAnswers = 1 << 20
)

// Kind tells what a message is.
type Kind byte

// Orders.
const (
	KindServices    Kind = iota + 1 // answered by a Service for each, in the order of their start
	KindProcesses                   // answered by a Process for each
	KindAccesses                    // answered by an Access for each that is under way
	KindKick                        // ends the access that PID has under way for User
	KindReload                      // reads the configuration again; Problems say what is wrong with it
	KindStop                        // ends everything: Done tells that it began, end of file that it is over
	KindReopen                      // opens the log files again
	KindStopService                 // lets the processes that face the clients of Name go, until the next reload
)

// Answers.
const (
	KindService Kind = iota + 32
	KindProcess
	KindAccess
	KindProblem // one line about what is wrong
	KindDone    // the last one
)

// Code is how an order ended.
type Code byte

// The codes of Done.
const (
	CodeOK       Code = iota
	CodeNotFound      // no such service, or no such access any more
	CodeRefused       // not now, or not this one; Problems say why
)

// Order is what a client wants.
type Order struct {
	Kind Kind
	PID  int    // Kick
	User string // Kick
	Name string // StopService
}

// Service is one service, in the words of `service status` (spec/doveadm.md 4.4).
// Where a service has workers the processes and their limits are the workers'.
type Service struct {
	Name              string
	Processes         int           // process_count
	Available         int           // process_avail: how many could take a client now
	ProcessLimit      int           // process_limit
	ClientLimit       int           // client_limit
	Throttle          time.Duration // throttle_secs: nothing is started for so long
	FailureLast       time.Time     // exit_failure_last; zero is never, here and below
	FailuresInSecond  int           // exit_failures_in_sec: in the second of FailureLast
	FailureText       string        // what failed then, for people
	DropLast          time.Time     // last_drop_warning: somebody was turned away at a limit
	ListenPending     bool          // listen_pending: somebody waits for a process
	Listening         bool          // listening
	Stopped           bool          // doveadm_stop: by StopService
	ProcessesAllTimes uint64        // process_total: started since the master was, fronts included
}

// Process is one process, in the words of `process status`.
type Process struct {
	Service    string
	PID        int
	User       string    // whom it was born for; "" where it serves more than one
	Available  uint64    // available_count
	Total      uint64    // total_count: clients or accesses served in its life
	IdleSince  time.Time // idle_start; zero while it has something to do
	LastStatus time.Time // last_status_update
	LastKill   time.Time // last_kill_sent
}

// Access is one user who is being served.
type Access struct {
	User    string
	Service string
	PID     int
	Since   time.Time
}

// ErrMessage says that a packet is not a message of ours.
var ErrMessage = errors.New("malformed message of the master's socket")

// Append adds the order's packet to out.
func (o *Order) Append(out []byte) []byte {
	w := packet.Writer{Out: append(out, byte(o.Kind))}
	switch o.Kind {
	case KindKick:
		w.Num(uint64(o.PID))
		w.Text(o.User)
	case KindStopService:
		w.Text(o.Name)
	}
	return w.Out
}

// ParseOrder reads one packet from a client.
func ParseOrder(from []byte) (Order, error) {
	if len(from) == 0 || len(from) > MaxOrder {
		return Order{}, ErrMessage
	}
	r := packet.Reader{Rest: from[1:]}
	o := Order{Kind: Kind(from[0])}
	switch o.Kind {
	case KindServices, KindProcesses, KindAccesses, KindReload, KindStop, KindReopen:
	case KindKick:
		o.PID, o.User = pid(&r), r.Text(MaxUser)
	case KindStopService:
		o.Name = r.Text(MaxService)
	default:
		return Order{}, ErrMessage
	}
	if !r.Whole() {
		return Order{}, ErrMessage
	}
	return o, nil
}

// Answer is any message of the master's; Kind tells which field has it.
type Answer struct {
	Kind    Kind
	Service Service
	Process Process
	Access  Access
	Problem string
	Code    Code
}

// Append adds the answer's packet to out.
func (a *Answer) Append(out []byte) []byte {
	w := packet.Writer{Out: append(out, byte(a.Kind))}
	switch a.Kind {
	case KindService:
		s := &a.Service
		w.Text(s.Name)
		for _, n := range []int{s.Processes, s.Available, s.ProcessLimit, s.ClientLimit, int(s.Throttle), s.FailuresInSecond} {
			w.Num(uint64(n))
		}
		putTime(&w, s.FailureLast)
		w.Text(cut(s.FailureText))
		putTime(&w, s.DropLast)
		for _, b := range []bool{s.ListenPending, s.Listening, s.Stopped} {
			putBool(&w, b)
		}
		w.Num(s.ProcessesAllTimes)
	case KindProcess:
		p := &a.Process
		w.Text(p.Service)
		w.Num(uint64(p.PID))
		w.Text(p.User)
		w.Num(p.Available)
		w.Num(p.Total)
		putTime(&w, p.IdleSince)
		putTime(&w, p.LastStatus)
		putTime(&w, p.LastKill)
	case KindAccess:
		w.Text(a.Access.User)
		w.Text(a.Access.Service)
		w.Num(uint64(a.Access.PID))
		putTime(&w, a.Access.Since)
	case KindProblem:
		w.Text(cut(a.Problem))
	case KindDone:
		w.Byte(byte(a.Code))
	}
	return w.Out
}

// ParseAnswer reads one packet from the master.
func ParseAnswer(from []byte) (Answer, error) {
	if len(from) == 0 || len(from) > MaxMessage {
		return Answer{}, ErrMessage
	}
	r := packet.Reader{Rest: from[1:]}
	a := Answer{Kind: Kind(from[0])}
	switch a.Kind {
	case KindService:
		s := &a.Service
		s.Name = r.Text(MaxService)
		s.Processes, s.Available, s.ProcessLimit, s.ClientLimit = num(&r), num(&r), num(&r), num(&r)
		s.Throttle, s.FailuresInSecond = time.Duration(num(&r)), num(&r)
		s.FailureLast, s.FailureText, s.DropLast = getTime(&r), r.Text(MaxText), getTime(&r)
		s.ListenPending, s.Listening, s.Stopped = getBool(&r), getBool(&r), getBool(&r)
		s.ProcessesAllTimes = r.Num()
	case KindProcess:
		p := &a.Process
		p.Service, p.PID, p.User = r.Text(MaxService), pid(&r), r.Text(MaxUser)
		p.Available, p.Total = r.Num(), r.Num()
		p.IdleSince, p.LastStatus, p.LastKill = getTime(&r), getTime(&r), getTime(&r)
	case KindAccess:
		a.Access.User, a.Access.Service = r.Text(MaxUser), r.Text(MaxService)
		a.Access.PID, a.Access.Since = pid(&r), getTime(&r)
	case KindProblem:
		a.Problem = r.Text(MaxText)
	case KindDone:
		a.Code = Code(r.Byte())
	default:
		return Answer{}, ErrMessage
	}
	if !r.Whole() {
		return Answer{}, ErrMessage
	}
	return a, nil
}
