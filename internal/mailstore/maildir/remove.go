package maildir

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// What is being removed is first renamed into a directory that no reader
	// takes for a folder: Dovecot's own name for it, so that it passes over it,
	// and clears it after a crash.
	trashFlat = "..DOVECOT-TRASHED"
	trashTree = "DOVECOT-TRASHED"
	// trashStale is when whoever moved something there is gone.
	trashStale = time.Hour

	removeTries = 8
)

// Delete removes a folder and its mail, and tells how many messages those were;
// onlyEmpty refuses one that has any. Its
// name is gone in one step: a delivery finds the folder whole or not at all. One
// that had it open already fails and comes again, as tmp/ is cleared first.
func (s *Store) Delete(name string, onlyEmpty bool) (messages int64, err error) {
	parts, err := s.place(name)
	switch {
	case err != nil:
		return 0, err
	case parts == nil:
		return 0, refused(ErrFolder, "INBOX can't be deleted.")
	}
	root, err := s.rootDir()
	if errors.Is(err, unix.ENOENT) {
		return 0, s.missing(parts)
	} else if err != nil {
		return 0, err
	}
	r := removal{s: s, root: root, parts: parts, onlyEmpty: onlyEmpty}
	err = r.run()
	return r.gone.messages, err
}

func (s *Store) missing(parts []string) error {
	return fmt.Errorf("%w: %s", ErrNoFolder, s.full(parts))
}

// removal is one folder on its way out.
type removal struct {
	s         *Store
	root      int
	parts     []string
	onlyEmpty bool
	gone      counts // messages that were removed
}

func (r *removal) run() error {
	s := r.s
	at, name, err := s.above(r.root, r.parts)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	dir, err := openDir(at, name)
	if err == unix.ENOENT {
		return s.missing(r.parts)
	} else if err != nil {
		return classed("open", name, err)
	}
	defer unix.Close(dir)
	if s.c.FS && !isDirectory(dir, "cur") {
		return r.removeLevel(at, name)
	}
	if r.onlyEmpty {
		if empty, err := isEmpty(dir); err != nil || !empty {
			return cmp.Or(err, ErrNotEmpty)
		}
	}
	u, err := s.usage(&Folder{Name: s.full(r.parts)})
	if err != nil {
		return err
	}
	defer u.close()
	if err := r.trash(at, name, dir); err != nil {
		return err
	}
	if r.gone.messages > 0 {
		u.add(-r.gone.bytes, -r.gone.messages)
	}
	return s.eachMirror(func(top int) error { return s.removeMirror(top, r.parts) })
}

// removeLevel removes a directory of LAYOUT=fs that has no mail of its own.
func (r *removal) removeLevel(at int, name string) error {
	switch err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err {
	case unix.ENOTEMPTY, unix.EEXIST:
		return refused(ErrFolder, "Mailbox has children, delete them first")
	default:
		return classed("rmdir", name, err)
	}
}

// trash moves the folder away, looks again whether it may go, and removes it.
func (r *removal) trash(at int, name string, dir int) error {
	s := r.s
	trashName := trashFlat
	if s.c.FS {
		trashName = trashTree
	}
	// Dovecot removes the directory as soon as it is empty, even between our making
	// it and our use of it.
	for range removeTries {
		trash, err := s.makeDir(r.root, trashName, perm{dir: privateDir, gid: -1})
		if err != nil {
			return err
		}
		aside := s.uniqueName()
		if s.c.FS {
			err = r.takeParts(dir, trash, aside)
		} else {
			err = renameNew(at, name, trash, aside)
		}
		if err == nil {
			err = r.destroy(trash, aside, at, name, dir)
			s.sync(at, name)
		}
		clearStale(trash, s.c.Now())
		unix.Close(trash)
		unix.Unlinkat(r.root, trashName, unix.AT_REMOVEDIR)
		if s.c.FS {
			unix.Unlinkat(at, name, unix.AT_REMOVEDIR) // unless it has children
		}
		if err != unix.ENOENT {
			return classedOnce("remove", s.full(r.parts), err)
		}
		if !isDirectory(at, name) {
			return s.missing(r.parts)
		}
	}
	return fmt.Errorf("another program removes folders as well: %w", unix.EAGAIN)
}

// takeParts moves what makes a directory of LAYOUT=fs a mailbox; folders below it
// stay.
func (r *removal) takeParts(dir, trash int, aside string) error {
	if err := unix.Mkdirat(trash, aside, privateDir); err != nil {
		return err
	}
	to, err := openDir(trash, aside)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	var names []string
	err = eachName(dir, make([]byte, 16<<10), func(name string) error {
		if name != "." && name != ".." && (checkFSPart(name) != nil || !isDirectory(dir, name)) {
			names = append(names, name)
		}
		if len(names) > maxFolders {
			return errFolders
		}
		return nil
	})
	if err != nil {
		return err
	}
	// cur first: a delivery that finds something missing makes all of it, and so
	// the mailbox is whole again.
	names = slices.DeleteFunc(names, func(n string) bool { return n == "cur" })
	for _, name := range slices.Concat([]string{"cur"}, names) {
		if err := renameNew(dir, name, to, name); err != nil && err != unix.ENOENT {
			return err
		}
	}
	return nil
}

// destroy removes what lies in the trash, or puts it back.
func (r *removal) destroy(trash int, aside string, at int, name string, dir int) error {
	if r.onlyEmpty {
		err := r.destroyEmpty(trash, aside)
		if err != nil {
			err = errors.Join(err, r.putBack(trash, aside, at, name, dir))
		}
		return err
	}
	box, err := openDir(trash, aside)
	if err != nil {
		return err
	}
	// A delivery that is under way has its file in tmp/ still: it fails, and nobody
	// was told that the mail is safe.
	for _, sub := range []string{"tmp", "new", "cur"} {
		r.empty(box, sub)
	}
	unix.Close(box)
	return removeAll(trash, aside, maxDepth)
}

// destroyEmpty removes all but mail. A delivery that has the folder open may still
// make new/ again and put mail there: only when the folder's own directory is gone
// can none come any more.
func (r *removal) destroyEmpty(trash int, aside string) error {
	for range removeTries {
		if err := r.emptied(trash, aside); err != nil {
			return err
		}
		box, err := openDir(trash, aside)
		if err != nil {
			return err
		}
		err = eachName(box, make([]byte, 16<<10), func(name string) error {
			if name == "." || name == ".." || name == "new" || name == "cur" {
				return nil
			}
			return removeAll(box, name, maxDepth)
		})
		unix.Close(box)
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(trash, aside, unix.AT_REMOVEDIR); err != unix.ENOTEMPTY && err != unix.EEXIST {
			return err
		}
	}
	return ErrNotEmpty
}

// emptied proves that no mail came in between: only an empty directory can be
// removed.
func (r *removal) emptied(trash int, aside string) error {
	box, err := openDir(trash, aside)
	if err != nil {
		return err
	}
	defer unix.Close(box)
	for _, sub := range []string{"new", "cur"} {
		err := unix.Unlinkat(box, sub, unix.AT_REMOVEDIR)
		if err == unix.ENOTEMPTY || err == unix.EEXIST {
			if err = clearHidden(box, sub); err == nil {
				err = unix.Unlinkat(box, sub, unix.AT_REMOVEDIR)
			}
		}
		switch err {
		case nil, unix.ENOENT:
		case unix.ENOTEMPTY, unix.EEXIST:
			return ErrNotEmpty
		default:
			return err
		}
	}
	return nil
}

// clearHidden removes files that are no mail.
func clearHidden(box int, sub string) error {
	fd, err := openDir(box, sub)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return eachName(fd, make([]byte, 4<<10), func(name string) error {
		if name[0] != '.' {
			return ErrNotEmpty
		}
		unix.Unlinkat(fd, name, 0)
		return nil
	})
}

// putBack undoes the renames. Where a delivery has made the folder anew meanwhile,
// the mail joins what came there.
func (r *removal) putBack(trash int, aside string, at int, name string, dir int) error {
	if !r.s.c.FS {
		err := renameNew(trash, aside, at, name)
		if err == nil {
			remakeParts(dir)
		}
		if err != unix.EEXIST {
			return err
		}
		if dir, err = openDir(at, name); err != nil {
			return err
		}
		defer unix.Close(dir)
	}
	box, err := openDir(trash, aside)
	if err != nil {
		return err
	}
	defer unix.Close(box)
	defer remakeParts(dir)
	return merge(box, dir, 2)
}

// merge moves what is in one directory to another. Of what both have, only
// directories matter: two messages never have one name.
func merge(from, to, depth int) error {
	var names []string
	err := eachName(from, make([]byte, 16<<10), func(name string) error {
		if name != "." && name != ".." {
			names = append(names, name)
		}
		if len(names) > maxFolders {
			return errFolders
		}
		return nil
	})
	for _, name := range names {
		moved := renameNew(from, name, to, name)
		if moved == unix.EEXIST && depth > 1 && isDirectory(from, name) && isDirectory(to, name) {
			moved = mergeDir(from, to, name, depth-1)
		} else if moved == unix.EEXIST {
			moved = nil
		}
		err = errors.Join(err, moved)
	}
	return err
}

func mergeDir(from, to int, name string, depth int) error {
	a, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer unix.Close(a)
	b, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer unix.Close(b)
	return merge(a, b, depth)
}

// remakeParts makes what emptied took away, as private as can be; a save gives
// nothing away by that.
func remakeParts(dir int) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		p, err := permOf(dir)
		if err == nil && unix.Mkdirat(dir, sub, privateDir) == nil {
			if fd, err := openDir(dir, sub); err == nil {
				p.apply(fd, p.dir, privateDir)
				unix.Close(fd)
			}
		}
	}
}

// empty unlinks the messages of one directory and counts them.
func (r *removal) empty(box int, sub string) {
	fd, err := openDir(box, sub)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	eachName(fd, make([]byte, 32<<10), func(name string) error {
		var c census
		if sub != "tmp" {
			c.message(fd, name)
		}
		if unix.Unlinkat(fd, name, 0) == nil {
			r.gone.bytes += c.sum.bytes
			r.gone.messages += c.sum.messages
		}
		return nil
	})
}

// isEmpty looks whether a mailbox has mail.
func isEmpty(dir int) (bool, error) {
	for _, sub := range []string{"new", "cur"} {
		fd, err := openDir(dir, sub)
		if err == unix.ENOENT {
			continue
		} else if err != nil {
			return false, classed("open", sub, err)
		}
		none, err := noMail(fd)
		unix.Close(fd)
		if err != nil || !none {
			return false, err
		}
	}
	return true, nil
}

func noMail(fd int) (bool, error) {
	err := eachName(fd, make([]byte, 4<<10), func(name string) error {
		if name[0] != '.' {
			return ErrNotEmpty
		}
		return nil
	})
	if err == ErrNotEmpty {
		return false, nil
	}
	return err == nil, err
}

// clearStale removes what a crash left in the trash.
func clearStale(trash int, now time.Time) {
	var old []string
	eachName(trash, make([]byte, 4<<10), func(name string) error {
		var st unix.Stat_t
		if name != "." && name != ".." && unix.Fstatat(trash, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			now.Sub(time.Unix(st.Ctim.Unix())) > trashStale && len(old) < maxDepth {
			old = append(old, name)
		}
		return nil
	})
	for _, name := range old {
		removeAll(trash, name, maxDepth)
	}
}

// removeAll removes a file, or a directory with all that is in it, and follows no
// link. depth bounds the descriptors that a hostile tree may cost.
func removeAll(at int, name string, depth int) error {
	for range removeTries {
		err := unix.Unlinkat(at, name, 0)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EISDIR && err != unix.EPERM {
			return err
		}
		if err := clearDir(at, name, depth); err != nil {
			return err
		}
		err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.ENOTEMPTY && err != unix.EEXIST {
			return err
		}
		// Somebody put something in while we looked.
	}
	return fmt.Errorf("%s fills up while it is removed: %w", name, unix.ENOTEMPTY)
}

func clearDir(at int, name string, depth int) error {
	if depth == 0 {
		return fmt.Errorf("%s has too many levels: %w", name, unix.ENOTEMPTY)
	}
	fd, err := openDir(at, name)
	if err == unix.ENOENT {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	return eachName(fd, make([]byte, 16<<10), func(n string) error {
		return removeAll(fd, n, depth-1)
	})
}

// eachMirror calls f with the roots that are not the mail's: what Dovecot keeps
// of a folder apart goes where the folder goes.
func (s *Store) eachMirror(f func(top int) error) error {
	done := map[string]bool{s.c.Root: true}
	for _, path := range []string{s.c.Control, s.c.Index} {
		if done[path] {
			continue
		}
		done[path] = true
		fd, err := openDir(unix.AT_FDCWD, path)
		if err == unix.ENOENT {
			continue
		} else if err != nil {
			return classed("open", path, err)
		}
		err = f(fd)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// removeMirror removes the files of one folder, and in LAYOUT=fs not the folders
// below it.
func (s *Store) removeMirror(top int, parts []string) error {
	at, name, err := s.above(top, parts)
	if errors.Is(err, ErrNoFolder) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(at)
	if !s.c.FS {
		return classed("remove", name, removeAll(at, name, maxDepth))
	}
	dir, err := openDir(at, name)
	if err != nil {
		return nil
	}
	defer unix.Close(dir)
	eachName(dir, make([]byte, 16<<10), func(n string) error {
		if !isDirectory(dir, n) {
			unix.Unlinkat(dir, n, 0)
		}
		return nil
	})
	unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
	return nil
}
