package worker

import (
	"errors"
	"strconv"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// expunge removes the messages that match.
func (c *call) expunge() error {
	q, err := c.guarded()
	if err != nil {
		return err
	}
	return c.each(q, visit{
		missing: func(name string, err error) { c.fail(wrap(err, "Syncing mailbox '%s' failed", name)) },
		begin:   c.checkValidity,
		message: func(box *maildir.Mailbox, i int) error {
			if c.dryRun {
				return c.would(box, i, "expunge")
			}
			if err := box.Expunge(i); err != nil {
				return err
			}
			c.touched++
			return nil
		},
		end: c.deleteEmpty,
	})
}

// guarded parses the query of a command that takes messages away.
func (c *call) guarded() (*search.Query, error) {
	q, err := c.query()
	if err == nil {
		if unsafe := q.SafeToExpunge(); unsafe != nil {
			err = failed(doveadmproto.Usage, "%s: %v", c.Spec.Name, unsafe)
		}
	}
	return q, err
}

// checkValidity holds --if-uidvalidity against the mailbox: a plan is carried
// out on the messages it was made for, or not at all.
func (c *call) checkValidity(box *maildir.Mailbox) error {
	if len(c.validity) == 0 {
		return nil
	}
	is := strconv.FormatUint(uint64(box.UIDValidity()), 10)
	for _, want := range c.validity {
		if want == is {
			return nil
		}
	}
	return failed(doveadmproto.DataErr, "Mailbox %s: UIDVALIDITY is %s, not %s: nothing was done", box.Name, is, c.validity[0])
}

// deleteEmpty is expunge -d: the mailbox goes too, if nothing is left in it.
func (c *call) deleteEmpty(box *maildir.Mailbox) error {
	if !c.Has("delete-empty-mailbox") || c.dryRun || box.Name == "INBOX" {
		return nil
	}
	return c.removeEmpty(box.Name)
}

// would prints what a command without --dry-run would do with a message.
func (c *call) would(box *maildir.Mailbox, i int, action string) error {
	size, err := box.Size(i)
	if err != nil {
		return unreadable{err}
	}
	c.touched++
	c.rows.Value(box.Name)
	c.rows.Value(box.GUID())
	c.rows.Value(strconv.FormatUint(uint64(box.UIDValidity()), 10))
	c.rows.Value(strconv.FormatUint(uint64(box.Entry(i).UID), 10))
	c.rows.Value(strconv.FormatInt(size, 10))
	c.rows.Value(action)
	return c.rows.Row()
}

// removeEmpty deletes a mailbox and its subscription, if it is empty.
func (c *call) removeEmpty(name string) error {
	_, err := c.store.Delete(name, true)
	if errors.Is(err, maildir.ErrNotEmpty) || errors.Is(err, maildir.ErrNoFolder) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.store.Unsubscribe(name)
}
