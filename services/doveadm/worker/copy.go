package worker

import (
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// copyBatch is how many messages are copied before the front is listened to.
const copyBatch = 128

func (c *call) copy() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return c.copyTo(q, "copy")
}

func (c *call) move() error {
	q, err := c.guarded()
	if err != nil {
		return err
	}
	return c.copyTo(q, "move")
}

// copyTo puts what the query finds into the destination. It opens that first:
// nothing is read for a destination that is not there.
func (c *call) copyTo(q *search.Query, action string) error {
	name := c.Arg("destination")
	dest, err := c.store.Open(name)
	if err != nil {
		return wrap(err, "Can't open mailbox '%s'", name)
	}
	defer dest.Close()
	if c.otherUser(c.Arg("source-user")) {
		return c.receive(action, func(string) (*maildir.Mailbox, error) { return dest, nil })
	}
	return c.copyFound(q, action, c.missingSource, func(string) (*maildir.Mailbox, error) { return dest, nil })
}

// otherUser tells whether the messages come from another user's worker.
func (c *call) otherUser(name string) bool { return name != "" && name != c.user }

// copyFound copies or moves what the query finds, one mailbox after the other,
// to where into says.
func (c *call) copyFound(q *search.Query, action string, missing func(string, error), into func(from string) (*maildir.Mailbox, error)) error {
	var which []int
	return c.each(q, visit{
		missing: missing,
		begin: func(box *maildir.Mailbox) error {
			which = which[:0]
			return c.checkValidity(box)
		},
		message: func(box *maildir.Mailbox, i int) error {
			if c.dryRun {
				return c.would(box, i, action)
			}
			which = append(which, i)
			return nil
		},
		end: func(box *maildir.Mailbox) error {
			if len(which) == 0 {
				return nil
			}
			dest, err := into(box.Name)
			if err != nil {
				return err
			}
			return c.copyAll(dest, box, which, action == "move")
		},
	})
}

// copyAll copies in pieces: between two of them no message is in both mailboxes
// that shall be in one.
func (c *call) copyAll(dest, src *maildir.Mailbox, which []int, move bool) error {
	transfer := dest.CopyAll
	if move {
		transfer = dest.MoveAll
	}
	for len(which) > 0 {
		some := which[:min(len(which), copyBatch)]
		which = which[len(some):]
		if err := c.step(); err != nil {
			return err
		}
		err := transfer(src, some, func(int, uint32) error { c.touched++; return nil })
		if err != nil {
			return wrap(err, "Copying message from %s failed", src.Name)
		}
	}
	return nil
}
