package maildir

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Rename gives a folder, and those below it, another name. Each directory changes
// in one step and never in place of another; in Maildir++ each folder is a
// directory of its own, and when one cannot, those before it go back.
func (s *Store) Rename(from, to string) error {
	old, err := s.place(from)
	if err != nil {
		return err
	}
	fresh, err := s.place(to)
	switch {
	case err != nil:
		return err
	case old == nil:
		return refused(ErrFolder, "Renaming INBOX isn't supported.")
	case slices.Equal(old, fresh):
		return refused(ErrFolder, "Can't rename mailbox to itself.")
	case fresh == nil:
		return errTargetExists
	case hasWildcard(fresh):
		return badName("Contains wildcard characters")
	}
	root, err := s.rootDir()
	if errors.Is(err, unix.ENOENT) {
		return s.missing(old)
	} else if err != nil {
		return err
	}
	if s.c.FS {
		err = s.renameTree(root, old, fresh)
	} else {
		err = s.renameFlat(root, old, fresh)
	}
	if err != nil {
		return err
	}
	// Mail may have moved between what counts and what does not.
	if q := s.c.Quota; q != nil && q.ignoresAny() {
		if err := s.Recount(); err != nil {
			s.warnf("%s: %v", sizeFileName, err)
		}
	}
	return nil
}

var errTargetExists = refused(ErrExists, "Target mailbox already exists")

// move is one directory's way.
type move struct{ from, to string }

// renameFlat renames the folder's directory, if it has one, and those of all
// folders below it.
func (s *Store) renameFlat(root int, old, fresh []string) error {
	moves, err := s.flatMoves(root, old, fresh)
	if err != nil {
		return err
	}
	for _, m := range moves {
		var st unix.Stat_t
		if unix.Fstatat(root, m.to, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && !slices.ContainsFunc(moves, func(n move) bool { return n.from == m.to }) {
			return errTargetExists
		}
	}
	if err := renameAll(root, moves); err != nil {
		return err
	}
	if err := s.sync(root, s.full(fresh)); err != nil {
		return err
	}
	return s.eachMirror(func(top int) error {
		for _, m := range moves {
			if err := renameNew(top, m.from, top, m.to); err != nil && err != unix.ENOENT {
				// Dovecot makes its indexes anew; an old uidlist there would be wrong.
				return classed("rename", m.from, err)
			}
		}
		return nil
	})
}

// flatMoves lists the directories, in an order in which no one stands in the way
// of another: a folder that moves below itself goes last.
func (s *Store) flatMoves(root int, old, fresh []string) ([]move, error) {
	var list [][]string
	err := eachName(root, make([]byte, 32<<10), func(name string) error {
		if !isFolderDir(name) {
			return nil
		}
		parts := s.partsOf(name)
		if (slices.Equal(parts, old) || isBelow(parts, old)) && s.onDisk(parts)[0] == name && isDirectory(root, name) {
			list = append(list, parts)
		}
		if len(list) > maxFolders {
			return errFolders
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, s.missing(old)
	}
	slices.SortFunc(list, slices.Compare[[]string])
	if isBelow(fresh, old) {
		slices.Reverse(list)
	}
	moves := make([]move, len(list))
	for i, parts := range list {
		to := slices.Concat(fresh, parts[len(old):])
		if _, err := s.parts(join(to, s.c.Separator)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.full(parts), err)
		}
		moves[i] = move{s.onDisk(parts)[0], s.onDisk(to)[0]}
	}
	return moves, nil
}

func renameAll(root int, moves []move) error {
	for i, m := range moves {
		err := renameNew(root, m.from, root, m.to)
		if err == nil {
			continue
		}
		for _, done := range slices.Backward(moves[:i]) {
			if back := renameNew(root, done.to, root, done.from); back != nil {
				return fmt.Errorf("rename %s: %w; and %s stays renamed: %w", m.from, err, done.to, back)
			}
		}
		if err == unix.EEXIST || err == unix.ENOTEMPTY {
			return errTargetExists
		}
		return classed("rename", m.from, err)
	}
	return nil
}

// renameTree renames one directory of LAYOUT=fs; the folders below go with it.
func (s *Store) renameTree(root int, old, fresh []string) error {
	if isBelow(fresh, old) {
		return refused(ErrFolder, "Can't rename mailbox under itself.")
	}
	at, name, err := s.above(root, old)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if !isDirectory(at, name) {
		return s.missing(old)
	}
	if err := s.renameDir(root, at, name, fresh); err != nil {
		return err
	}
	s.rmdirAbove(root, old)
	return s.eachMirror(func(top int) error {
		at, name, err := s.above(top, old)
		if errors.Is(err, ErrNoFolder) {
			return nil
		} else if err != nil {
			return err
		}
		defer unix.Close(at)
		if !isDirectory(at, name) {
			return nil
		}
		return s.renameDir(top, at, name, fresh)
	})
}

// renameDir moves a directory to a name whose upper levels it makes.
func (s *Store) renameDir(root, at int, name string, fresh []string) error {
	to := root
	if len(fresh) > 1 {
		var err error
		if to, err = s.makeLevels(root, fresh[:len(fresh)-1]); err != nil {
			return err
		}
		defer unix.Close(to)
	}
	last := s.encode(fresh[len(fresh)-1])
	switch err := renameNew(at, name, to, last); err {
	case nil:
		return s.sync(to, last)
	case unix.EEXIST, unix.ENOTEMPTY:
		s.rmdirAbove(root, fresh)
		return errTargetExists
	default:
		s.rmdirAbove(root, fresh)
		return classed("rename", name, err)
	}
}

func (s *Store) makeLevels(root int, parts []string) (int, error) {
	at := root
	for i, name := range s.encoded(parts) {
		p, err := permOf(at)
		fd := -1
		if err == nil {
			fd, err = s.makeDir(at, name, p)
		}
		if i > 0 {
			unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = fd
	}
	return at, nil
}

// rmdirAbove removes the levels above a folder that nothing needs any more.
func (s *Store) rmdirAbove(root int, parts []string) {
	for n := len(parts) - 1; n > 0; n-- {
		at, name, err := s.above(root, parts[:n])
		if err != nil {
			return
		}
		err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		unix.Close(at)
		if err != nil {
			return
		}
	}
}

// above opens the directory that holds a folder's own, and names that.
func (s *Store) above(root int, parts []string) (at int, name string, err error) {
	names := s.onDisk(parts)
	at = root
	for i, n := range names[:len(names)-1] {
		fd, err := openDir(at, n)
		if i > 0 {
			unix.Close(at)
		}
		if err == unix.ENOENT {
			return -1, "", s.missing(parts)
		} else if err != nil {
			return -1, "", classed("open", n, err)
		}
		at = fd
	}
	if at == root {
		// The caller closes what it gets.
		if at, err = again(func() (int, error) { return unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
			return -1, "", err
		}
	}
	return at, names[len(names)-1], nil
}

// renameNew renames and never replaces.
func renameNew(from int, name string, to int, fresh string) error {
	_, err := again(func() (struct{}, error) {
		return struct{}{}, unix.Renameat2(from, name, to, fresh, unix.RENAME_NOREPLACE)
	})
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	// A file system without the flag. A rename of a directory replaces an empty one
	// only, and the name was looked at before.
	var st unix.Stat_t
	if unix.Fstatat(to, fresh, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return unix.EEXIST
	}
	return unix.Renameat(from, name, to, fresh)
}
