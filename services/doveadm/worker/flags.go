package worker

import (
	"strings"

	"culver/internal/mailstore/maildir"
)

func (c *call) flagsAdd() error {
	return c.flags(func(f maildir.Flags, keywords []string) maildir.Change {
		return maildir.Change{Add: f, AddKeywords: keywords}
	})
}

func (c *call) flagsRemove() error {
	return c.flags(func(f maildir.Flags, keywords []string) maildir.Change {
		return maildir.Change{Remove: f, RemoveKeywords: keywords}
	})
}

func (c *call) flagsReplace() error {
	return c.flags(func(f maildir.Flags, keywords []string) maildir.Change {
		return maildir.Change{Replace: true, Add: f, AddKeywords: keywords}
	})
}

func (c *call) flags(change func(maildir.Flags, []string) maildir.Change) error {
	f, keywords, err := parseFlags(c.Arg("flags"))
	if err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	return c.each(q, visit{
		missing: c.missingSource,
		message: func(box *maildir.Mailbox, i int) error {
			if c.dryRun {
				return c.would(box, i, c.Spec.Name)
			}
			if err := box.SetFlags(i, change(f, keywords)); err != nil {
				return err
			}
			c.touched++
			return nil
		},
	})
}

// missingSource is what most commands say of a mailbox that is not there.
func (c *call) missingSource(name string, err error) {
	c.fail(wrap(err, "Mailbox %s: Mailbox sync failed", name))
}

// parseFlags reads the flags of a command line. \Recent is nobody's to set; it
// is accepted because Dovecot does.
func parseFlags(s string) (f maildir.Flags, keywords []string, err error) {
	for _, word := range strings.Fields(s) {
		name, system := strings.CutPrefix(word, `\`)
		flag := flagsOf[strings.ToLower(name)]
		switch {
		case system && strings.EqualFold(name, "Recent"):
		case system && flag == 0:
			return 0, nil, failed(codeTemporary, "Invalid system flag: %s", word)
		case system:
			f |= flag
		case strings.ContainsFunc(word, func(r rune) bool { return r >= 0x7f || r < ' ' || strings.ContainsRune(`(){%*"\]`, r) }):
			return 0, nil, failed(codeNotPossible, "Invalid keywords: Invalid characters in keyword")
		default:
			keywords = append(keywords, word)
		}
	}
	return f, keywords, nil
}
