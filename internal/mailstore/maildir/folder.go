package maildir

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Folder is one open mailbox.
type Folder struct {
	Name string // as the user's mail program shows it; "INBOX" for the INBOX

	s        *Store
	dir      int // the mailbox's directory
	isRoot   bool
	mayMake  bool // the parts that are missing
	tmp, new int
	perm     perm
	made     bool // this process made some of it
}

// Close gives the Folder's descriptors back.
func (f *Folder) Close() {
	for _, fd := range []int{f.dir, f.tmp, f.new} {
		if fd >= 0 && !(f.isRoot && fd == f.dir) {
			unix.Close(fd)
		}
	}
	f.dir, f.tmp, f.new = -1, -1, -1
}

// Inbox opens the INBOX and makes what is missing of it. When it is made here,
// the auto folders are too; that they fail is no reason to refuse mail.
func (s *Store) Inbox() (*Folder, error) {
	open := s.rootDir
	isRoot := s.c.Inbox == s.c.Root
	if !isRoot {
		if _, err := s.rootDir(); err != nil {
			return nil, err
		}
		open = func() (int, error) { return s.topDir(s.c.Inbox, true) }
	}
	dir, err := open()
	if err != nil {
		return nil, err
	}
	f, err := s.openFolder(Folder{Name: "INBOX", dir: dir, isRoot: isRoot, mayMake: true})
	if err != nil {
		return nil, err
	}
	if f.made {
		s.syncAbove()
		s.makeAutoFolders()
	}
	return f, nil
}

// syncAbove makes the names of a new user's root and home durable, which whoever
// started this process may have made a moment ago. What is above is not always
// ours to open.
func (s *Store) syncAbove() {
	for _, path := range []string{s.c.Inbox, s.c.Root, s.c.Home} {
		if path == "" || s.c.NoSync {
			continue
		}
		parent, _ := splitLast(path)
		if fd, err := openDir(unix.AT_FDCWD, parent); err == nil {
			fsync(fd)
			unix.Close(fd)
		}
	}
}

func (s *Store) makeAutoFolders() {
	for _, a := range s.c.Auto {
		f, err := s.Folder(a.Name, Create{Always: true, Subscribe: a.Subscribe})
		if err != nil {
			s.c.Warn(fmt.Sprintf("auto mailbox %s: %v", a.Name, err))
			continue
		}
		f.Close()
	}
}

// Create says what Folder does about one that is missing.
type Create struct {
	Always    bool // make it
	Subscribe bool // and subscribe to it when it was made
}

// Folder opens a folder by its name, which has the namespace's separator and
// not its prefix. An auto folder is made in any case.
func (s *Store) Folder(name string, c Create) (*Folder, error) {
	if s.isInbox(name) {
		return s.Inbox()
	}
	parts, err := s.parts(name)
	if err != nil {
		return nil, err
	}
	for _, a := range s.c.Auto {
		if a.Name == name {
			c.Always, c.Subscribe = true, c.Subscribe || a.Subscribe
		}
	}
	dir, made, err := s.walk(parts, c.Always)
	if err != nil {
		return nil, err
	}
	f, err := s.openFolder(Folder{Name: s.c.Prefix + name, dir: dir, mayMake: c.Always})
	if err != nil {
		return nil, err
	}
	if made && !s.c.FS {
		if err := f.mark(); err != nil {
			f.Close()
			return nil, err
		}
	}
	if (made || f.made) && c.Subscribe {
		if err := s.subscribe(parts); err != nil {
			s.c.Warn(fmt.Sprintf("subscribe to %s: %v", f.Name, err))
		}
	}
	return f, nil
}

// walk opens the directory of a folder, component by component.
func (s *Store) walk(parts []string, create bool) (fd int, made bool, err error) {
	at, err := s.rootDir()
	if err != nil {
		return -1, false, err
	}
	names := s.onDisk(parts)
	if create && hasWildcard(parts) {
		create = false // IMAP could never select it by LIST
	}
	for i, name := range names {
		fd, err = openDir(at, name)
		if err == unix.ENOENT && create {
			var p perm
			if p, err = permOf(at); err == nil {
				fd, err = s.makeDir(at, name, p)
				made = i == len(names)-1
			}
		}
		if i > 0 {
			unix.Close(at)
		}
		switch {
		case err == unix.ENOENT:
			return -1, false, fmt.Errorf("%w: %s", ErrNoFolder, s.c.Prefix+join(parts, s.c.Separator))
		case err != nil:
			return -1, false, classedOnce("open", name, err)
		}
		at = fd
	}
	return at, made, nil
}

func classedOnce(op, name string, err error) error {
	if _, bare := err.(unix.Errno); bare {
		return classed(op, name, err)
	}
	return err
}

// openFolder opens the parts of a mailbox whose directory is open, and makes
// what is missing. The order of making is cur, new, tmp: where tmp and new are,
// cur is, so that the usual save need not look.
func (s *Store) openFolder(f Folder) (*Folder, error) {
	f.s, f.tmp, f.new = s, -1, -1
	if err := f.open(); err != nil {
		f.Close()
		return nil, fmt.Errorf("mailbox %s: %w", f.Name, err)
	}
	return &f, nil
}

func (f *Folder) open() (err error) {
	if f.perm, err = permOf(f.dir); err != nil {
		return err
	}
	if f.tmp, err = openDir(f.dir, "tmp"); err == nil {
		if f.new, err = openDir(f.dir, "new"); err == nil {
			return nil
		}
	}
	if err != unix.ENOENT {
		return classed("open tmp and new of", f.Name, err)
	}
	if !f.mayMake && f.s.c.FS && !f.hasCur() {
		// A level above folders, without mail of its own. (In Maildir++ each
		// directory is a folder, whatever is missing in it.)
		return fmt.Errorf("%w: %s", ErrNoFolder, f.Name)
	}
	f.made = true
	for _, d := range []struct {
		name string
		fd   *int
	}{{"cur", nil}, {"new", &f.new}, {"tmp", &f.tmp}} {
		fd, err := f.s.makeDir(f.dir, d.name, f.perm)
		if err != nil {
			return err
		}
		if d.fd == nil {
			unix.Close(fd)
			continue
		}
		if *d.fd >= 0 {
			unix.Close(*d.fd)
		}
		*d.fd = fd
	}
	return nil
}

func (f *Folder) hasCur() bool {
	fd, err := openDir(f.dir, "cur")
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// mark makes the file that tells deliverers of the Maildir++ kind that quota
// is counted in the directory above.
func (f *Folder) mark() error {
	fd, err := openAt(f.dir, "maildirfolder", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err == unix.EEXIST {
		return nil
	}
	if err != nil {
		return classed("create", "maildirfolder", err)
	}
	defer unix.Close(fd)
	if err := f.perm.apply(fd, f.perm.file, privateFile); err != nil {
		return classed("set group of", "maildirfolder", err)
	}
	return nil
}
