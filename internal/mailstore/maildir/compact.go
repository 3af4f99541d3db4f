package maildir

// smallList is what a list may have without anybody gaining from a shorter one.
const smallList = 4 << 10

// wasteful: a quarter of the list's records is of no use, which is when Dovecot
// writes it anew.
func (m *Mailbox) wasteful() bool {
	gone := m.list.count - (len(m.entries) - m.unnumbered())
	return m.list.end > smallList && 4*gone >= m.list.count
}

// compact leaves the records of messages that are gone out of the list. It does
// so only where the scan saw all there is, and nothing has changed since, up to
// the last record that the list has: a message whose record is left out would
// get another UID. Where that, or the lock, is not to be had at once, the next
// one that opens the folder will do it; nor is an error of the writing any harm,
// as the old list is as good.
func (m *Mailbox) compact() error {
	if !m.wasteful() || !m.still() {
		return nil
	}
	lock, err := m.s.lockListFor(m.control, 0)
	if err != nil {
		return nil
	}
	defer lock.release()
	if err := m.readList(); err != nil {
		return classedOnce("open", listName, err)
	}
	if !m.wasteful() || !m.still() || m.list.torn || lock.held() != nil {
		return nil
	}
	m.s.rewriteList(m.control, &m.list, m.buf, func(r listRecord) bool {
		i := m.find(r.base)
		return i >= 0 && m.entries[i].uid == r.uid
	})
	if err := m.readList(); err != nil {
		return classedOnce("open", listName, err)
	}
	return nil
}

// still: the last scan was quiet, and the directories are as it left them.
func (m *Mailbox) still() bool {
	now, _ := m.dirTimes()
	return m.quietAt == m.pass && m.pass != 0 && now == m.times
}
