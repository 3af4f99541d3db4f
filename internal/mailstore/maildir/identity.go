package maildir

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Identity is what a folder's uid list says of the folder itself. Zero values
// change nothing.
type Identity struct {
	GUID     string // 32 hex digits
	Validity uint32 // UIDVALIDITY: clients drop all they know of the folder
	MinNext  uint32 // the next UID is at least this
}

// IsGUID says whether text can be a folder's GUID.
func IsGUID(text string) bool { return isGUID128([]byte(text)) }

// Identify changes a folder's identity.
func (s *Store) Identify(name string, id Identity) error {
	if id.GUID != "" && !IsGUID(id.GUID) {
		return fmt.Errorf("%w: a GUID has 32 hexadecimal digits", ErrFolder)
	}
	if _, err := s.place(name); err != nil {
		return err
	}
	m, err := s.Open(name)
	if err != nil {
		return err
	}
	defer m.Close()
	lock, err := s.lockList(m.control)
	if err != nil {
		return err
	}
	defer lock.release()
	if err := m.currentList(lock); err != nil {
		return err
	}
	h := &m.list.header
	old := *h
	if id.GUID != "" {
		h.guid = strings.ToLower(id.GUID)
	}
	if id.Validity != 0 {
		h.validity = id.Validity
	}
	h.next = max(h.next, id.MinNext)
	if *h == old {
		return nil
	}
	if err := lock.held(); err != nil {
		return err
	}
	if h.validity != old.validity {
		// Dates of the UIDs of another time, should the number come back.
		unix.Unlinkat(m.control, savedName, 0)
		m.validity = h.validity
	}
	return s.rewriteList(m.control, &m.list, m.buf, nil)
}
