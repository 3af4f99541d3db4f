// Package command is what all sides of doveadm know of each command: its name,
// options, arguments and columns, and whether it serves one user, reads input
// or changes mail. The client parses its command line by it, the server and
// the worker the arguments that came over the wire.
//
// Runs as:   whoever imports it; pure. The worker links it: the standard library alone, and little of that.
// Trusts:    its own table.
// Distrusts: every word given to it.
// Speaks:    the command lines of doveadm, as getopt_long reads them.
package command

import "strings"

// Spec is one command.
type Spec struct {
	Name    string   // words joined by one space: "mailbox status"
	Options []Option // its own, in wire order; what PerUser adds comes before
	Args    []Arg
	Cols    []Column // what a row holds, where that does not depend on the arguments

	// Formatter is how its rows are printed unless -f says otherwise. Empty:
	// it prints no rows, or writes its own lines.
	Formatter string

	PerUser bool // runs once for each user, in a worker that is that user
	Servers bool // connects to servers as those do
	Writes  bool // changes mail or mailboxes; has --dry-run
	Guarded bool // takes messages away; has --if-uidvalidity, and a query must name its mailboxes
	Input   bool // reads a message from its input
	Ordered bool // options end at the first argument, which is another command's
	Bare    bool // arguments are passed on as they are
	Offline bool // needs no running server

	Help string // one line, for the overview
	Long string // further paragraphs, for its own page
}

// Option is one option of a command.
type Option struct {
	Letter byte   // 0 where it has none
	Long   string // without the dashes
	Value  string // what its value is, for the usage line; empty: it has none
	Help   string

	Local bool // for the client; never sent
	Minor int  // the least protocol minor of a server that knows it; 0: all do
}

// Arg is one positional argument.
type Arg struct {
	Name     string
	Keyword  string // this word must come before it, else it is absent: copy's "user alice"
	Optional bool
	Many     bool // all that follow
	Local    bool // for the client; never sent
	Help     string
}

// Column is one cell of each row.
type Column struct {
	Key, Title string

	Hide   bool // flow and pager print the value alone
	Right  bool // table aligns it right
	Expand bool // table gives it the room that is left
	Number bool // a decimal number: ndjson prints it bare
	Stream bool // may be long and have several lines
}

// Username is the column that comes first when several users are asked.
var Username = Column{Key: "username", Title: "Username", Hide: true}

// Table gives all commands, by subject and then by name. It is shared: change nothing in it.
func Table() []Spec { return table }

// AllOptions gives the options of a command in the order in which they are
// sent: those of every per-user command, then its own.
func (s *Spec) AllOptions() []Option {
	var all []Option
	if s.PerUser {
		all = append(all, userOptions...)
	}
	all = append(all, s.Options...)
	if s.Writes {
		all = append(all, dryRun)
	}
	if s.Guarded {
		all = append(all, ifUIDValidity, plan)
	}
	if s.PerUser {
		all = append(all, runOptions...)
	}
	if s.PerUser || s.Servers {
		all = append(all, loginOptions...)
	}
	return all
}

// CommonOptions are those of AllOptions that are no command's own.
func CommonOptions() []Option {
	return (&Spec{PerUser: true, Writes: true, Guarded: true}).AllOptions()
}

// Find gives the command that the words begin with, and the words after it.
// The words of a command may come one by one or joined by single spaces. What
// is wrong is a *UsageError.
func Find(words []string) (*Spec, []string, error) {
	if len(words) == 0 {
		return nil, nil, &UsageError{What: "no command", Hint: Program + " help lists the commands", Unknown: true}
	}
	var best *Spec
	var rest []string
	said := ""
	for i, w := range words[:min(len(words), 3)] {
		if i > 0 {
			said += " "
		}
		said += w
		if s := byName(said); s != nil {
			best, rest = s, words[i+1:]
		}
	}
	if best != nil {
		return best, rest, nil
	}
	return nil, nil, unknown(words)
}

func byName(name string) *Spec {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

// Group gives the commands whose name begins with this word and another one.
func Group(word string) []*Spec {
	var all []*Spec
	for i := range table {
		if strings.HasPrefix(table[i].Name, word+" ") {
			all = append(all, &table[i])
		}
	}
	return all
}
