package worker

import "culver/internal/mailstore/maildir"

// forceResync reads mailboxes anew, numbers what has no UID, and puts a uid list
// aside that cannot be read.
func (c *call) forceResync() error {
	return c.refresh(func(name string) error {
		if c.dryRun {
			return c.wouldChange(name, "resync")
		}
		return c.store.Resync(name)
	})
}

// index brings our own records of mailboxes up to date: UIDs for new mail, saved
// dates. There is no other index here.
func (c *call) index() error {
	return c.refresh(func(name string) error {
		box, err := c.store.Open(name)
		if err == nil {
			box.Close()
		}
		return err
	})
}

// refresh does something with each mailbox that a mask matches; a name that is
// no mailbox's is a mask that matches none.
func (c *call) refresh(do func(name string) error) error {
	list, err := c.store.List(c.Arg("mask"))
	if err != nil {
		return wrap(err, "Listing mailboxes failed")
	}
	for _, l := range list {
		if l.NoSelect || l.Missing {
			continue
		}
		if err := c.step(); err != nil {
			return err
		}
		if err := do(l.Name); err != nil && !isGone(err) {
			c.fail(wrap(err, "Mailbox %s", l.Name))
		}
	}
	return nil
}

// isGone tells that the mailbox was removed since it was listed.
func isGone(err error) bool { return codeOf(err) == codeOf(maildir.ErrNoFolder) }
