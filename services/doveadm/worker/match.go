package worker

import (
	"errors"
	"slices"
	"strings"
	"time"

	"culver/internal/doveadmproto"
	"culver/internal/mailmessage"
	"culver/internal/mailstore/maildir"
	"culver/services/doveadm/search"
)

// What a condition costs to test, in the order in which they are tried: what
// the index knows, what a stat knows, what the header and what the body says.
const (
	costIndex = iota
	costStat
	costHeader
	costBody
)

// condition is a Node made ready for one run.
type condition struct {
	*search.Node
	kids   []*condition
	cost   int
	needle needle
	flag   maildir.Flags

	keyword uint32           // of this mailbox: the letter's bit, 0 where it has none
	threads map[uint32]bool  // UIDs in a thread that has a match
	unread  map[uint32]error // UIDs of which nobody knows it, and why
}

// matcher tests the messages of one mailbox against a query.
type matcher struct {
	c    *call
	name string
	box  *maildir.Mailbox
	root *condition
	zone *time.Location
	last uint32 // UID of the last message
	once bool   // OLDESTONLY: nothing after the first that does not match

	skipped int // messages that could not be read

	i   int           // the message that is tested
	is  maildir.Entry // and what the index says of it
	msg message
}

func newMatcher(c *call, root *search.Node, name string) *matcher {
	m := &matcher{c: c, name: name, zone: c.zone()}
	m.root = m.ready(root)
	return m
}

// flagsOf are the flags that queries know.
var flagsOf = map[string]maildir.Flags{
	"answered": maildir.Answered, "deleted": maildir.Deleted, "draft": maildir.Draft, "flagged": maildir.Flagged, "seen": maildir.Seen,
}

func (m *matcher) ready(n *search.Node) *condition {
	k := &condition{Node: n}
	switch n.Key {
	case search.Flag:
		k.flag = flagsOf[n.Text]
	case search.Address, search.Header, search.Body, search.Text:
		k.needle = newNeedle(n.Text)
	case search.OldestOnly:
		m.once = true
	}
	switch n.Key {
	case search.Before, search.On, search.Since:
		if k.cost = costStat; n.Which == search.Sent {
			k.cost = costHeader
		}
	case search.Larger, search.Smaller:
		k.cost = costStat
	case search.Address, search.Header:
		k.cost = costHeader
	case search.Body, search.Text, search.MimePart:
		k.cost = costBody
	}
	for _, kid := range n.Kids {
		if n.Key == search.MimePart {
			break // part.go reads it on its own
		}
		r := m.ready(kid)
		k.kids = append(k.kids, r)
		k.cost = max(k.cost, r.cost)
	}
	if n.Key == search.And || n.Key == search.Or {
		slices.SortStableFunc(k.kids, func(a, b *condition) int { return a.cost - b.cost })
	}
	return k
}

// answer is what can be said of a condition without looking at messages.
type answer int8

const (
	no    answer = -1
	maybe answer = 0
	yes   answer = 1
)

// never tells that no message of a mailbox of this name can match, so that it
// need not be opened.
func (m *matcher) never() bool { return m.root.of(m) == no }

func (k *condition) of(m *matcher) answer {
	switch k.Key {
	case search.All:
		return yes
	case search.None:
		return no
	case search.Mailbox:
		return certain(search.SameMailbox(k.Node.Text, m.name))
	case search.MailboxGlob:
		return certain(m.c.mail.Match(k.Node.Text, m.name))
	case search.Not:
		return -k.kids[0].of(m)
	case search.Fuzzy:
		return k.kids[0].of(m)
	case search.And:
		a := yes
		for _, kid := range k.kids {
			a = min(a, kid.of(m))
		}
		return a
	case search.Or:
		a := no
		for _, kid := range k.kids {
			a = max(a, kid.of(m))
		}
		return a
	}
	return maybe
}

func certain(b bool) answer {
	if b {
		return yes
	}
	return no
}

// maxSkipped is how many messages of a mailbox that cannot be read are named.
const maxSkipped = 10

// unreadable is an error of one message, by which no other one is kept from what
// the command does.
type unreadable struct{ error }

func (u unreadable) Unwrap() error { return u.error }

// skip notes a message that cannot be read: nobody knows whether it matches, so
// nothing is done with it, and the command ends with 75.
func (m *matcher) skip(i int, err error) {
	m.skipped++
	m.c.setCode(codeTemporary)
	if m.skipped <= maxSkipped {
		m.c.log(doveadmproto.LogError, "Mailbox %s: UID %d: skipped: %v", m.name, m.box.Entry(i).UID, err)
	}
}

func (m *matcher) skippedMore() {
	if n := m.skipped - maxSkipped; n > 0 {
		m.c.log(doveadmproto.LogError, "Mailbox %s: %d more messages that cannot be read were skipped", m.name, n)
	}
}

// run calls f with each message that matches. One that cannot be read is skipped.
func (m *matcher) run(box *maildir.Mailbox, f func(box *maildir.Mailbox, i int) error) error {
	m.box = box
	defer m.skippedMore()
	n := box.Len()
	if n == 0 {
		return nil
	}
	m.last = box.Entry(n - 1).UID
	if err := m.prepare(m.root); err != nil {
		return err
	}
	for i := range n {
		if err := m.c.step(); err != nil {
			return err
		}
		ok, err := m.test(m.root, i)
		bad := err != nil
		if ok && !bad {
			err = f(box, i)
			bad = errors.As(err, new(unreadable))
		}
		switch {
		case errors.Is(err, maildir.ErrGone):
		case bad:
			m.skip(i, err)
		case err != nil:
			return err
		case m.once && !ok:
			return nil
		}
	}
	return nil
}

// prepare looks up what the mailbox means by a keyword, and where its threads
// are.
func (m *matcher) prepare(k *condition) error {
	switch k.Key {
	case search.Keyword:
		for i, name := range m.box.Keywords() {
			if strings.EqualFold(name, k.Node.Text) {
				k.keyword |= 1 << i
			}
		}
	case search.ModSeq:
		if k.Number > 1 {
			return failed(codeNotPossible, "MODSEQ %d: change numbers are kept by Dovecot's index, not in a Maildir", k.Number)
		}
	}
	for _, kid := range k.kids {
		if err := m.prepare(kid); err != nil {
			return err
		}
	}
	if k.Key == search.InThread {
		return m.findThreads(k)
	}
	return nil
}

// test tells whether message i fulfils the condition.
func (m *matcher) test(k *condition, i int) (bool, error) {
	m.i, m.is = i, m.box.Entry(i)
	m.msg.reset(m.box, i)
	ok, err := m.matches(k)
	m.msg.close()
	return ok, err
}

func (m *matcher) matches(k *condition) (bool, error) {
	switch k.Key {
	case search.And:
		for _, kid := range k.kids {
			if ok, err := m.matches(kid); err != nil || !ok {
				return false, err
			}
		}
		return true, nil
	case search.Or:
		for _, kid := range k.kids {
			if ok, err := m.matches(kid); err != nil || ok {
				return ok, err
			}
		}
		return false, nil
	case search.Not:
		ok, err := m.matches(k.kids[0])
		return !ok, err
	case search.Fuzzy:
		return m.matches(k.kids[0])
	case search.All, search.ModSeq, search.OldestOnly:
		return true, nil
	case search.None:
		return false, nil
	case search.Mailbox, search.MailboxGlob:
		return k.of(m) == yes, nil
	case search.MailboxGUID:
		return k.Node.Text == m.box.GUID(), nil
	case search.Seq:
		return k.Set.HasSeq(uint32(m.i)+1, uint32(m.box.Len())), nil
	case search.UID:
		return k.Set.HasUID(m.is.UID, m.last), nil
	case search.Flag:
		return m.is.Flags&k.flag != 0, nil
	case search.Keyword:
		return m.is.Keywords&k.keyword != 0, nil
	case search.Recent:
		return m.is.Recent, nil
	case search.GUID:
		return m.box.MessageGUID(m.i) == k.Node.Text, nil
	case search.InThread:
		return k.threads[m.is.UID], k.unread[m.is.UID]
	case search.Larger, search.Smaller:
		size, err := m.box.Virtual(m.i)
		if k.Key == search.Larger {
			return size > int64(k.Number), err
		}
		return size < int64(k.Number), err
	case search.Before, search.On, search.Since:
		return m.date(k)
	case search.Address, search.Header:
		return m.msg.header(k)
	case search.Body:
		return m.msg.body(m.c, &k.needle, false)
	case search.Text:
		return m.msg.text(m.c, &k.needle)
	case search.MimePart:
		return m.msg.part(m.c, k.Node.Kids[0])
	}
	return false, failed(codeNotPossible, "search key %d is not for messages", k.Key)
}

func (m *matcher) date(k *condition) (bool, error) {
	var t time.Time
	var err error
	switch k.Which {
	case search.Received:
		t, err = m.box.Received(m.i)
	case search.Saved:
		t, err = m.box.Saved(m.i)
	case search.Sent:
		t, err = m.msg.sent()
	}
	if err != nil {
		return false, err
	}
	offset := 0
	if k.Date.Day {
		if k.Which != search.Sent {
			t = t.In(m.zone)
		}
		_, offset = t.Zone()
	}
	switch k.Key {
	case search.Before:
		return k.Date.Before(t.Unix(), offset), nil
	case search.On:
		return k.Date.On(t.Unix(), offset), nil
	}
	return k.Date.Since(t.Unix(), offset), nil
}

// sent is the Date field; a message without a usable one counts as of 1970.
func (m *message) sent() (time.Time, error) {
	block, err := m.head()
	if err != nil {
		return time.Time{}, err
	}
	for name, raw := range fields(block) {
		if sameName(name, "Date") {
			if t, ok := mailmessage.SentDate(mailmessage.Field{Raw: raw}.Text()); ok {
				return t, nil
			}
			break
		}
	}
	return time.Unix(0, 0).UTC(), nil
}
