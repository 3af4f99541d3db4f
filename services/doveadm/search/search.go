// Package search is doveadm's query language: which mailboxes, which messages.
// The brain checks a query with it before it touches anybody's mail, and the
// worker evaluates what it parsed.
//
// Runs as:   whoever imports it; pure.
// Trusts:    nobody.
// Distrusts: the words of a query: each is bounded, and an error says which one
// is wrong.
// Speaks:    the language of Dovecot's doveadm-search-query(7)
// (spec/doveadm.md 5), but that mixing AND and OR without parentheses is an
// error, "uid *" is the last mail, and YYYY-MM-DD is the same day as D-Mon-YYYY.
package search

import (
	"time"
)

// Env is what the meaning of a query depends on: the moment that "30d" counts
// from.
type Env struct {
	Now time.Time
}

// Query is a parsed query.
type Query struct {
	Root *Node
}

// Key says what a Node tests.
type Key uint8

const (
	// And and Or have two kids or more, the wrapping keys one.
	And Key = iota
	Or
	Not
	Fuzzy
	InThread // Text is the threading algorithm
	MimePart

	All
	None // "$", a saved result that is always empty
	Seq
	UID
	Flag    // Text is the flag without its backslash, in lower case
	Keyword // Text
	Recent
	Before // Date of Which
	On
	Since
	Larger // Size
	Smaller
	Address // Name is the header field, Text what its addresses contain
	Header  // Name and Text
	Body
	Text
	Mailbox     // Text, exactly
	MailboxGlob // Text
	MailboxGUID
	GUID
	ModSeq // Number
	OldestOnly

	// What only a part of a message can be asked.
	PartType
	PartSubtype
	PartParam // Name
	PartEncoding
	PartDisposition
	PartFilename // How
	PartID
	PartDescription
	PartDepth // Range
	PartIndex // Range
	PartChild
	PartParent
	PartExists
)

// Which says which date of a message is meant.
type Which uint8

const (
	Received Which = iota
	Sent
	Saved
)

// Node is one condition.
type Node struct {
	Key    Key
	Kids   []*Node
	Name   string // of a header field or parameter
	Text   string // what is looked for
	Which  Which
	Date   Date
	Set    Set
	Number uint64 // a size, a modseq
	Token  int    // where it begins in the query
}

// Walk calls visit for the node and all below it, until one returns false.
func (n *Node) Walk(visit func(*Node) bool) bool {
	if !visit(n) {
		return false
	}
	for _, k := range n.Kids {
		if !k.Walk(visit) {
			return false
		}
	}
	return true
}
