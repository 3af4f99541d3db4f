package worker

import (
	"strconv"

	"culver/internal/mailstore/maildir"
)

// search prints mailbox GUID and UID of each message that matches.
func (c *call) search() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	guid := ""
	return c.each(q, visit{
		missing: func(name string, err error) {
			if isName(err) {
				c.fail(wrap(err, "Syncing mailbox %s failed", name))
				return
			}
			c.fail(wrap(err, "Couldn't get mailbox '%s' GUID", name))
		},
		begin: func(box *maildir.Mailbox) error {
			guid = box.GUID()
			return nil
		},
		message: func(box *maildir.Mailbox, i int) error {
			c.touched++
			c.rows.Value(guid)
			c.rows.Value(strconv.FormatUint(uint64(box.Entry(i).UID), 10))
			return c.rows.Row()
		},
	})
}
