package worker

import (
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// visit is what a command does with the messages that a query finds.
type visit struct {
	// missing takes a mailbox that cannot be opened; nil: it fails the command.
	missing func(name string, err error)
	// begin and end surround a mailbox that has been opened; each may be nil.
	begin func(box *maildir.Mailbox) error
	end   func(box *maildir.Mailbox) error
	// message takes each message that matches, in the order of UIDs.
	message func(box *maildir.Mailbox, i int) error
}

// query parses the command's query.
func (c *call) query() (*search.Query, error) {
	return search.Parse(c.All("query"), search.Env{Now: c.begun})
}

// each visits all messages that match. A message or a mailbox that vanishes
// meanwhile is as if it had never matched.
func (c *call) each(q *search.Query, v visit) error {
	boxes, err := c.mailboxes(q)
	if err != nil {
		return err
	}
	for _, b := range boxes {
		if err := c.eachIn(b, q, v); err != nil {
			return err
		}
	}
	return nil
}

// wanted is a mailbox to open, and whether it must be there.
type wanted struct {
	name string
	must bool
}

// mailboxes lists those that the query is about.
func (c *call) mailboxes(q *search.Query) ([]wanted, error) {
	m := q.Mailboxes()
	var boxes []wanted
	if !m.All && len(m.Globs) == 0 {
		for _, name := range m.Names {
			boxes = append(boxes, wanted{name, true})
		}
		return boxes, nil
	}
	masks := append(m.Globs, m.Names...)
	list, err := c.mail.List(masks...)
	if err != nil {
		return nil, err
	}
	for _, l := range list {
		if !l.NoSelect && !l.Missing {
			boxes = append(boxes, wanted{l.Name, false})
		}
	}
	return boxes, nil
}

func (c *call) eachIn(w wanted, q *search.Query, v visit) error {
	if err := c.step(); err != nil {
		return err
	}
	m := newMatcher(c, q.Root, w.name)
	if m.never() {
		return nil
	}
	box, err := c.mail.Open(w.name)
	if err != nil {
		switch {
		case !w.must && codeOf(err) != codeTemporary:
		case v.missing != nil:
			v.missing(w.name, err)
		default:
			c.fail(err)
		}
		return nil
	}
	defer box.Close()
	if v.begin != nil {
		if err := v.begin(box); err != nil {
			return err
		}
	}
	if err := m.run(box, v.message); err != nil {
		return err
	}
	if v.end != nil {
		return v.end(box)
	}
	return nil
}
