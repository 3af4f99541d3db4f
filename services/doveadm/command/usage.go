package command

import "strings"

// Program is what the command is called where people type it: doveadm is
// Dovecot's where both are installed.
const Program = "culver-doveadm"

// Usage is the command's line, without "usage:".
func (s *Spec) Usage() string {
	line := Program + " " + s.Name
	if s.PerUser {
		line += " [-u user|mask | -A | -F file] [-S socket]"
	}
	flags, others := "", ""
	for _, o := range s.Options {
		switch {
		case o.Value == "" && o.Letter != 0:
			flags += string(o.Letter)
		case o.Letter != 0:
			others += " [-" + string(o.Letter) + " " + o.Value + "]"
		case o.Value == "":
			others += " [--" + o.Long + "]"
		default:
			others += " [--" + o.Long + " " + o.Value + "]"
		}
	}
	if flags != "" {
		line += " [-" + flags + "]"
	}
	line += others
	if s.Writes {
		line += " [--dry-run]"
	}
	for _, a := range s.Args {
		line += " " + a.usage()
	}
	return line
}

func (a *Arg) usage() string {
	word := a.Name
	if a.Keyword != "" {
		word = a.Keyword + " " + word
	}
	if a.Many {
		word += "..."
	}
	if a.Optional || a.Keyword != "" {
		word = "[" + word + "]"
	}
	return word
}

// overview is a line for each of these commands.
func overview(all []*Spec) string {
	var b strings.Builder
	for _, s := range all {
		b.WriteString("  " + s.Usage() + "\n")
	}
	return b.String()
}
