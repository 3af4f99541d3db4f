package maildir

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// Change is what happens to the flags and keywords of a message.
type Change struct {
	Replace        bool // all others go; Add is what stays
	Add, Remove    Flags
	AddKeywords    []string
	RemoveKeywords []string
}

// SetFlags changes the flags of message i by renaming its file. What others
// changed meanwhile stays, but for what the Change names.
func (m *Mailbox) SetFlags(i int, c Change) error {
	add, err := m.letters(c.AddKeywords, true)
	if err != nil {
		return err
	}
	remove, err := m.letters(c.RemoveKeywords, false)
	if err != nil {
		return err
	}
	return m.onFile(i, func(at int, name []byte) error {
		flags, keywords := m.entries[i].flags, m.entries[i].keywords
		if c.Replace {
			flags, keywords = 0, 0
		}
		flags = flags&^c.Remove | c.Add
		keywords = keywords&^remove | add
		if m.entries[i].flags == flags && m.entries[i].keywords == keywords {
			return nil
		}
		to := withFlags(name, flags, keywords)
		if len(to) > 255 {
			return unix.ENAMETOOLONG
		}
		if bytes.Equal(to, name) && at == m.cur {
			return nil
		}
		if err := moveNew(at, string(name), m.cur, string(to)); err != nil {
			return err
		}
		return m.rename(i, to)
	})
}

// Expunge removes message i.
func (m *Mailbox) Expunge(i int) error {
	size, known := m.nameSize(i)
	err := m.onFile(i, func(at int, name []byte) error {
		if !known && m.s.c.Quota != nil {
			var st unix.Stat_t
			if err := unix.Fstatat(at, string(name), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return err
			}
			size = st.Size
		}
		return unix.Unlinkat(at, string(name), 0)
	})
	if err != nil {
		return err
	}
	m.entries[i].pass = passGone
	m.uncount(size)
	return nil
}

// passGone marks a message that is known to be gone.
const passGone = 0

// rename notes the new name of message i, in cur/.
func (m *Mailbox) rename(i int, name []byte) error {
	e := &m.entries[i]
	if err := m.setName(e, name); err != nil {
		return err
	}
	e.flags, e.keywords = parseInfo(name[e.baseLen:])
	e.inNew = false
	return nil
}

// onFile calls do with the directory and the name of message i, and again when
// another program renamed the file meanwhile.
func (m *Mailbox) onFile(i int, do func(at int, name []byte) error) error {
	for range tries {
		e := &m.entries[i]
		if e.pass == passGone {
			return ErrGone
		}
		at := m.cur
		if e.inNew {
			at = m.new
		}
		name := bytes.Clone(m.name(e))
		err := do(at, name)
		if err != unix.ENOENT {
			return classedOnce("change", m.Folder.Name, err)
		}
		if err := m.again(i); err != nil {
			return err
		}
	}
	if int(m.entries[i].pass)+maxPasses < int(m.pass) {
		return m.gone(i) // the folder never stood still, but nobody saw it for long
	}
	return classed("find", m.Base(i), unix.ENOENT)
}

// again looks for the new names of all messages at once: whoever renamed one
// has often renamed a thousand.
func (m *Mailbox) again(i int) error {
	if now, _ := m.dirTimes(); m.quietAt == m.pass && now == m.times && m.entries[i].pass != m.pass {
		return m.gone(i)
	}
	if m.pass > 1<<16-1-2*maxPasses {
		m.restartPasses()
	}
	quiet, err := m.scan(false)
	if err != nil {
		return err
	}
	if quiet && m.entries[i].pass != m.pass {
		return m.gone(i)
	}
	return nil
}

func (m *Mailbox) gone(i int) error {
	m.entries[i].pass = passGone
	return ErrGone
}

// restartPasses keeps the counter of scans in its 16 bits.
func (m *Mailbox) restartPasses() {
	for i := range m.entries {
		if m.entries[i].pass != passGone {
			m.entries[i].pass = 1
		}
	}
	m.pass, m.quietAt, m.namedAt = 1, 0, 0
}
