package maildir

import (
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Appended is a message to put into a Mailbox.
type Appended struct {
	Body     io.Reader // any error but io.EOF: nothing is saved
	Flags    Flags
	Keywords []string
	Received time.Time // zero: now
	GUID     string    // "": the message is a new one
	AtLeast  int64     // so many bytes of it will be stored; 0: who knows
}

// Append saves a message and gives its UID. When it returns without error the
// message is durable. It is not among the Mailbox's messages until that is
// opened anew.
func (m *Mailbox) Append(a Appended) (uid uint32, err error) {
	if a.GUID != "" && !isFieldValue(a.GUID) {
		return 0, fmt.Errorf("GUID %q is impossible", a.GUID)
	}
	letters, err := m.letters(a.Keywords, true)
	if err != nil {
		return 0, err
	}
	u, err := m.s.usage(m.Folder)
	if err != nil {
		return 0, err
	}
	defer u.close()
	if err := u.room(max(1, a.AtLeast)); err != nil {
		return 0, err // before a large message is written in vain
	}
	fd, name, err := m.create()
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	n := newcomer{tmp: name, info: infoOf(a.Flags, letters)}
	if err = m.writeBody(fd, a, &n); err == nil {
		err = u.room(n.size)
	}
	if err == nil {
		err = m.settle([]newcomer{n}, func(got []uint32) { uid = got[0] })
	}
	if err != nil {
		unix.Unlinkat(m.tmp, name, 0)
		return 0, err
	}
	u.add(n.size, 1)
	return uid, nil
}

// SizeOf is the size that a text would have here.
func (m *Mailbox) SizeOf(body io.Reader) (int64, error) {
	w, err := m.writeText(-1, body)
	return w.size, err
}

func (m *Mailbox) writeText(fd int, body io.Reader) (lineWriter, error) {
	w := lineWriter{fd: fd, crlf: m.s.c.CRLF, buf: make([]byte, 0, 32<<10)}
	in := make([]byte, 32<<10)
	for {
		got, err := body.Read(in)
		if err := w.add(in[:got]); err != nil {
			return w, classed("write to", m.Folder.Name, err)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return w, fmt.Errorf("read message: %w", err)
		}
	}
	if err := w.end(); err != nil {
		return w, classed("write to", m.Folder.Name, err)
	}
	return w, nil
}

// writeBody writes the text into tmp/, durably, and says what it shall be
// called.
func (m *Mailbox) writeBody(fd int, a Appended, n *newcomer) error {
	w, err := m.writeText(fd, a.Body)
	if err != nil {
		return err
	}
	n.size = w.size
	n.unique = func(base string) string { return sizedName(base, w.size, w.virtual) }
	n.base = n.unique(n.tmp)
	if a.GUID != "" {
		n.fields = " G" + a.GUID
	}
	if !a.Received.IsZero() {
		if err := setReceived(fd, a.Received); err != nil {
			return classed("set the date of a message in", m.Folder.Name, err)
		}
	}
	if m.s.c.NoSync {
		return nil
	}
	if err := fsync(fd); err != nil {
		return classed("fsync in", m.Folder.Name, err)
	}
	return nil
}

func setReceived(fd int, t time.Time) error {
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(t.UnixNano())}
	return futimens(fd, &ts)
}

// newcomer is a file in tmp/ that waits for its name and its UID.
type newcomer struct {
	tmp    string
	base   string                   // as it is wished
	info   string                   // ":2,FLAGS", "" for new/
	fields string                   // of its record
	size   int64                    // what it counts for the quota
	unique func(base string) string // another name, from one that nobody has
	// renamed are the fields of one that could not have the base name that it
	// wished; "": they stay.
	renamed string

	at   int // the directory it went to
	name string
}

func infoOf(f Flags, keywords uint32) string {
	if f == 0 && keywords == 0 {
		return ""
	}
	return string(withFlags(nil, f, keywords))
}

// settle gives files names and UIDs under the lock: rename, fsync of the
// directory, the list, in Dovecot's order (spec/maildir.md 7). Either all are
// in the folder, or none.
func (m *Mailbox) settle(all []newcomer, done func(uids []uint32)) (err error) {
	lock, err := m.s.lockList(m.control)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := m.currentList(lock); err != nil {
		return err
	}
	first := m.list.next()
	if uint64(first)+uint64(len(all)) > maxUID {
		return fmt.Errorf("%w: no UIDs are left", ErrUIDList)
	}
	placed := 0
	defer func() {
		if err == nil {
			return
		}
		for _, n := range all[:placed] {
			unix.Unlinkat(n.at, n.name, 0)
		}
	}()
	if err := m.readTaken(); err != nil {
		return err
	}
	for i := range all {
		if err := m.place(&all[i]); err != nil {
			return classed("name a message in", m.Folder.Name, err)
		}
		placed++
	}
	if err := m.syncPlaced(all); err != nil {
		return err
	}
	var text []byte
	uids := make([]uint32, len(all))
	for i, n := range all {
		uids[i] = first + uint32(i)
		text = appendRecord(text, uids[i], n.fields, n.base)
	}
	if err := m.appendList(lock, text); err != nil {
		return err
	}
	m.addSaved(uids, m.s.c.Now())
	done(uids)
	return nil
}

// place renames one file out of tmp/.
func (m *Mailbox) place(n *newcomer) error {
	n.at = m.new
	if n.info != "" {
		n.at = m.cur
	}
	for range tries {
		if !m.isTaken(n.base) {
			n.name = n.base + n.info
			err := moveNew(m.tmp, n.tmp, n.at, n.name)
			if err == nil {
				m.take([]byte(n.base)) // the next of this batch may wish for the same
			}
			if err != unix.EEXIST {
				return err
			}
		}
		n.base = n.unique(m.s.uniqueName())
		if n.renamed != "" {
			n.fields, n.renamed = n.renamed, ""
		}
	}
	return unix.EEXIST
}

func (m *Mailbox) syncPlaced(all []newcomer) error {
	for _, at := range []int{m.new, m.cur} {
		for _, n := range all {
			if n.at != at {
				continue
			}
			if err := m.s.sync(at, m.Folder.Name); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// readTaken reads which base names the list has, also those of messages that
// are gone: a file of such a name would get the UID that clients saw expunged.
// Hashes will do, as a name that is wrongly held for taken costs nothing.
func (m *Mailbox) readTaken() error {
	if m.taken != nil {
		return nil
	}
	m.taken, m.takenSeed = make(map[uint64]struct{}, m.list.count), maphash.MakeSeed()
	all := uidList{fd: m.list.fd}
	return all.read(m.buf, m.record)
}

func (m *Mailbox) take(base []byte) { m.taken[maphash.Bytes(m.takenSeed, base)] = struct{}{} }

func (m *Mailbox) isTaken(base string) bool {
	_, ok := m.taken[maphash.String(m.takenSeed, base)]
	return ok
}

// isFieldValue: what may stand in the uid list behind its letter.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 255
}
