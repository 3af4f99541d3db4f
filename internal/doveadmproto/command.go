package doveadmproto

import (
	"errors"
	"strings"

	"culver/internal/tabline"
)

// Command is one command line: flags TAB user TAB name TAB arguments.
type Command struct {
	Verbose bool
	Debug   bool
	Extra   []string // key=value of the flag x
	User    string
	Name    string // as the client sent it: all words, or the first only
	Args    []string
}

// What ParseCommand refuses.
var (
	ErrNoCommand = errors.New("no command given")
	ErrFlag      = errors.New("unknown flag")
)

// Append adds the line to out, with its LF. Extra goes to peers of minor 3 and
// up only; the caller clears it for others.
func (c *Command) Append(out []byte) []byte {
	if c.Verbose {
		out = append(out, 'v')
	}
	if c.Debug {
		out = append(out, 'D')
	}
	if len(c.Extra) > 0 {
		out = append(append(out, "x\t"...), tabline.Escape(string(tabline.Append(nil, c.Extra...)))...)
	}
	out = append(out, '\t')
	out = tabline.Append(out, c.User, c.Name)
	for _, a := range c.Args {
		out = tabline.Append(append(out, '\t'), a)
	}
	return append(out, '\n')
}

// ParseCommand reads one line of a client of that minor; a line end may be
// there still.
func ParseCommand(line []byte, minor int) (Command, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	f := tabline.Split(s)
	var c Command
	if len(f) < 3 {
		return c, ErrNoCommand
	}
	extra := false
	for _, flag := range []byte(f[0]) {
		switch {
		case flag == 'v':
			c.Verbose = true
		case flag == 'D':
			c.Debug = true
		case flag == 'x' && minor >= MinorNoColumn:
			extra = true
		default:
			return c, ErrFlag
		}
	}
	if extra {
		if len(f) < 4 {
			return c, ErrNoCommand
		}
		if f[1] != "" {
			c.Extra = tabline.Split(f[1])
		}
		f = f[1:]
	}
	if f[2] == "" {
		return c, ErrNoCommand
	}
	c.User, c.Name, c.Args = f[1], f[2], f[3:]
	return c, nil
}
