// Package server is the front of the doveadm service: it speaks with
// administrators' clients, of ours and of Dovecot's, has the master start a
// worker for each command, and relays between the two.
//
// Runs as:   the doveadm service user, which can read nobody's mail; one process
// for the sockets of this host, and one for each connection of the network.
// Trusts:    the master for its workers' identity; auth for who a client is; a
// client that is root or a private socket's owner, which may run any allowed
// command for any user. One that logged in has auth's ticket for each command.
// Distrusts: all other clients; and workers, each of which may be its user's own:
// what one answers is bounded, and its rows are that user's only.
// Speaks:    spec/doveadm.md 1; packages doveadmproto and handoff.
//
// One session is one goroutine that carries out one command after the other
// (session.go); a second one reads ahead while a command runs, for a CANCEL and
// for the client's end (watch.go).
package server

import (
	"cmp"
	"context"
	"time"

	"culver/internal/maillog/logline"
)

// Workers gives one end of a stream socketpair whose other end a worker of that
// user has; the caller closes it. Its error may be a *favour.Refusal. Abandon
// has that worker killed.
type Workers interface {
	Numbered(ctx context.Context, user, ticket string) (fd int, id uint64, err error)
	Abandon(id uint64)
}

// Log writes one line; logline.Print with its text ready.
type Log func(l logline.Level, session, user, text string)

// Front is the service. All its fields are set before Serve.
type Front struct {
	Options
	Workers Workers
	Log     Log

	asking  chan struct{} // requests to the master under way
	pairing chan struct{} // held while a pair of workers is asked for
	house   house

	turns    turns
	refusals refusals
}

// New makes a front that has no sessions yet.
func New(o Options, w Workers, log Log) *Front {
	o.strangerRest = cmp.Or(o.strangerRest, time.Second)
	o.clientStall = cmp.Or(o.clientStall, clientStall)
	o.inputSilence = cmp.Or(o.inputSilence, inputSilence)
	f := &Front{Options: o, Workers: w, Log: log, pairing: make(chan struct{}, 1)}
	// Below worker_queue_limit, so that many clients wait here, in the order in
	// which they came, rather than be refused by a master whose queue is full.
	f.asking = make(chan struct{}, max(1, o.QueueLimit-o.QueueLimit/10))
	if o.Single {
		o.ClientLimit = 1
	}
	f.house.init(o.ClientLimit, cmp.Or(o.drainRest, drainRest))
	return f
}
