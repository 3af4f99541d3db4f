package worker

import (
	"io"
	"strconv"

	"culver/internal/doveadmproto"
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// save puts the message that comes as input into a mailbox.
func (c *call) save() error {
	name := "INBOX"
	if c.Has("mailbox") {
		name = c.Value("mailbox")
	}
	box, err := c.store.Open(name)
	if err != nil {
		return wrap(err, "Failed to open mailbox %s", name)
	}
	defer box.Close()
	a := maildir.Appended{GUID: c.Value("guid"), Body: c.input(doveadmproto.ChInput)}
	if c.Has("received-date") {
		if a.Received, err = search.ParseMoment(c.Value("received-date"), c.begun, c.zone()); err != nil {
			return failed(codeUsage, "received-date: %v", err)
		}
	}
	if c.Has("uid") {
		uid, err := strconv.ParseUint(c.Value("uid"), 10, 32)
		switch {
		case err != nil || uid == 0:
			return failed(codeUsage, "uid %q is no UID", c.Value("uid"))
		case uint32(uid) != box.UIDNext():
			return failed(codeNotPossible, "Mailbox %s: the next UID is %d, not %d", box.Name, box.UIDNext(), uid)
		}
	}
	if c.dryRun {
		size, err := box.SizeOf(a.Body)
		if err != nil {
			return wrap(err, "Saving failed")
		}
		c.touched++
		for _, cell := range []string{box.Name, box.GUID(), number(box.UIDValidity()), number(box.UIDNext()), strconv.FormatInt(size, 10), "save"} {
			c.rows.Value(cell)
		}
		return c.rows.Row()
	}
	if _, err := box.Append(a); err != nil {
		// What is left of the input is nobody's.
		io.Copy(io.Discard, a.Body)
		return wrap(err, "Saving failed")
	}
	c.touched++
	return nil
}
