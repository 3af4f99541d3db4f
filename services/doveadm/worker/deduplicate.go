package worker

import (
	"bytes"

	"culver/internal/mailstore/maildir"
)

// deduplicate expunges what is in its mailbox a second time, by GUID or by
// Message-ID. The first one stays; a message without the key is no copy.
func (c *call) deduplicate() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	var seen map[string]bool
	var msg message
	return c.each(q, visit{
		missing: c.missingSource,
		begin: func(*maildir.Mailbox) error {
			seen = map[string]bool{}
			return nil
		},
		message: func(box *maildir.Mailbox, i int) error {
			key := ""
			if c.Has("by-msgid") {
				msg.reset(box, i)
				id, err := msg.messageID()
				msg.close()
				if err != nil {
					return unreadable{err}
				}
				key = id
			} else {
				key = box.MessageGUID(i)
			}
			if key == "" || !seen[key] {
				seen[key] = true
				return nil
			}
			if c.dryRun {
				return c.would(box, i, "expunge")
			}
			if err := box.Expunge(i); err != nil {
				return err
			}
			c.touched++
			return nil
		},
	})
}

// messageID is the header field, without the brackets around it.
func (m *message) messageID() (string, error) {
	block, err := m.head()
	if err != nil {
		return "", err
	}
	for name, raw := range fields(block) {
		if sameName(name, "Message-ID") {
			return string(bytes.TrimSpace(raw)), nil
		}
	}
	return "", nil
}
