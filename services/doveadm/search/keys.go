package search

import (
	"slices"
	"strings"

	"culver/internal/spelling"
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
// the keys that say yes, and have no keySpec. A list and no map: that would have
// to be made at each start of a worker.
var keys = [...]struct {
	name string
	keySpec
}{
	{"ALL", keySpec{key: All, part: true}},
	{"$", keySpec{key: None}},
	{"NOT", keySpec{key: Not, operand: term, part: true}},
	{"UID", keySpec{key: UID, operand: set}},
	{"X-REAL-UID", keySpec{key: UID, operand: set}},
	{"ANSWERED", keySpec{key: Flag, text: "answered"}},
	{"DELETED", keySpec{key: Flag, text: "deleted"}},
	{"DRAFT", keySpec{key: Flag, text: "draft"}},
	{"FLAGGED", keySpec{key: Flag, text: "flagged"}},
	{"SEEN", keySpec{key: Flag, text: "seen"}},
	{"KEYWORD", keySpec{key: Keyword, operand: keyword}},
	{"RECENT", keySpec{key: Recent}},
	{"BEFORE", keySpec{key: Before, operand: date}},
	{"ON", keySpec{key: On, operand: date}},
	{"SINCE", keySpec{key: Since, operand: date}},
	{"SENTBEFORE", keySpec{key: Before, operand: date, which: Sent}},
	{"SENTON", keySpec{key: On, operand: date, which: Sent}},
	{"SENTSINCE", keySpec{key: Since, operand: date, which: Sent}},
	{"SAVEDBEFORE", keySpec{key: Before, operand: date, which: Saved}},
	{"SAVEDON", keySpec{key: On, operand: date, which: Saved}},
	{"SAVEDSINCE", keySpec{key: Since, operand: date, which: Saved}},
	{"X-SAVEDBEFORE", keySpec{key: Before, operand: date, which: Saved}},
	{"X-SAVEDON", keySpec{key: On, operand: date, which: Saved}},
	{"X-SAVEDSINCE", keySpec{key: Since, operand: date, which: Saved}},
	{"SAVEDATESUPPORTED", keySpec{key: All}},
	{"OLDER", keySpec{key: Before, operand: age}},
	{"YOUNGER", keySpec{key: Since, operand: age}},
	{"LARGER", keySpec{key: Larger, operand: size}},
	{"SMALLER", keySpec{key: Smaller, operand: size}},
	{"FROM", keySpec{key: Address, operand: text, name: "From", part: true}},
	{"TO", keySpec{key: Address, operand: text, name: "To", part: true}},
	{"CC", keySpec{key: Address, operand: text, name: "Cc", part: true}},
	{"BCC", keySpec{key: Address, operand: text, name: "Bcc", part: true}},
	{"SUBJECT", keySpec{key: Header, operand: text, name: "Subject", part: true}},
	{"HEADER", keySpec{key: Header, operand: headerText, part: true}},
	{"BODY", keySpec{key: Body, operand: text, part: true}},
	{"TEXT", keySpec{key: Text, operand: text, part: true}},
	{"MAILBOX", keySpec{key: Mailbox, operand: mailbox}},
	{"X-MAILBOX", keySpec{key: MailboxGlob, operand: mutf7Glob}},
	{"MAILBOX-GUID", keySpec{key: MailboxGUID, operand: text}},
	{"GUID", keySpec{key: GUID, operand: text}},
	{"X-GUID", keySpec{key: GUID, operand: text}},
	{"MODSEQ", keySpec{key: ModSeq, operand: modSeq}},
	{"INTHREAD", keySpec{key: InThread, operand: threadTerm}},
	{"FUZZY", keySpec{key: Fuzzy, operand: term, part: true}},
	{"MIMEPART", keySpec{key: MimePart, operand: partTerm}},
	{"OLDESTONLY", keySpec{key: OldestOnly}},
	{"UNANSWERED", keySpec{}},
	{"UNDELETED", keySpec{}},
	{"UNDRAFT", keySpec{}},
	{"UNFLAGGED", keySpec{}},
	{"UNSEEN", keySpec{}},
	{"UNKEYWORD", keySpec{}},
	{"OLD", keySpec{}},
	{"NEW", keySpec{}},
}

func keyNamed(name string) (keySpec, bool) {
	for i := range keys {
		if keys[i].name == name {
			return keys[i].keySpec, true
		}
	}
	return keySpec{}, false
}

// nearest gives a hint for a word that is no key.
func nearest(word string) string {
	if word == "AND" {
		return "conditions side by side are joined by AND already"
	}
	near := spelling.Nearest(strings.ToLower(word), Keys())
	if near == "" {
		return ""
	}
	return "did you mean " + near + "?"
}

// Keys gives the names of all keys, for completion.
func Keys() []string {
	names := make([]string, 0, len(keys))
	for i := range keys {
		names = append(names, strings.ToLower(keys[i].name))
	}
	slices.Sort(names)
	return names
}
