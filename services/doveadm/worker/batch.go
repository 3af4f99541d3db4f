package worker

import (
	"culver/internal/doveadmproto"
)

// batch carries out several commands. Their rows come one after another; the
// first that fails ends it, as in Dovecot: what is expunged behind a copy was
// meant to be copied.
func (c *call) batch() error {
	parts, err := c.Batch()
	if err != nil {
		return usage(err)
	}
	whole := c.Parsed
	defer func() { c.Parsed = whole }()
	for _, p := range parts {
		if err := c.step(); err != nil {
			return err
		}
		run := commandNamed(p.Spec.Name)
		if run == nil {
			return failed(doveadmproto.Usage, "%s is not for a user's worker", p.Spec.Name)
		}
		if err := c.permitted(p.Spec.Name); err != nil {
			return err
		}
		c.Parsed, c.dryRun, c.validity = p, p.Has("dry-run"), p.Values("if-uidvalidity")
		if err := run(c); err != nil {
			return err
		}
		if c.code != doveadmproto.OK {
			return nil // it went on as far as it could, and has said what failed
		}
	}
	return nil
}

// accepted is a command that has nothing to do in a Maildir, whose scripts
// shall not fail here.
func (c *call) accepted() error { return nil }
