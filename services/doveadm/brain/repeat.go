package brain

import (
	"slices"

	"culver/services/doveadm/command"
	"culver/services/doveadm/search"
)

// twice are the commands that write and may be sent again when nobody knows
// whether they were done: a second time they find nothing left to do. copy, save
// and import are not: they would do it twice. Nor are those that would then fail
// by their own success, such as mailbox create.
var twice = []string{
	"deduplicate", "expunge", "flags add", "flags remove", "flags replace", "force-resync",
	"index", "mailbox subscribe", "mailbox unsubscribe", "mailbox update", "move", "purge", "quota recalc",
}

// repeatable tells whether a command may be sent again for a user whose
// connection was lost in the middle of it.
func repeatable(p command.Parsed, q *search.Query) bool {
	switch {
	case p.Has("dry-run"):
		return true
	case p.Spec.Name == "batch":
		all, err := p.Batch()
		return err == nil && !slices.ContainsFunc(all, func(one command.Parsed) bool { return one.Spec.Writes })
	case !p.Spec.Writes:
		return true
	}
	return slices.Contains(twice, p.Spec.Name) && (q == nil || !counts(q.Root))
}

// counts tells whether a query means messages by their place: once message 1 is
// gone another one is message 1, and another one the last.
func counts(n *search.Node) bool {
	found := false
	n.Walk(func(n *search.Node) bool {
		switch n.Key {
		case search.Seq, search.OldestOnly:
			found = true
		case search.UID:
			for _, r := range n.Set {
				found = found || r.Lo == search.Star // "9:*" is a fixed set, "*" is not
			}
		}
		return !found
	})
	return found
}
