package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/services/doveadm/brain"
)

// globals are the options before the command's name.
type globals struct {
	verbose, debug, noHeader bool
	help, version            bool
	formatter                string
	config                   string
	set                      []string
	now                      time.Time // zero: the clock's
	login                    brain.Login
}

// parseGlobals reads them, and gives the words from the command's name on.
func parseGlobals(words []string) (globals, []string, error) {
	g := globals{config: defaultConfig}
	for len(words) > 0 && len(words[0]) > 1 && words[0][0] == '-' {
		word := words[0]
		words = words[1:]
		var err error
		switch {
		case word == "--":
			return g, words, nil
		case word[1] == '-':
			words, err = g.long(word[2:], words)
		default:
			words, err = g.letters(word[1:], words)
		}
		if err != nil {
			return g, nil, err
		}
	}
	return g, words, nil
}

func (g *globals) letters(letters string, words []string) ([]string, error) {
	for i := range len(letters) {
		switch c := letters[i]; c {
		case 'v':
			g.verbose = true
		case 'D':
			g.debug, g.verbose = true, true
		case 'h':
			g.noHeader = true
		case 'f', 'o', 'c':
			value := letters[i+1:]
			if value == "" {
				if len(words) == 0 {
					return nil, fmt.Errorf("option -%c needs a value", c)
				}
				value, words = words[0], words[1:]
			}
			switch c {
			case 'f':
				g.formatter = value
			case 'o':
				g.set = append(g.set, value)
			case 'c':
				g.config = value
			}
			return words, nil
		default:
			return nil, fmt.Errorf("unknown option %s; what belongs to a command comes after its name", strconv.Quote("-"+letters[i:i+1]))
		}
	}
	return words, nil
}

func (g *globals) long(word string, words []string) ([]string, error) {
	name, value, has := strings.Cut(word, "=")
	switch name {
	case "help":
		g.help = true
		return words, nil
	case "version":
		g.version = true
		return words, nil
	case "now", "as", "password-file", "password-command":
	default:
		return nil, fmt.Errorf("unknown option %s; what belongs to a command comes after its name", strconv.Quote("--"+name))
	}
	if !has {
		if len(words) == 0 {
			return nil, fmt.Errorf("option --%s needs a value", name)
		}
		value, words = words[0], words[1:]
	}
	var err error
	switch name {
	case "now":
		g.now, err = parseNow(value)
	case "as":
		g.login.As = value
	case "password-file":
		g.login.File = value
	case "password-command":
		g.login.Command = value
	}
	return words, err
}

// parseNow reads a moment: seconds since 1970, or 2006-01-02T15:04:05Z.
func parseNow(s string) (time.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return time.Unix(n, 0), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--now wants seconds since 1970, or 2026-01-02T15:04:05Z, not %s", strconv.Quote(s))
	}
	return t, nil
}
