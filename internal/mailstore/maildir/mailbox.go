package maildir

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrGone says that another program expunged the message. That is normal.
var ErrGone = errors.New("message was expunged")

// Mailbox is one folder, open for reading and changing: its messages as they
// were when it was opened, in the order of their UIDs. Other programs go on
// changing the folder; what a message is now shows when it is touched.
//
// It keeps about 40 bytes and the file name of each message.
type Mailbox struct {
	*Folder
	inside  string // the name without the prefix; "" for the INBOX
	cur     int
	control int // directory of the uid list and the keywords
	index
	list      uidList
	keywords  keywords
	namedAt   uint16 // the scan after which the keywords were read
	validity  uint32 // of the messages' UIDs
	saved     savedDates
	loaded    bool                // all messages have their places
	taken     map[uint64]struct{} // hashes of all base names, once something was copied
	takenSeed maphash.Seed        // an owner cannot know it
	uncounted counts              // what was expunged and is not in maildirsize yet
	buf       []byte
	head      []byte   // of the next message that is opened
	times     dirTimes // of the last quiet scan
	quietAt   uint16   // and its pass
}

// Entry is what the index says about one message.
type Entry struct {
	UID      uint32
	Flags    Flags
	Keywords uint32 // bit 0 is letter a
	Recent   bool   // still in new/: no session has taken it
}

// Open opens a folder by the name that the user's mail program shows, with
// prefix and separator of the namespace. It reads new/, cur/ and the uid list;
// files that have no UID get one, under the list's lock.
func (s *Store) Open(name string) (*Mailbox, error) {
	inside, err := s.withoutPrefix(name)
	if err != nil {
		return nil, err
	}
	f, err := s.Folder(inside, Create{})
	if err != nil {
		return nil, err
	}
	m := &Mailbox{Folder: f, cur: -1, control: -1, list: uidList{fd: -1}}
	if inside != "" && s.isInbox(inside) {
		inside = ""
	}
	m.inside = inside
	if err := m.load(); err != nil {
		m.Close()
		return nil, fmt.Errorf("mailbox %s: %w", f.Name, err)
	}
	return m, nil
}

// withoutPrefix gives the name inside the namespace; "" is the INBOX.
func (s *Store) withoutPrefix(name string) (string, error) {
	if strings.EqualFold(name, "INBOX") {
		return "", nil
	}
	inside, ok := strings.CutPrefix(name, s.c.Prefix)
	if !ok || inside == "" {
		return "", fmt.Errorf("%w: %s", ErrNoFolder, name)
	}
	return inside, nil
}

// Close gives the Mailbox's descriptors back, and writes down what saved dates
// it found out.
func (m *Mailbox) Close() {
	if m.dir < 0 {
		return
	}
	m.keepSavedDates(savedLockWait)
	m.writeUncounted()
	m.list.close()
	for _, fd := range []int{m.cur, m.control} {
		if fd >= 0 && fd != m.dir {
			unix.Close(fd)
		}
	}
	m.cur, m.control = -1, -1
	m.Folder.Close()
}

// GUID is the folder's own, 32 hexadecimal digits.
func (m *Mailbox) GUID() string        { return m.list.header.guid }
func (m *Mailbox) UIDValidity() uint32 { return m.validity }

// UIDNext is above every UID that was ever given.
func (m *Mailbox) UIDNext() uint32 { return m.list.next() }
func (m *Mailbox) Len() int        { return len(m.entries) }

// Entry gives message i; its sequence number is i+1.
func (m *Mailbox) Entry(i int) Entry {
	e := &m.entries[i]
	return Entry{e.uid, e.flags, e.keywords, e.inNew}
}

// Base is the message's name as it stays, whatever its flags.
func (m *Mailbox) Base(i int) string { return string(m.base(&m.entries[i])) }

// Find gives the place of a UID.
func (m *Mailbox) Find(uid uint32) (i int, ok bool) {
	return slices.BinarySearchFunc(m.entries, uid, func(e entry, uid uint32) int {
		return int(int64(e.uid) - int64(uid))
	})
}

// load reads everything that the name, the directories and the list say.
func (m *Mailbox) load() (err error) {
	if m.cur, err = openDir(m.dir, "cur"); err == unix.ENOENT {
		m.cur, err = m.s.makeDir(m.dir, "cur", m.perm)
	}
	if err != nil {
		return classedOnce("open", "cur", err)
	}
	if m.control, err = m.s.controlOf(m.Folder, m.inside); err != nil {
		return err
	}
	if _, err := m.scan(true); err != nil {
		return err
	}
	if err := m.number(); err != nil {
		return err
	}
	if err := m.compact(); err != nil {
		return err
	}
	if err := m.readKeywords(); err != nil {
		return err
	}
	m.arrange()
	return nil
}

// controlOf opens the directory of a folder's uid list and keywords.
func (s *Store) controlOf(f *Folder, inside string) (int, error) {
	if s.c.Control == s.c.Root {
		return f.dir, nil
	}
	at, err := s.controlDir()
	if err != nil {
		return -1, err
	}
	names, err := s.besideNames(inside)
	if err != nil {
		unix.Close(at)
		return -1, err
	}
	for _, name := range names {
		fd, err := s.makeDir(at, name, f.perm)
		unix.Close(at)
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

// below opens the folder's directory in a tree of its own: CONTROL= or INDEX=.
func (s *Store) below(tree, inside string) (int, error) {
	names, err := s.besideNames(inside)
	if err != nil {
		return -1, err
	}
	at, err := openDir(unix.AT_FDCWD, tree)
	for _, name := range names {
		if err != nil {
			return -1, err
		}
		above := at
		at, err = openDir(above, name)
		unix.Close(above)
	}
	return at, err
}

// besideNames gives the directories of a folder in a tree that is not the
// mail's: there the INBOX has a name like all others.
func (s *Store) besideNames(inside string) ([]string, error) {
	if inside == "" {
		return s.onDisk([]string{"INBOX"}), nil
	}
	parts, err := s.parts(inside)
	if err != nil {
		return nil, err
	}
	return s.onDisk(parts), nil
}

// arrange puts the messages into the order of their UIDs, which is that of the
// list. A message that the list has twice has its place where the later record
// is.
func (m *Mailbox) arrange() {
	sorted := make([]entry, 0, len(m.entries))
	for _, i := range m.order {
		e := &m.entries[i]
		if e.uid != 0 {
			sorted = append(sorted, *e)
		}
	}
	if !slices.IsSortedFunc(sorted, byUID) || hasTwice(sorted) {
		slices.SortFunc(sorted, byUID)
		sorted = slices.CompactFunc(sorted, func(a, b entry) bool { return a.uid == b.uid })
	}
	m.entries, m.order = sorted, nil
	m.table = nil // made again when it is needed
	m.loaded, m.validity = true, m.list.header.validity
}

func byUID(a, b entry) int { return cmp.Compare(a.uid, b.uid) }

func hasTwice(sorted []entry) bool {
	for i := 1; i < len(sorted); i++ {
		if sorted[i-1].uid == sorted[i].uid {
			return true
		}
	}
	return false
}
