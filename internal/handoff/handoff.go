// Package handoff is the contract between the master and its children: which
// descriptor is what, and the messages on the control socket.
//
// Runs as:   the master and its children; pure.
// Trusts:    nobody: every message is one fixed form with named limits.
// Distrusts: what a child says: the master checks each field at its source.
// Speaks:    design 2, 3, 7; one message a SOCK_SEQPACKET packet.
//
// A message is one byte of Kind and that kind's fields, in the form of package
// packet. Root reads nothing else from a child.
package handoff

import (
	"errors"

	"culver/internal/packet"
)

// The descriptors of every child. 0 and 1 are the null device, 2 is the write
// end of the child's own log pipe (package maillog).
const (
	FDControl  = 3 // SOCK_SEQPACKET to the master; end of file means the master is gone
	FDSettings = 4 // package finished, sealed: read with pread, it is shared
	FDListen   = 5 // first listener; the rest follow in the order of "listener/N/..." in the settings
)

// EnvIdentity is the environment variable in which a child finds the identity
// it must have been born with: "uid:gid:group,group". The only other variables
// are EnvService, GOMAXPROCS and GOMEMLIMIT (and TZ, where the master has it).
const (
	EnvIdentity = "CULVER_IDENTITY"
	EnvService  = "CULVER_SERVICE"
)

// Limits of the messages. A message that breaks one is refused by both ends.
const (
	MaxMessage = 32 << 10 // bytes of one packet
	StatusSize = 17       // bytes of a Status, all that a worker ever sends
	MaxUser    = 255      // bytes of a user name (design 5)
	MaxService = 64       // bytes of a service's name
	MaxText    = 512      // bytes of a reason
	MaxTicket  = 64       // bytes of a ticket
	MaxGrant   = 16 << 10 // bytes of a finished.Bag
)

// Kind tells what a message is.
type Kind byte

// From a child to the master.
const (
	// Status says how many more clients or accesses the child takes now, and
	// how many it has finished in its life. The first one is the readiness. A
	// front of the network takes one client and ends; what it has served is 1 from
	// when that client has logged in.
	KindStatus Kind = iota + 1
	// Request asks for a worker of a service for one user; fronts only. It is
	// answered by one Answer of the same ID. One that serves the network needs a
	// ticket of auth's for it; any other must have none.
	KindRequest
	// Cancel takes a Request back whose Answer has not come: the client is gone.
	KindCancel
	// Abandon kills the worker that serves a Request: it is silent, or over its
	// time. It is nothing when the access has ended, and a Cancel before the Answer.
	KindAbandon
)

// From the master to a child.
const (
	// Access hands a worker its next user: the grant, and one end of a stream
	// socketpair. For auth: a connection of the master protocol, no grant.
	KindAccess Kind = iota + 16
	// Answer ends a Request; with CodeOK one end of a stream socketpair comes along.
	KindAnswer
	// Drain: take nothing new, finish what runs, exit 0.
	KindDrain
	// Reopen: the log service opens its files again.
	KindReopen
	// LogSource hands the log service the read end of one child's log pipe.
	KindLogSource
)

// Code is the outcome of a Request.
type Code byte

const (
	CodeOK        Code = iota
	CodeNoUser         // no entry names the user
	CodeTempfail       // auth or the user's data failed for a while; Text has what the client may know
	CodeLimit          // a limit stood in the way for worker_queue_timeout; Setting names it
	CodeForbidden      // the request is not one this child may make, or its ticket is no good
)

// Message is any of them; which fields matter follows from Kind.
type Message struct {
	Kind      Kind
	ID        uint64 // Request, Cancel, Abandon, Answer; LogSource: the pid
	Available uint64 // Status
	Served    uint64 // Status
	Code      Code   // Answer
	Service   string // Request, LogSource
	User      string // Request; LogSource: "" when the child serves more than one
	Ticket    string // Request: auth's leave for this one access; "" where none is due
	Setting   string // Answer: the setting whose limit was reached
	Text      string // Answer: reason for people; Access: the encoded finished.Bag
}

// ErrMessage says that a packet is not a message of ours.
var ErrMessage = errors.New("malformed control message")

// Append adds the message's packet to out.
func (m *Message) Append(out []byte) []byte {
	w := packet.Writer{Out: append(out, byte(m.Kind))}
	switch m.Kind {
	case KindStatus:
		w.Num(m.Available)
		w.Num(m.Served)
	case KindRequest:
		w.Num(m.ID)
		w.Text(m.Service)
		w.Text(m.User)
		w.Text(m.Ticket)
	case KindLogSource:
		w.Num(m.ID)
		w.Text(m.Service)
		w.Text(m.User)
	case KindCancel, KindAbandon:
		w.Num(m.ID)
	case KindAccess:
		w.Text(m.Text)
	case KindAnswer:
		w.Num(m.ID)
		w.Byte(byte(m.Code))
		w.Text(m.Setting)
		w.Text(m.Text)
	}
	return w.Out
}

// Parse reads one packet.
func Parse(from []byte) (Message, error) {
	if len(from) == 0 || len(from) > MaxMessage {
		return Message{}, ErrMessage
	}
	r := packet.Reader{Rest: from[1:]}
	m := Message{Kind: Kind(from[0])}
	switch m.Kind {
	case KindStatus:
		m.Available, m.Served = r.Num(), r.Num()
	case KindRequest:
		m.ID, m.Service, m.User, m.Ticket = r.Num(), r.Text(MaxService), r.Text(MaxUser), r.Text(MaxTicket)
	case KindLogSource:
		m.ID, m.Service, m.User = r.Num(), r.Text(MaxService), r.Text(MaxUser)
	case KindCancel, KindAbandon:
		m.ID = r.Num()
	case KindAccess:
		m.Text = r.Text(MaxGrant)
	case KindAnswer:
		m.ID = r.Num()
		m.Code = Code(r.Byte())
		m.Setting, m.Text = r.Text(MaxService), r.Text(MaxText)
	case KindDrain, KindReopen:
	default:
		return Message{}, ErrMessage
	}
	if !r.Whole() {
		return Message{}, ErrMessage
	}
	return m, nil
}
