package worker

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
	"culver/internal/maillocation"
	"culver/internal/mailstore/maildir"
)

// importMail copies messages from another mail location, or another user's,
// into mailboxes of the same names below a parent.
func (c *call) importMail() error {
	q, err := c.query()
	if err != nil {
		return err
	}
	i := importer{c: c}
	defer i.close()
	if c.otherUser(c.Value("source-user")) {
		return c.receive("import", i.into)
	}
	if err := c.openSource(c.Arg("source")); err != nil {
		return err
	}
	return c.copyFound(q, "import", func(name string, err error) {
		c.fail(wrap(err, "Mailbox %s of the source: Mailbox sync failed", name))
	}, func(from string) (*maildir.Mailbox, error) {
		return i.into(strings.ReplaceAll(from, c.separator(), separatorOf(c.config)))
	})
}

// openSource makes a location's mail the one that queries search. It is opened
// with this user's rights, in this user's box.
func (c *call) openSource(location string) error {
	t, err := maillocation.Parse(location)
	if err != nil {
		return failed(codeUsage, "%v", err)
	}
	l, err := t.Expand(maillocation.Vars{User: c.user, Home: c.settings["home"]})
	if err != nil {
		return failed(codeUsage, "%s: %v", location, err)
	}
	config := maildir.Config{
		Root: l.Root, Inbox: l.Inbox, Control: l.Control, FS: l.Layout == maillocation.LayoutFS, UTF8: l.UTF8,
		Subscriptions: l.Subscriptions, Host: c.config.Host, NoSync: c.config.NoSync, Names: c.config.Names, Warn: c.config.Warn, Beat: c.config.Beat,
	}
	var st unix.Stat_t
	if err := unix.Stat(l.Root, &st); err != nil {
		code := doveadmproto.NotFound
		if err == unix.EACCES || err == unix.EPERM {
			code = doveadmproto.NoPerm
		}
		return failed(code, "%s: %v", location, err)
	}
	c.mail, c.mailConfig = maildir.New(config), config
	return nil
}

// importer keeps the mailbox that is imported into open: messages come mailbox
// by mailbox.
type importer struct {
	c    *call
	from string
	box  *maildir.Mailbox
}

func (i *importer) close() {
	if i.box != nil {
		i.box.Close()
		i.box = nil
	}
}

// into opens the mailbox for a source's mailbox, and makes it if it is missing.
func (i *importer) into(from string) (*maildir.Mailbox, error) {
	if i.box != nil && i.from == from {
		return i.box, nil
	}
	i.close()
	name := from
	if parent := i.c.Arg("parent"); parent != "" {
		name = parent + separatorOf(i.c.config) + from
	}
	box, err := i.c.store.Open(name)
	if errors.Is(err, maildir.ErrNoFolder) {
		err = i.c.store.Create(name, maildir.NewFolder{})
		if err != nil && !errors.Is(err, maildir.ErrExists) {
			return nil, wrap(err, "Couldn't create mailbox %s", name)
		}
		box, err = i.c.store.Open(name)
	}
	if err == nil && i.c.Has("subscribe") {
		if err = i.c.store.Subscribe(name); err != nil {
			err = wrap(err, "Couldn't subscribe to mailbox %s", name)
		}
	}
	if err != nil {
		if box != nil {
			box.Close()
		}
		return nil, wrap(err, "Can't open mailbox '%s'", name)
	}
	i.from, i.box = from, box
	return box, nil
}

func separatorOf(c maildir.Config) string {
	switch {
	case c.Separator != "":
		return c.Separator
	case c.FS:
		return "/"
	}
	return "."
}

// separator is that of the mail that is searched.
func (c *call) separator() string { return separatorOf(c.mailConfig) }
