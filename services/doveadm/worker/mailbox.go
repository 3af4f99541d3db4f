package worker

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
)

// wouldChange prints what a command without --dry-run would do with a mailbox.
func (c *call) wouldChange(name, action string) error {
	for _, cell := range []string{name, "", "", "", "", action} {
		c.rows.Value(cell)
	}
	return c.rows.Row()
}

// outside says in Dovecot's words what cannot be done with a name that has not
// the namespace's prefix.
func outside(err error, why string) error {
	if errors.Is(err, maildir.ErrOutside) {
		return failed(codeNotPossible, "%s", why)
	}
	return err
}

// exists tells whether a mailbox is there; a level above others is none.
func (c *call) exists(name string) (bool, error) {
	list, err := c.store.List(name)
	return len(list) == 1 && !list[0].NoSelect && !list[0].Missing, err
}

// eachMailbox does something with each mailbox named; one that fails does not
// keep the others.
func (c *call) eachMailbox(says string, do func(name string) error) error {
	for _, name := range c.All("mailbox") {
		if err := c.step(); err != nil {
			return err
		}
		if err := do(name); err != nil {
			c.fail(wrap(err, says, name))
		}
	}
	return nil
}

func (c *call) mailboxCreate() error {
	how := maildir.NewFolder{Subscribe: c.Has("subscriptions"), GUID: c.Value("guid")}
	if how.GUID != "" && !maildir.IsGUID(how.GUID) {
		return failed(doveadmproto.Usage, "-g: %q is not a GUID, 32 hexadecimal digits", how.GUID)
	}
	return c.eachMailbox("Can't create mailbox %s", func(name string) error {
		if c.dryRun {
			there, err := c.exists(name)
			switch {
			case err != nil:
				return err
			case there:
				return maildir.ErrExists
			}
			return c.wouldChange(name, "create")
		}
		return outside(c.store.Create(name, how), "Mailbox can't be created")
	})
}

func (c *call) mailboxDelete() error {
	return c.eachMailbox("Can't delete mailbox %s", func(name string) error {
		var below []maildir.Listed
		if c.Has("recursive") {
			var err error
			if below, err = c.store.Below(name); err != nil {
				return outside(err, "Mailbox can't be deleted")
			}
		}
		for _, l := range below {
			// In Maildir++ a level above others has nothing that could be deleted.
			if err := c.deleteOne(l.Name); err != nil && !(l.NoSelect && errors.Is(err, maildir.ErrNoFolder)) {
				c.fail(wrap(err, "Can't delete mailbox %s", l.Name))
			}
		}
		err := c.deleteOne(name)
		if len(below) > 0 && errors.Is(err, maildir.ErrNoFolder) {
			return nil // it was only above what was deleted
		}
		return outside(err, "Mailbox can't be deleted")
	})
}

func (c *call) deleteOne(name string) error {
	onlyEmpty := c.Has("require-empty")
	if c.dryRun {
		return c.wouldDelete(name, onlyEmpty)
	}
	n, err := c.store.Delete(name, onlyEmpty)
	c.touched += n
	if err != nil {
		return err
	}
	if c.Has("subscriptions") {
		return wrapNot(c.store.Unsubscribe(name), "deleted, but not unsubscribed")
	}
	return nil
}

// wouldDelete prints a row for each message that would go, and one for the
// mailbox.
func (c *call) wouldDelete(name string, onlyEmpty bool) error {
	if strings.EqualFold(name, "INBOX") {
		return failed(codeNotPossible, "INBOX can't be deleted.")
	}
	box, err := c.store.Open(name)
	if err != nil {
		return err
	}
	defer box.Close()
	if onlyEmpty && box.Len() > 0 {
		return maildir.ErrNotEmpty
	}
	for i := range box.Len() {
		if err := c.step(); err != nil {
			return err
		}
		if err := c.would(box, i, "expunge"); err != nil && !errors.Is(err, maildir.ErrGone) {
			return err
		}
	}
	return c.wouldChange(name, "delete")
}

func (c *call) mailboxRename() error {
	from, to := c.Arg("old"), c.Arg("new")
	says := func(err error) error {
		return wrap(outside(err, "Can't rename mailboxes across specified storages."), "Can't rename mailbox %s to %s", from, to)
	}
	below, err := c.store.Below(from)
	if err != nil {
		return says(err)
	}
	if c.dryRun {
		return c.wouldRename(from, to, below, says)
	}
	if err := c.store.Rename(from, to); err != nil {
		return says(err)
	}
	if !c.Has("subscriptions") {
		return nil
	}
	return wrapNot(c.moveSubscriptions(from, to, below), "renamed, but its subscription was not")
}

// moveSubscriptions subscribes to the new name in any case, as Dovecot does, and
// to those below as they were.
func (c *call) moveSubscriptions(from, to string, below []maildir.Listed) error {
	subscribed, err := c.store.Subscribed()
	err = errors.Join(err, c.store.Unsubscribe(from), c.store.Subscribe(to))
	for _, old := range below {
		if slices.ContainsFunc(subscribed, func(l maildir.Listed) bool { return l.Name == old.Name }) {
			fresh := to + strings.TrimPrefix(old.Name, from)
			err = errors.Join(err, c.store.Unsubscribe(old.Name), c.store.Subscribe(fresh))
		}
	}
	return err
}

func (c *call) wouldRename(from, to string, below []maildir.Listed, says func(error) error) error {
	there, err := c.exists(from)
	if err != nil {
		return says(err)
	}
	taken, err := c.exists(to)
	switch {
	case err != nil:
		return says(err)
	case taken:
		return says(failed(codeNotPossible, "Target mailbox already exists"))
	case !there && len(below) == 0:
		return says(failed(doveadmproto.NotFound, "Mailbox doesn't exist: %s", from))
	case there:
		c.wouldChange(from, "rename")
	}
	for _, l := range below {
		if !l.NoSelect {
			c.wouldChange(l.Name, "rename")
		}
	}
	return nil
}

func (c *call) mailboxSubscribe() error {
	return c.eachMailbox("Can't subscribe to mailbox %s", func(name string) error {
		if c.dryRun {
			return c.wouldChange(name, "subscribe")
		}
		return outside(c.store.Subscribe(name), "Mailbox can't be subscribed")
	})
}

func (c *call) mailboxUnsubscribe() error {
	return c.eachMailbox("Can't unsubscribe from mailbox %s", func(name string) error {
		if c.dryRun {
			return c.wouldChange(name, "unsubscribe")
		}
		err := c.store.Unsubscribe(name)
		if errors.Is(err, maildir.ErrOutside) {
			return nil // and so it is not subscribed to
		}
		return err
	})
}

func (c *call) mailboxUpdate() error {
	// There must be room for messages yet to come: a folder whose next UID is the
	// last one takes no more.
	const maxUID = 1<<32 - 1<<16
	name := c.Arg("mailbox")
	id := maildir.Identity{GUID: c.Value("mailbox-guid")}
	if id.GUID != "" && !maildir.IsGUID(id.GUID) {
		return failed(doveadmproto.Usage, "-g: %q is not a GUID, 32 hexadecimal digits", id.GUID)
	}
	for _, n := range []struct {
		option string
		bits   int
		to     *uint32
	}{
		{"uid-validity", 32, &id.Validity},
		{"min-next-uid", 32, &id.MinNext},
		{"min-first-recent-uid", 32, nil},
		{"min-highest-modseq", 64, nil},
		{"min-highest-pvt-modseq", 64, nil},
	} {
		text := c.Value(n.option)
		if !c.Has(n.option) {
			continue
		}
		v, err := strconv.ParseUint(text, 10, n.bits)
		if err != nil {
			return failed(doveadmproto.Usage, "--%s: %q is not a number", n.option, text)
		}
		if n.to != nil && (v == 0 || v > maxUID) {
			return failed(doveadmproto.Usage, "--%s: want 1 to %d", n.option, maxUID)
		}
		if n.to != nil {
			*n.to = uint32(v)
		}
	}
	if c.dryRun {
		box, err := c.store.Open(name)
		if err != nil {
			return wrap(err, "Cannot update %s", name)
		}
		box.Close()
		return c.wouldChange(name, "update")
	}
	if err := c.store.Identify(name, id); err != nil {
		return wrap(outside(err, "Mailbox can't be updated"), "Cannot update %s", name)
	}
	return nil
}

// wrapNot is wrap where there may be no error.
func wrapNot(err error, what string) error {
	if err == nil {
		return nil
	}
	return wrap(err, "%s", what)
}
