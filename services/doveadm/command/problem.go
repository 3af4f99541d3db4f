package command

import (
	"strings"

	"culver/internal/spelling"
)

// The exit status, and the wire's, of a UsageError: scripts know Dovecot's, which
// has the second one for a word inside an argument, such as a field of fetch
// (spec/doveadm.md 2.6).
const (
	ExitUsage = 64
	ExitWord  = 75
)

// UsageError is a command line that means nothing.
type UsageError struct {
	Spec    *Spec  // whose usage was hurt, nil where no command was found
	What    string // one line
	Hint    string // one line, or ""
	Usage   string // the lines that show how it is written, or ""
	Unknown bool   // no such command
	Word    bool   // the shape is right: a word of an argument is not
}

// Exit is the status that it ends with.
func (e *UsageError) Exit() int {
	if e.Word {
		return ExitWord
	}
	return ExitUsage
}

// Error gives what is wrong in one line.
func (e *UsageError) Error() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + " (" + e.Hint + ")"
}

// Text is the error with the usage lines, for a terminal.
func (e *UsageError) Text() string {
	switch {
	case e.Usage != "":
		return "doveadm: " + e.Error() + "\n" + e.Usage
	case e.Spec != nil:
		return "doveadm " + e.Spec.Name + ": " + e.Error() + "\nusage: " + e.Spec.Usage() + "\n"
	}
	return "doveadm: " + e.Error() + "\n"
}

func (s *Spec) wrong(what, hint string) *UsageError {
	return &UsageError{Spec: s, What: what, Hint: hint}
}

// unknown says why no command begins with these words.
func unknown(words []string) *UsageError {
	first, _, _ := strings.Cut(words[0], " ")
	group := Group(first)
	said := words[0]
	if len(group) > 0 && said == first {
		if len(words) == 1 {
			return &UsageError{What: first + " is several commands", Usage: overview(group)}
		}
		said += " " + words[1]
	}
	if len(group) > 0 {
		var names []string
		for _, s := range group {
			names = append(names, s.Name)
		}
		e := &UsageError{What: "unknown command " + Quote(said), Hint: didYouMean(said, names), Unknown: true}
		if e.Hint == "" {
			e.Usage = overview(group)
		}
		return e
	}
	var names []string
	for i := range table {
		name, _, _ := strings.Cut(table[i].Name, " ")
		names = append(names, name, table[i].Name)
	}
	hint := ""
	if len(words) > 1 {
		hint = didYouMean(said+" "+words[1], names)
	}
	if hint == "" {
		hint = didYouMean(said, names)
	}
	if hint == "" {
		hint = Program + " help lists the commands"
	}
	return &UsageError{What: "unknown command " + Quote(said), Hint: hint, Unknown: true}
}

func didYouMean(word string, candidates []string) string {
	if near := spelling.Nearest(word, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// maxQuoted bounds how much of a word an error repeats.
const maxQuoted = 80

// Quote gives a word as a message may show it: short, without control bytes.
func Quote(word string) string {
	const hex = "0123456789abcdef"
	out := []byte{'"'}
	for i, r := range word {
		switch {
		case i >= maxQuoted:
			return string(append(out, `..."`...))
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd:
			out = append(out, '\\', 'x', hex[word[i]>>4], hex[word[i]&15])
		default:
			out = append(out, string(r)...)
		}
	}
	return string(append(out, '"'))
}
