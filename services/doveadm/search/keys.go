package search

import (
	"slices"
	"strings"
)

// operand is what stands after a key.
type operand uint8

const (
	nothing operand = iota
	text
	headerText // a name and a text
	mailbox
	mutf7Glob
	keyword
	set
	date
	age
	size
	modSeq
	term
	partTerm
	threadTerm // an algorithm and a term
)

// keySpec is one key of the language.
type keySpec struct {
	key     Key
	operand operand
	name    string // Node.Name
	text    string // Node.Text
	which   Which
	part    bool // may stand in MIMEPART
}

// keys is the language (spec/doveadm.md 5.2). The keys that say no are made of
// the keys that say yes.
var keys = map[string]keySpec{
	"ALL": {key: All, part: true},
	"$":   {key: None},
	"NOT": {key: Not, operand: term, part: true},
	"UID": {key: UID, operand: set}, "X-REAL-UID": {key: UID, operand: set},

	"ANSWERED": {key: Flag, text: "answered"}, "DELETED": {key: Flag, text: "deleted"}, "DRAFT": {key: Flag, text: "draft"},
	"FLAGGED": {key: Flag, text: "flagged"}, "SEEN": {key: Flag, text: "seen"}, "KEYWORD": {key: Keyword, operand: keyword},
	"RECENT": {key: Recent},

	"BEFORE": {key: Before, operand: date}, "ON": {key: On, operand: date}, "SINCE": {key: Since, operand: date},
	"SENTBEFORE": {key: Before, operand: date, which: Sent}, "SENTON": {key: On, operand: date, which: Sent},
	"SENTSINCE":   {key: Since, operand: date, which: Sent},
	"SAVEDBEFORE": {key: Before, operand: date, which: Saved}, "SAVEDON": {key: On, operand: date, which: Saved},
	"SAVEDSINCE":    {key: Since, operand: date, which: Saved},
	"X-SAVEDBEFORE": {key: Before, operand: date, which: Saved}, "X-SAVEDON": {key: On, operand: date, which: Saved},
	"X-SAVEDSINCE":      {key: Since, operand: date, which: Saved},
	"SAVEDATESUPPORTED": {key: All},
	"OLDER":             {key: Before, operand: age}, "YOUNGER": {key: Since, operand: age},

	"LARGER": {key: Larger, operand: size}, "SMALLER": {key: Smaller, operand: size},

	"FROM": {key: Address, operand: text, name: "From", part: true}, "TO": {key: Address, operand: text, name: "To", part: true},
	"CC": {key: Address, operand: text, name: "Cc", part: true}, "BCC": {key: Address, operand: text, name: "Bcc", part: true},
	"SUBJECT": {key: Header, operand: text, name: "Subject", part: true},
	"HEADER":  {key: Header, operand: headerText, part: true},
	"BODY":    {key: Body, operand: text, part: true}, "TEXT": {key: Text, operand: text, part: true},

	"MAILBOX": {key: Mailbox, operand: mailbox}, "X-MAILBOX": {key: MailboxGlob, operand: mutf7Glob},
	"MAILBOX-GUID": {key: MailboxGUID, operand: text},
	"GUID":         {key: GUID, operand: text}, "X-GUID": {key: GUID, operand: text},
	"MODSEQ": {key: ModSeq, operand: modSeq},

	"INTHREAD": {key: InThread, operand: threadTerm}, "FUZZY": {key: Fuzzy, operand: term, part: true},
	"MIMEPART":   {key: MimePart, operand: partTerm},
	"OLDESTONLY": {key: OldestOnly},

	// Made of others by resolve.
	"UNANSWERED": {}, "UNDELETED": {}, "UNDRAFT": {}, "UNFLAGGED": {}, "UNSEEN": {}, "UNKEYWORD": {}, "OLD": {}, "NEW": {},
}

// nearest gives a hint for a word that is no key.
func nearest(word string) string {
	if word == "AND" {
		return "conditions side by side are joined by AND already"
	}
	best, bestAt := "", 3
	for name := range keys {
		if d := distance(word, name); d < bestAt || d == bestAt && name < best {
			best, bestAt = name, d
		}
	}
	if best == "" || bestAt >= len(word) {
		return ""
	}
	return "did you mean " + strings.ToLower(best) + "?"
}

// distance counts the letters to change, insert, remove or swap; words that are
// much too long are not looked at.
func distance(a, b string) int {
	if len(a) > 32 {
		return len(a)
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// Keys gives the names of all keys, for completion.
func Keys() []string {
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	return names
}
