package operate

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"culver/services/doveadm/command"
)

// Overview writes a line for each command.
func Overview(w io.Writer) {
	fmt.Fprint(w, "usage: "+command.Program+" [-Dv] [-f format] [-h] [-c file] [-o setting=value] command [arguments]\n\n")
	width := 0
	for _, s := range command.Table() {
		width = max(width, len(s.Name))
	}
	for _, s := range command.Table() {
		fmt.Fprintf(w, "  %-*s  %s\n", width, s.Name, s.Help)
	}
	fmt.Fprintf(w, "\n%s help COMMAND explains one; see %[1]s(1).\n", command.Program)
}

// Help writes what there is to know of one command.
func Help(w io.Writer, s *command.Spec) {
	fmt.Fprintf(w, "%s %s: %s\n\nusage: %s\n", command.Program, s.Name, s.Help, s.Usage())
	if s.Long != "" {
		fmt.Fprintf(w, "\n%s\n", s.Long)
	}
	var rows [][2]string
	for _, a := range s.Args {
		name := a.Name
		if a.Keyword != "" {
			name = a.Keyword + " " + name
		}
		rows = append(rows, [2]string{name, a.Help})
	}
	section(w, "Arguments", rows)
	rows = nil
	for _, opt := range s.AllOptions() {
		rows = append(rows, [2]string{optionNames(opt), opt.Help})
	}
	section(w, "Options", rows)
	if len(s.Cols) > 0 {
		var keys []string
		for _, c := range s.Cols {
			keys = append(keys, c.Key)
		}
		fmt.Fprintf(w, "\nPrints: %s (%s, unless -f says otherwise)\n", strings.Join(keys, " "), s.Formatter)
	}
}

func section(w io.Writer, title string, rows [][2]string) {
	if len(rows) == 0 {
		return
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	for _, r := range rows {
		fmt.Fprintf(w, "  %-*s  %s\n", width, r[0], r[1])
	}
}

// optionNames is an option as it is written: "-m, --mailbox mailbox".
func optionNames(o command.Option) string {
	name := "    --" + o.Long
	if o.Letter != 0 {
		name = "-" + string(o.Letter) + ", --" + o.Long
	}
	if o.Value != "" {
		name += " " + o.Value
	}
	return name
}

// help explains a command, or lists a group's or all of them.
func (o *operation) help() error {
	words := o.p.All("command")
	if len(words) == 0 {
		Overview(o.Out)
		return nil
	}
	s, rest, err := command.Find(words)
	if err == nil && len(rest) > 0 {
		err = failed(exitUsage, "there is no command %q", strings.Join(words, " "))
	}
	if err == nil {
		Help(o.Out, s)
		return nil
	}
	// A group is a good thing to ask about.
	if usage := (*command.UsageError)(nil); errors.As(err, &usage) {
		if !usage.Unknown {
			fmt.Fprint(o.Out, usage.Usage)
			return nil
		}
		return failed(exitUsage, "%v", usage)
	}
	return err
}
