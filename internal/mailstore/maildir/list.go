package maildir

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of a listing: whoever makes more folders than this has broken his own
// mailbox, and no worker's memory.
const (
	maxFolders = 100_000
	maxMask    = 4096
)

// Listed is one folder of a listing.
type Listed struct {
	Name     string // with prefix and separator; "INBOX" for the INBOX
	NoSelect bool   // only a level above other folders
	Missing  bool   // an auto folder that nobody has made yet

	parts []string
}

// List gives the folders that one of the masks matches; without a mask, all. The
// INBOX comes first, then the others by name, each before those below it.
func (s *Store) List(masks ...string) ([]Listed, error) {
	all := s.matcher(masks)
	if all.err != nil {
		return nil, all.err
	}
	found, err := s.folders()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(l Listed) bool { return !all.match(l.Name) }), nil
}

// Subscribed gives the subscribed folders that one of the masks matches, whether
// they exist or not, as the list of IMAP's LSUB does.
func (s *Store) Subscribed(masks ...string) ([]Listed, error) {
	all := s.matcher(masks)
	if all.err != nil {
		return nil, all.err
	}
	names, err := s.subscribed()
	if err != nil {
		return nil, err
	}
	var list []Listed
	for name := range names {
		if parts, err := s.place(name); err == nil && all.match(name) {
			list = append(list, Listed{Name: name, parts: parts})
		}
	}
	slices.SortFunc(list, byName)
	return list, nil
}

// Below gives the folders under one, deepest first: the order in which they can
// be removed.
func (s *Store) Below(name string) ([]Listed, error) {
	above, err := s.place(name)
	if err != nil {
		return nil, err
	}
	all, err := s.folders()
	if err != nil {
		return nil, err
	}
	list := all[:0]
	for _, l := range all {
		if !l.Missing && isBelow(l.parts, above) {
			list = append(list, l)
		}
	}
	slices.Reverse(list)
	return list, nil
}

func isBelow(parts, above []string) bool {
	return len(above) > 0 && len(parts) > len(above) && slices.Equal(parts[:len(above)], above)
}

// byName puts the INBOX first: it has no parts.
func byName(a, b Listed) int { return slices.Compare(a.parts, b.parts) }

// folders gives every folder of the user, sorted.
func (s *Store) folders() ([]Listed, error) {
	l := lister{s: s, found: map[string]Listed{"INBOX": {Name: "INBOX"}}, buf: make([]byte, 32<<10)}
	root, err := s.rootDir()
	switch {
	case errors.Is(err, unix.ENOENT): // nothing was ever delivered
	case err != nil:
		return nil, err
	case s.c.FS:
		err = l.tree(root, nil)
	default:
		err = l.flat(root)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	for _, a := range s.c.Auto {
		if parts, err := s.parts(a.Name); err == nil && !s.isInbox(a.Name) {
			l.auto(parts)
		}
	}
	list := make([]Listed, 0, len(l.found))
	for _, f := range l.found {
		list = append(list, f)
	}
	slices.SortFunc(list, byName)
	return list, nil
}

// lister is one walk over the directories.
type lister struct {
	s     *Store
	found map[string]Listed
	buf   []byte
}

// flat reads a Maildir++ root, where every folder is one directory.
func (l *lister) flat(root int) error {
	return l.dirs(root, isFolderDir, func(name string) error {
		parts := l.s.partsOf(name)
		if !l.valid(parts, name) || len(parts) == 1 && parts[0] == "INBOX" {
			return nil
		}
		return l.add(parts, false)
	})
}

// tree reads one level of LAYOUT=fs, and those below it.
func (l *lister) tree(at int, above []string) error {
	if len(above) >= maxDepth {
		return nil
	}
	var names []string
	isFolder := func(name string) bool { return checkFSPart(name) == nil }
	err := l.dirs(at, isFolder, func(name string) error {
		if names = append(names, name); len(names) > maxFolders {
			return errFolders
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		parts := append(above[:len(above):len(above)], l.s.decode(name))
		if !l.valid(parts, name) {
			continue
		}
		fd, err := openDir(at, name)
		if err != nil {
			continue // gone, or not ours to read
		}
		if len(parts) > 1 || parts[0] != "INBOX" {
			err = l.add(parts, !isDirectory(fd, "cur"))
		}
		if err == nil {
			err = l.tree(fd, parts)
		}
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// dirs calls f with each directory whose name may be a folder's. Most file systems
// say what an entry is without another call.
func (l *lister) dirs(at int, may func(name string) bool, f func(name string) error) error {
	if _, err := unix.Seek(at, 0, 0); err != nil {
		return err
	}
	return eachEntry(at, l.buf, func(raw []byte, kind uint8) error {
		name := string(raw)
		if !may(name) || kind != unix.DT_DIR && (kind != unix.DT_UNKNOWN || !isDirectory(at, name)) {
			return nil
		}
		return f(name)
	})
}

var errFolders = fmt.Errorf("more than %d folders", maxFolders)

// valid tells whether the name that a directory shows would lead back to it.
func (l *lister) valid(parts []string, dir string) bool {
	back, err := l.s.parts(join(parts, l.s.c.Separator))
	if err != nil {
		l.s.warnf("directory %q is no mailbox: %v", dir, err)
		return false
	}
	if names := l.s.onDisk(back); !slices.Equal(back, parts) || names[len(names)-1] != dir {
		l.s.warnf("directory %q is no mailbox: its name is not how %q is written", dir, join(parts, l.s.c.Separator))
		return false
	}
	return true
}

// add takes a folder up, and the levels above it, which need not exist.
func (l *lister) add(parts []string, noSelect bool) error {
	for i := 1; i <= len(parts); i++ {
		name := l.s.full(parts[:i])
		old, known := l.found[name]
		switch {
		case i == len(parts):
			l.found[name] = Listed{Name: name, NoSelect: noSelect, parts: parts}
		case !known && !(i == 1 && strings.EqualFold(parts[0], "INBOX")):
			l.found[name] = Listed{Name: name, NoSelect: true, parts: parts[:i:i]}
		case known && old.Missing:
			old.Missing, old.NoSelect = false, true
			l.found[name] = old
		}
	}
	if len(l.found) > maxFolders {
		return errFolders
	}
	return nil
}

// auto adds a folder that shall exist.
func (l *lister) auto(parts []string) {
	name := l.s.full(parts)
	if f, known := l.found[name]; !known || f.NoSelect {
		l.found[name] = Listed{Name: name, Missing: true, parts: parts}
	}
}

// isFolderDir tells which entries of a Maildir++ root may be folders. Nothing
// else of ours begins with two dots than what is being removed.
func isFolderDir(name string) bool { return len(name) > 1 && name[0] == '.' && name[1] != '.' }

func isDirectory(at int, name string) bool {
	var st unix.Stat_t
	return unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// partsOf gives the name that a directory of a Maildir++ root stands for.
func (s *Store) partsOf(dir string) []string {
	parts := strings.Split(dir[1:], ".")
	for i := range parts {
		parts[i] = s.decode(parts[i])
	}
	return parts
}
