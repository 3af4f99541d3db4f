package maildir

import (
	"fmt"
	"strings"
)

// NewFolder says how Create makes a folder.
type NewFolder struct {
	GUID      string // 32 hex digits, or "" for one that its first reader gives
	Subscribe bool
}

// Create makes a folder and the levels above it that the layout needs. A name
// that ends with the separator is, in LAYOUT=fs, a level without mail.
func (s *Store) Create(name string, n NewFolder) error {
	cut, level := strings.CutSuffix(name, s.c.Separator)
	if level && (cut == "" || cut+s.c.Separator == s.c.Prefix) {
		cut, level = name, false // the separator alone, or the namespace itself
	}
	parts, err := s.place(cut)
	switch {
	case err != nil:
		return err
	case parts == nil:
		return ErrExists
	case hasWildcard(parts):
		return badName("Contains wildcard characters")
	}
	if err := s.create(parts, level && s.c.FS); err != nil {
		return err
	}
	if n.GUID != "" && !(level && s.c.FS) {
		if err := s.Identify(cut, Identity{GUID: n.GUID}); err != nil {
			return err
		}
	}
	if n.Subscribe {
		if err := s.subscribe(parts); err != nil {
			return fmt.Errorf("made, but not subscribed: %w", err)
		}
	}
	return nil
}

func (s *Store) create(parts []string, level bool) error {
	dir, made, err := s.walk(parts, true)
	if err != nil {
		return err
	}
	f := Folder{Name: s.full(parts), dir: dir, s: s, tmp: -1, new: -1, mayMake: true}
	defer f.Close()
	if level {
		if !made {
			return ErrExists
		}
		return nil
	}
	if !made && !(s.c.FS && !f.hasCur()) {
		return ErrExists
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("mailbox %s: %w", f.Name, err)
	}
	if !s.c.FS {
		return f.mark()
	}
	return nil
}
