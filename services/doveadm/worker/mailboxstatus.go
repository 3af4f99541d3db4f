package worker

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"culver/internal/mailstore/maildir"
)

// status is what is known of one mailbox, or of all together.
type status struct {
	messages, recent, unseen, vsize int64
	box                             *maildir.Mailbox
	firstSaved                      time.Time
}

// mailboxStatus prints counters, of each mailbox or their sum.
func (c *call) mailboxStatus() error {
	list, err := c.named(c.All("mask"))
	if err != nil {
		return err
	}
	total := c.Has("total-sum")
	var sum status
	for _, l := range list {
		if err := c.step(); err != nil {
			return err
		}
		box, err := c.store.Open(l.Name)
		if err != nil {
			c.fail(wrap(err, "Mailbox %s: Failed to lookup mailbox status", l.Name))
			continue
		}
		s, err := c.count(box)
		if err == nil && !total {
			err = c.showStatus(s)
		}
		box.Close()
		if errors.Is(err, errCancelled) {
			return err
		} else if err != nil {
			c.fail(wrap(err, "Mailbox %s: Failed to lookup mailbox status", l.Name))
			continue
		}
		sum.messages += s.messages
		sum.recent += s.recent
		sum.unseen += s.unseen
		sum.vsize += s.vsize
	}
	if total {
		return c.showStatus(sum)
	}
	return nil
}

// asks says whether a field is wanted; "all" wants every one.
func (c *call) asks(field string) bool {
	fields := c.Fields()
	return slices.Contains(fields, field) || slices.Contains(fields, "all")
}

func (c *call) count(box *maildir.Mailbox) (status, error) {
	s := status{box: box, messages: int64(box.Len())}
	sizes, dates := c.asks("vsize"), c.asks("firstsaved") && !c.Has("total-sum")
	for i := range box.Len() {
		e := box.Entry(i)
		if e.Recent {
			s.recent++
		}
		if e.Flags&maildir.Seen == 0 {
			s.unseen++
		}
		if !sizes && !dates {
			continue
		}
		if err := c.step(); err != nil {
			return s, err
		}
		if err := s.add(i, sizes, dates); err != nil && !errors.Is(err, maildir.ErrGone) {
			return s, err
		}
	}
	return s, nil
}

func (s *status) add(i int, sizes, dates bool) error {
	if sizes {
		n, err := s.box.Virtual(i)
		if err != nil {
			return err
		}
		s.vsize += n
	}
	if dates {
		at, err := s.box.Saved(i)
		if err != nil {
			return err
		}
		if s.firstSaved.IsZero() || at.Before(s.firstSaved) {
			s.firstSaved = at
		}
	}
	return nil
}

// showStatus prints a row: the columns of package command, in their order.
func (c *call) showStatus(s status) error {
	for _, col := range c.Columns() {
		c.rows.Value(s.cell(col.Key))
	}
	return c.rows.Row()
}

func (s *status) cell(key string) string {
	switch key {
	case "mailbox":
		return s.box.Name
	case "messages":
		return strconv.FormatInt(s.messages, 10)
	case "recent":
		return strconv.FormatInt(s.recent, 10)
	case "uidnext":
		return strconv.FormatUint(uint64(s.box.UIDNext()), 10)
	case "uidvalidity":
		return strconv.FormatUint(uint64(s.box.UIDValidity()), 10)
	case "unseen":
		return strconv.FormatInt(s.unseen, 10)
	case "vsize":
		return strconv.FormatInt(s.vsize, 10)
	case "guid":
		return s.box.GUID()
	case "firstsaved":
		if s.firstSaved.IsZero() {
			return "never"
		}
		return strconv.FormatInt(s.firstSaved.Unix(), 10)
	}
	return "" // highestmodseq: only Dovecot's index knows it
}
