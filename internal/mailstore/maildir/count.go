package maildir

import "golang.org/x/sys/unix"

// census is one walk over a user's mail for the quota.
type census struct {
	s    *Store
	sum  counts
	seen []seenDir
	buf  []byte
}

// seenDir is a directory whose messages were counted, and its state before.
type seenDir struct {
	at   int // descriptor to look from
	path string
	mod  unix.Timespec
}

// count sums up every folder that the quota does not ignore. quiet says that
// nothing changed while it looked.
func (s *Store) count() (sum counts, quiet bool, err error) {
	root, err := s.rootDir()
	if err != nil {
		return counts{}, false, err
	}
	c := census{s: s, buf: make([]byte, 32<<10)}
	inbox := root
	if s.c.Inbox != s.c.Root {
		if inbox, err = s.topDir(s.c.Inbox, true); err != nil {
			return counts{}, false, err
		}
		defer unix.Close(inbox)
	}
	if !s.c.Quota.ignored("INBOX") {
		if err := c.folder(inbox, inbox, ""); err != nil {
			return counts{}, false, err
		}
	}
	if err := c.tree(root, root, "", nil); err != nil {
		return counts{}, false, err
	}
	return c.sum, c.quiet(), nil
}

// tree counts the folders below a directory: all levels are in one directory
// in Maildir++, one level is in each in LAYOUT=fs.
func (c *census) tree(root, at int, path string, above []string) error {
	if len(above) > maxDepth {
		return nil
	}
	var found []string
	err := c.names(at, func(name string) error {
		if c.isFolder(name) {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range found {
		fd, err := openDir(at, name)
		if err != nil {
			continue // a file, a link, gone: not a folder
		}
		parts := c.parts(above, name)
		if !c.s.c.Quota.ignored(c.s.c.Prefix + join(parts, c.s.c.Separator)) {
			err = c.folder(root, fd, path+name+"/")
		}
		if err == nil && c.s.c.FS {
			err = c.tree(root, fd, path+name+"/", parts)
		}
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *census) isFolder(name string) bool {
	if c.s.c.FS {
		return checkFSPart(name) == nil
	}
	return isFolderDir(name)
}

func (c *census) parts(above []string, name string) []string {
	if c.s.c.FS {
		return append(above[:len(above):len(above)], c.s.decode(name))
	}
	return c.s.partsOf(name)
}

// folder counts new/ and cur/ of one mailbox.
func (c *census) folder(root, dir int, path string) error {
	for _, sub := range []string{"new", "cur"} {
		fd, err := openDir(dir, sub)
		if err != nil {
			continue // a level without mail of its own
		}
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil {
			c.seen = append(c.seen, seenDir{root, path + sub, st.Mtim})
			err = c.names(fd, func(name string) error { c.message(fd, name); return nil })
		}
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// message counts one file. One that vanishes is normal.
func (c *census) message(at int, name string) {
	if name[0] == '.' {
		return
	}
	size, ok := sizeInName(name)
	if !ok {
		var st unix.Stat_t
		if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			return
		}
		size = st.Size
	}
	c.sum.bytes += size
	c.sum.messages++
}

// names calls f with each entry of a directory; memory does not grow with their
// number.
func (c *census) names(fd int, f func(name string) error) error {
	return eachName(fd, c.buf, f)
}

func eachName(fd int, buf []byte, f func(name string) error) error {
	if _, err := unix.Seek(fd, 0, 0); err != nil {
		return err // the root stays open, and may have been read before
	}
	var names []string
	for {
		n, err := again(func() (int, error) { return unix.ReadDirent(fd, buf) })
		if err != nil || n <= 0 {
			return err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			if err := f(name); err != nil {
				return err
			}
		}
	}
}

// quiet looks again at what was counted.
func (c *census) quiet() bool {
	for _, d := range c.seen {
		var st unix.Stat_t
		if unix.Fstatat(d.at, d.path, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mtim != d.mod {
			return false
		}
	}
	return true
}
