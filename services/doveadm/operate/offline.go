package operate

import (
	"errors"
	"fmt"

	"culver/internal/mutf7"
	"culver/services/doveadm/command"
)

// mutf7 converts names of mailboxes.
func (o *operation) mutf7() error {
	var all error
	for _, name := range o.p.All("name") {
		if !o.p.Has("to-utf8") {
			o.line(mutf7.Encode(name))
			continue
		}
		text, ok := mutf7.Decode(name)
		if !ok {
			all = errors.Join(all, failed(exitDataErr, "%s is not modified UTF-7", command.Quote(name)))
			continue
		}
		o.line(text)
	}
	return all
}

// config prints the settings, as culver config does.
func (o *operation) config() error {
	all := false
	for _, word := range o.p.All("arguments") {
		switch word {
		case "-a":
			all = true
		case "-n": // what Dovecot's users type, and what is printed anyway
		default:
			return failed(exitUsage, "config takes -a only, not %s: see culver-config in culver(8)", command.Quote(word))
		}
	}
	cfg, err := o.load()
	if err != nil {
		return err
	}
	if err := o.Print(o.Out, cfg, all); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}
