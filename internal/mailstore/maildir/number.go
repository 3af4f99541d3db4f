package maildir

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// number gives every message its UID: what the list says, and to the others new
// ones, which are written under the lock.
func (m *Mailbox) number() error {
	err := m.readList()
	switch {
	case err == nil && m.list.header.guid != "" && m.list.header.version == 3 && m.unnumbered() == 0:
		return nil
	case err != nil && err != unix.ENOENT:
		return classedOnce("open", listName, err)
	}
	lock, err := m.s.lockList(m.control)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := m.readList(); err == unix.ENOENT {
		return m.firstList(lock)
	}
	if err := m.currentList(lock); err != nil {
		return err
	}
	return m.assign(lock)
}

// firstList makes the list of a folder that has none, with all messages in it:
// one file, which was the lock until then, and one sync. Should a crash lose its
// name, the next list has another UIDVALIDITY.
func (m *Mailbox) firstList(lock *listLock) error {
	if err := m.newList(); err != nil {
		return err
	}
	var err error
	if m.list.header.guid, err = newGUID128(); err != nil {
		return err
	}
	fresh, text, err := m.fresh()
	if err != nil {
		return err
	}
	if err := lock.become(listName, append(m.list.header.text(uint32(len(fresh))+1), text...)); err != nil {
		return err
	}
	return m.readList()
}

// readList reads the list from where it was read last, or anew if it is another
// one.
func (m *Mailbox) readList() error {
	fresh, err := m.list.open(m.control)
	if fresh && !m.loaded {
		m.order, m.extras = m.order[:0], nil
		for i := range m.entries {
			m.entries[i].uid, m.entries[i].extra = 0, 0
		}
	}
	if err != nil {
		return err
	}
	if err := m.list.read(m.buf, m.record); err != nil {
		return err
	}
	if now := m.list.header.validity; m.loaded && now != m.validity {
		return fmt.Errorf("uid list was made anew, UIDVALIDITY went from %d to %d", m.validity, now)
	}
	return nil
}

// record takes one line of the list. A base name that comes twice belongs to
// the later one. Once all messages have their places, new lines are about
// messages that came after them.
func (m *Mailbox) record(r listRecord) {
	if m.loaded {
		if m.taken != nil {
			m.take(r.base)
		}
		return
	}
	i := m.find(r.base)
	if i < 0 {
		return
	}
	e := &m.entries[i]
	e.uid = r.uid
	m.order = append(m.order, uint32(i))
	if len(r.fields) > 0 {
		m.extras = append(m.extras, string(r.fields))
		e.extra = uint32(len(m.extras))
	}
}

// currentList reads what others added before the lock was ours, and sees to it
// that there is a list that can be added to.
func (m *Mailbox) currentList(lock *listLock) error {
	err := m.readList()
	switch {
	case err == unix.ENOENT:
		if err := m.newList(); err != nil {
			return err
		}
	case err != nil:
		return classedOnce("open", listName, err)
	case m.list.header.version == 3 && m.list.header.guid != "" && !m.list.torn:
		return nil
	}
	if m.list.header.guid == "" {
		if m.list.header.guid, err = newGUID128(); err != nil {
			return err
		}
	}
	if err := lock.held(); err != nil {
		return err
	}
	if err := m.s.rewriteList(m.control, &m.list, m.buf, nil); err != nil {
		return err
	}
	return m.readList()
}

// Dovecot keeps the UIDVALIDITY and the next UID in its
// index too. When that is there and the list is not, somebody removed the list,
// or a restore left it out. A list of ours would name other numbers than the
// ones that Dovecot and its clients know, and which ones these are only Dovecot
// can tell: it makes the list anew, with new UIDs above all old ones.
//
// That is why newList refuses where any of these is there.
var indexFiles = []string{"dovecot.index", "dovecot.index.log", "dovecot.index.log.2"}

func (m *Mailbox) newList() error {
	if name := m.indexFile(); name != "" && len(m.entries) > 0 {
		return fmt.Errorf("%w: %s is missing but %s is there, so that only Dovecot knows the UIDs: "+
			"open the folder with Dovecot once, or remove the index files where no Dovecot uses it", ErrUIDList, listName, name)
	}
	validity, err := m.s.nextValidity()
	m.list.header = listHeader{version: 3, validity: validity, next: 1}
	return err
}

// indexFile gives the name of an index file of Dovecot's; "" for none.
func (m *Mailbox) indexFile() string {
	at := m.dir
	if m.s.c.Index != m.s.c.Root {
		fd, err := m.s.below(m.s.c.Index, m.inside)
		if err != nil {
			return "" // not there, or not for this process to see: the settings gave it no such place
		}
		defer unix.Close(fd)
		at = fd
	}
	for _, name := range indexFiles {
		var st unix.Stat_t
		if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return name
		}
	}
	return ""
}

func newGUID128() (string, error) {
	var b [16]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", b), nil
}

func (m *Mailbox) unnumbered() (n int) {
	for i := range m.entries {
		if m.entries[i].uid == 0 {
			n++
		}
	}
	return n
}

// assign numbers what has no UID yet.
func (m *Mailbox) assign(lock *listLock) error {
	fresh, text, err := m.fresh()
	if err != nil || len(fresh) == 0 {
		return err
	}
	first := m.list.next()
	if err := m.appendList(lock, text); err != nil {
		return err
	}
	for i, at := range fresh {
		m.entries[at].uid = first + uint32(i)
	}
	m.order = append(m.order, fresh...)
	return nil
}

// fresh gives the messages that have no UID yet, in the order of delivery, and
// the records that give them the next ones.
func (m *Mailbox) fresh() (fresh []uint32, text []byte, err error) {
	for i := range m.entries {
		if m.entries[i].uid == 0 {
			fresh = append(fresh, uint32(i))
		}
	}
	slices.SortFunc(fresh, func(a, b uint32) int { return byDelivery(m.base(&m.entries[a]), m.base(&m.entries[b])) })
	first := m.list.next()
	if uint64(first)+uint64(len(fresh)) > maxUID {
		return nil, nil, fmt.Errorf("%w: no UIDs are left", ErrUIDList)
	}
	for i, at := range fresh {
		text = appendRecord(text, first+uint32(i), "", string(m.base(&m.entries[at])))
	}
	return fresh, text, nil
}

// appendList adds records to the list and reads them back, so that what is in
// memory is what the file says.
func (m *Mailbox) appendList(lock *listLock, text []byte) error {
	lock.touch()
	if err := lock.held(); err != nil {
		return err
	}
	if err := m.list.append(text, !m.s.c.NoSync); err != nil {
		return err
	}
	return m.list.read(m.buf, m.record)
}

// byDelivery orders names as Dovecot does: by seconds, microseconds, name.
func byDelivery(a, b []byte) int {
	as, am := deliveryTime(a)
	bs, bm := deliveryTime(b)
	return cmp.Or(cmp.Compare(as, bs), cmp.Compare(am, bm), bytes.Compare(a, b))
}

func deliveryTime(name []byte) (seconds, micros uint64) {
	seconds, name = leadingNumber(name)
	if len(name) > 2 && name[0] == '.' && name[1] == 'M' {
		micros, _ = leadingNumber(name[2:])
	}
	return seconds, micros
}

func leadingNumber(b []byte) (n uint64, rest []byte) {
	for len(b) > 0 && b[0] >= '0' && b[0] <= '9' && n < 1<<59 {
		n, b = n*10+uint64(b[0]-'0'), b[1:]
	}
	return n, b
}
