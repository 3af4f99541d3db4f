package worker

import (
	"errors"
	"strconv"

	"culver/internal/mailstore/maildir"
)

// quotaRoot is the name of the one quota that there is, Dovecot's usual.
const quotaRoot = "User quota"

// quotaGet prints use and limits, storage in KiB.
func (c *call) quotaGet() error {
	q, err := c.store.Usage()
	if err != nil {
		if !errors.Is(err, maildir.ErrNoQuota) {
			c.quotaCells("STORAGE", "error", "error", "error")
			c.quotaCells("MESSAGE", "error", "error", "error")
		}
		return wrap(err, "quota")
	}
	c.quotaRow("STORAGE", kib(q.Bytes), q.BytesLimit/1024)
	return c.quotaRow("MESSAGE", q.Messages, q.MessagesLimit)
}

// kib is rounded up: a mailbox with mail does not have 0.
func kib(bytes int64) int64 { return (bytes + 1023) / 1024 }

// quotaRow prints the percentage of what it prints, as Dovecot does.
func (c *call) quotaRow(kind string, value, limit int64) error {
	most := "-"
	if limit > 0 {
		most = strconv.FormatInt(limit, 10)
	}
	return c.quotaCells(kind, strconv.FormatInt(value, 10), most, strconv.FormatInt(maildir.Percent(value, limit), 10))
}

func (c *call) quotaCells(kind, value, limit, percent string) error {
	for _, cell := range []string{quotaRoot, kind, value, limit, percent} {
		c.rows.Value(cell)
	}
	return c.rows.Row()
}

// quotaRecalc counts all mail anew.
func (c *call) quotaRecalc() error {
	if err := c.store.Recount(); err != nil {
		return wrap(err, "quota")
	}
	return nil
}
