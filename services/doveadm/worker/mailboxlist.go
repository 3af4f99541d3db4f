package worker

import (
	"cmp"
	"strings"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
	"culver/internal/mutf7"
)

// mailboxList prints the names of mailboxes. One name without wildcards is
// printed as it came, as Dovecot does.
func (c *call) mailboxList() error {
	masks := c.All("mask")
	show := func(name string) error {
		if c.Has("mutf7") {
			name = mutf7.Encode(name)
		}
		c.rows.Value(name)
		return c.rows.Row()
	}
	if len(masks) == 1 && !maildir.HasWildcard(masks[0]) {
		return show(masks[0])
	}
	listing := c.store.List
	if c.Has("subscriptions") {
		listing = c.store.Subscribed
	}
	list, err := listing(masks...)
	if err != nil {
		return wrap(err, "Listing mailboxes failed")
	}
	for _, l := range list {
		if err := show(l.Name); err != nil {
			return err
		}
	}
	return nil
}

// named lists the mailboxes that can be opened: one name stands for itself,
// there or not, all else is masks.
func (c *call) named(masks []string) (list []maildir.Listed, err error) {
	if len(masks) == 1 && !maildir.HasWildcard(masks[0]) {
		return []maildir.Listed{{Name: masks[0]}}, nil
	}
	found, err := c.store.List(masks...)
	if err != nil {
		return nil, wrap(err, "Listing mailboxes failed")
	}
	for _, l := range found {
		if !l.NoSelect && !l.Missing {
			list = append(list, l)
		}
	}
	return list, nil
}

// mailboxPath prints where a mailbox lies, or would.
func (c *call) mailboxPath() error {
	kind := cmp.Or(strings.ToLower(c.Value("type")), "index")
	for _, name := range c.All("mailbox") {
		path, ok, err := c.store.Path(name, kind)
		switch {
		case err != nil:
			c.fail(wrap(err, "Can't get path of mailbox %s", name))
		case !ok:
			return failed(doveadmproto.Usage, "unknown type %q, want dir, alt-dir, mailbox, alt-mailbox, control, index or index-private", kind)
		case path != "":
			c.rows.Value(path)
			if err := c.rows.Row(); err != nil {
				return err
			}
		}
	}
	return nil
}
