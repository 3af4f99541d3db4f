package main

import (
	_ "embed"
	"fmt"
	"strings"

	"culver/services/doveadm/command"
)

// before and after are what no table says: how users are chosen, the language
// of queries, the formatters.
var (
	//go:embed before.md
	before string
	//go:embed after.md
	after string
)

// groups are the commands of the table under one heading each, by the first
// that belongs to it.
var groups = map[string]string{
	"apply":            "MESSAGE COMMANDS",
	"mailbox create":   "MAILBOX COMMANDS",
	"quota get":        "QUOTA COMMANDS",
	"auth cache flush": "USERS AND PASSWORDS",
	"completion":       "THE SYSTEM",
}

// page is culver-doveadm(1).
func page() string {
	m := &manual{}
	m.WriteString(before)
	m.WriteString("\n## OPTIONS OF COMMANDS FOR USERS\n\nEvery command whose usage line has -u takes the options for users and runs, each that changes mail takes\n" +
		"--dry-run, and expunge and move take --if-uidvalidity and --plan.\n\n")
	for _, o := range command.CommonOptions() {
		m.option(o)
	}
	for _, s := range command.Table() {
		if title := groups[s.Name]; title != "" {
			fmt.Fprintf(m, "\n## %s\n", title)
		}
		m.command(&s)
	}
	m.WriteString(after)
	return m.String()
}

type manual struct{ strings.Builder }

func (m *manual) command(s *command.Spec) {
	fmt.Fprintf(m, "\n### %s\n\n`%s`\n\n%s.\n", s.Name, s.Usage(), sentence(s.Help))
	if s.Long != "" {
		fmt.Fprintf(m, "\n%s\n", s.Long)
	}
	if len(s.Args)+len(s.Options) > 0 {
		m.WriteByte('\n')
	}
	for _, a := range s.Args {
		name := a.Name
		if a.Keyword != "" {
			name = a.Keyword + " " + name
		}
		fmt.Fprintf(m, "**%s**\n: %s.\n\n", name, sentence(a.Help))
	}
	for _, o := range s.Options {
		m.option(o)
	}
	if len(s.Cols) > 0 {
		var keys []string
		for _, c := range s.Cols {
			keys = append(keys, c.Key)
		}
		fmt.Fprintf(m, "Prints the columns %s; `-f %s` unless another is given.\n", strings.Join(keys, ", "), s.Formatter)
	}
}

func (m *manual) option(o command.Option) {
	name := "--" + o.Long
	if o.Letter != 0 {
		name = "-" + string(o.Letter) + ", " + name
	}
	if o.Value != "" {
		name += " " + strings.ToUpper(o.Value)
	}
	fmt.Fprintf(m, "**%s**\n: %s.", name, sentence(o.Help))
	if o.Minor > 0 {
		fmt.Fprintf(m, " Not for servers of Dovecot 2.3.")
	}
	m.WriteString("\n\n")
}

// sentence begins with a capital, unless its first word is a name.
func sentence(s string) string {
	if strings.HasPrefix(s, "maildir:") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
