// Package roster decides how many workers there are, who gets the next one, and
// when to hold back: values in, values out.
//
// Runs as:   the master; pure: no system calls, no clock of its own.
// Trusts:    the counts it is given.
// Distrusts: nobody; it reads no text.
// Speaks:    Dovecot's process_limit, process_min_avail, service_count, idle_kill
// (spec/master.md 4, 10-14), with a queue where Dovecot drops.
package roster

import "time"

// Limits bound one pool of workers. Zero is no limit but for Processes.
type Limits struct {
	Processes int // process_limit
	MinAvail  int // process_min_avail
	PerUser   int // lmtp_user_concurrency_limit
}

// Counts is a pool as one waiting request sees it.
type Counts struct {
	Total     int       // processes alive or being born
	IdleSame  int       // idle processes of the very identity that the request needs
	IdleOther int       // idle processes of another identity
	OfUser    int       // accesses of the request's user under way
	HoldUntil time.Time // the user's last worker died before it served, or would not be born
}

// Action is what the master does for one request.
type Action int

const (
	Wait   Action = iota // leave it in the queue
	Reuse                // hand it to an idle process of its identity
	Spawn                // start a process
	Evict                // ask an idle process of another identity to leave, then wait for its place
	Refuse               // answer that it must be tried later
)

// Decision is an Action and the setting that stood in the way, for the reply
// and the log.
type Decision struct {
	Action  Action
	Setting string
}

// Next decides for one waiting request. It calls nothing and changes nothing,
// so each case below is one row of TestNext.
func Next(l Limits, c Counts, now time.Time) Decision {
	switch {
	case now.Before(c.HoldUntil):
		return Decision{Action: Refuse}
	case l.PerUser > 0 && c.OfUser >= l.PerUser:
		return Decision{Wait, "lmtp_user_concurrency_limit"}
	case c.IdleSame > 0:
		return Decision{Action: Reuse}
	case c.Total < l.Processes:
		return Decision{Action: Spawn}
	case c.IdleOther > 0:
		return Decision{Evict, "process_limit"}
	}
	return Decision{Wait, "process_limit"}
}

// Spare tells how many idle processes to add so that process_min_avail holds.
func Spare(l Limits, total, idle int) int {
	return max(0, min(l.MinAvail-idle, l.Processes-total))
}

// Surplus tells whether an idle process whose idle_kill time is over may go.
func Surplus(l Limits, idle int) bool { return idle > l.MinAvail }
