package search

import (
	"errors"
	"strings"
)

// Mailboxes says which mailboxes a query can match in.
type Mailboxes struct {
	All   bool     // the query does not restrict them
	Names []string // these, each of which must exist
	Globs []string // those that match one of these; where there are any, Names match like them
}

// Mailboxes finds the mailboxes that the query is about. OR restricts too,
// where each of its branches does; a name in it need not exist.
func (q *Query) Mailboxes() Mailboxes { return q.Root.mailboxes() }

func (n *Node) mailboxes() Mailboxes {
	switch n.Key {
	case Mailbox:
		return Mailboxes{Names: []string{n.Text}}
	case MailboxGlob:
		return Mailboxes{Globs: []string{n.Text}}
	case None:
		return Mailboxes{}
	case Fuzzy:
		return n.Kids[0].mailboxes()
	case And:
		best := Mailboxes{All: true}
		for _, k := range n.Kids {
			// Any one is right, as each message is tested against all. The first
			// of literal names is the cheapest to open.
			if m := k.mailboxes(); !m.All && (best.All || len(best.Globs) > 0 && len(m.Globs) == 0) {
				best = m
			}
		}
		return best
	case Or:
		var sum Mailboxes
		for _, k := range n.Kids {
			m := k.mailboxes()
			if m.All {
				return m
			}
			sum.Globs = append(append(sum.Globs, m.Names...), m.Globs...)
		}
		return sum
	}
	return Mailboxes{All: true}
}

// The accidents that SafeToExpunge prevents.
var (
	//lint:ignore ST1005 Dovecot's wording
	errAnyMailbox = errors.New("To avoid accidents, search query must contain MAILBOX in all search branches")
	//lint:ignore ST1005 Dovecot's wording
	errAnyMessage = errors.New("To avoid accidents, each branch in search query must contain something else besides MAILBOX (e.g. just add \"all\" if you want everything)")
)

// SafeToExpunge refuses a query that may reach further than its writer meant:
// every branch must name a mailbox, and something besides.
func (q *Query) SafeToExpunge() error {
	switch {
	case !q.Root.everyBranch(isMailbox):
		return errAnyMailbox
	case !q.Root.everyBranch(isMore):
		return errAnyMessage
	}
	return nil
}

// everyBranch tells whether no branch lacks a condition that is wanted.
func (n *Node) everyBranch(wanted func(*Node) bool) bool {
	switch n.Key {
	case And:
		for _, k := range n.Kids {
			if k.everyBranch(wanted) {
				return true
			}
		}
		return false
	case Or:
		for _, k := range n.Kids {
			if !k.everyBranch(wanted) {
				return false
			}
		}
		return true
	case Fuzzy:
		return n.Kids[0].everyBranch(wanted)
	}
	return wanted(n)
}

// isMailbox: NOT MAILBOX is none, it names all the others.
func isMailbox(n *Node) bool {
	return n.Key == Mailbox || n.Key == MailboxGlob || n.Key == MailboxGUID
}

func isMore(n *Node) bool {
	if len(n.Kids) > 0 {
		return n.Kids[0].everyBranch(isMore)
	}
	return !isMailbox(n)
}

// SameMailbox compares names as MAILBOX does.
func SameMailbox(a, b string) bool {
	return a == b || len(a) == 5 && strings.EqualFold(a, "INBOX") && strings.EqualFold(b, "INBOX")
}
