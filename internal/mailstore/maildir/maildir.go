// Package maildir saves mail into a user's Maildir, beside whatever IMAP server
// has it open: names, folders, quota, durability.
//
// Runs as:   the mail's owner, in a box.
// Trusts:    its Config.
// Distrusts: the directories: their owner may put a symlink, a FIFO, a hard link
// or a million files anywhere at any time. Directories are opened
// first, without following links, and all else is done relative to
// them, by names that this package made or checked.
// Speaks:    Maildir and Maildir++ as Dovecot and Courier read them
// (spec/maildir.md). Inside the box only the descriptor forms of chmod,
// chown and utimes work, so no other is used.
package maildir

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The classes of error that a caller may treat apart. Every other error is one
// that a later try may not meet.
var (
	// ErrQuota: the user's quota, or the file system's, has no room.
	ErrQuota = errors.New("Quota exceeded (mailbox for user is full)")
	// ErrNoFolder: the folder does not exist.
	ErrNoFolder = errors.New("Mailbox doesn't exist")
	// ErrName: no folder can have this name.
	//lint:ignore ST1005 Dovecot's wording, which log parsers know
	ErrName = errors.New("Invalid mailbox name")
	// ErrOutside: the name does not begin with the namespace's prefix.
	ErrOutside = errors.New("Mailbox is in no namespace")
	// ErrExists: there is a folder of that name already.
	ErrExists = errors.New("Mailbox already exists")
	// ErrNotEmpty: the folder has mail.
	ErrNotEmpty = errors.New("Mailbox isn't empty")
	// ErrFolder: what was asked for cannot be done with this folder, the rest of
	// the text says why.
	ErrFolder = errors.New("not possible with this mailbox")
	// ErrDenied: the folder is there but is not ours to use: no permission, or
	// not a directory.
	//lint:ignore ST1005 Dovecot's wording, which log parsers know
	ErrDenied = errors.New("Permission denied")
)

// refusal is an error of a class whose text stands alone.
type refusal struct {
	class error
	text  string
}

func refused(class error, text string) error { return &refusal{class, text} }

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.class }

// Config is one user's mail store.
type Config struct {
	Root          string // absolute
	Home          string // absolute, or ""
	Make          bool   // a missing Home is made where its parent exists, and so is Root
	Inbox         string // "" is Root
	Control       string // "" is Root
	Index         string // where Dovecot keeps its indexes, "" is Root; they are moved and removed with their folder
	FS            bool   // LAYOUT=fs instead of Maildir++
	UTF8          bool   // folder names are UTF-8 on disk, not modified UTF-7
	Subscriptions string // file name in Control; "" is "subscriptions"

	Prefix    string // of the namespace that has the INBOX, for example "INBOX."
	Separator string // of that namespace; "" is the layout's own
	Auto      []AutoFolder

	Names    *Names        // nil where the process has one Store only
	Host     string        // last part of file names
	NoSync   bool          // mail_fsync = never
	CRLF     bool          // mail_save_crlf
	TempScan time.Duration // mail_temp_scan_interval; 0 is never
	Quota    *Quota        // nil: maildirsize is neither read nor written

	Now  func() time.Time // nil is time.Now
	Warn func(text string)
	Beat func() // called while a lock of another program is waited for, and while a message is measured; may be nil
}

// AutoFolder is a folder that shall exist as soon as the INBOX does.
type AutoFolder struct {
	Name      string // with the namespace's separator, without its prefix
	Subscribe bool
}

// Store is one user's mail. It is not for use by several goroutines.
type Store struct {
	c    Config
	root int // descriptor of Root, -1 until it is needed

	sleep func(time.Duration)
}

// New makes a Store; it opens nothing yet.
func New(c Config) *Store {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	if c.Names == nil {
		c.Names = &Names{}
	}
	if c.Inbox == "" {
		c.Inbox = c.Root
	}
	if c.Control == "" {
		c.Control = c.Root
	}
	if c.Index == "" {
		c.Index = c.Root
	}
	if c.Subscriptions == "" {
		c.Subscriptions = "subscriptions"
	}
	if c.Separator == "" {
		if c.Separator = "."; c.FS {
			c.Separator = "/"
		}
	}
	c.Host = cleanHost(c.Host)
	if c.Beat == nil {
		c.Beat = func() {}
	}
	return &Store{c: c, root: -1, sleep: time.Sleep}
}

// Close gives the Store's descriptors back; its Folders are closed before.
func (s *Store) Close() {
	if s.root >= 0 {
		unix.Close(s.root)
		s.root = -1
	}
}

// rootDir opens the root once.
func (s *Store) rootDir() (int, error) {
	if s.root >= 0 {
		return s.root, nil
	}
	fd, err := s.topDir(s.c.Root, s.c.Make)
	if errors.Is(err, unix.ENOENT) && s.c.Make && strings.HasPrefix(s.c.Root, s.c.Home+"/") && s.c.Home != "" {
		var home int
		if home, err = s.topDir(s.c.Home, true); err == nil {
			unix.Close(home)
			fd, err = s.topDir(s.c.Root, true)
		}
	}
	if err == nil {
		s.root = fd
	}
	return fd, err
}

// topDir opens an absolute directory of the settings, and may make its last
// component when that is missing. Links above the last component are the
// administrator's; the box holds whatever the user did below the home.
func (s *Store) topDir(path string, mayMake bool) (int, error) {
	fd, err := openDir(unix.AT_FDCWD, path)
	if err != unix.ENOENT || !mayMake {
		return fd, classed("open", path, err)
	}
	parent, name := splitLast(path)
	above, err := openDir(unix.AT_FDCWD, parent)
	if err != nil {
		return -1, classed("open", parent, err)
	}
	defer unix.Close(above)
	return s.makeDir(above, name, perm{dir: privateDir, gid: -1})
}

func splitLast(path string) (parent, name string) {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' {
			return path[:i], path[i+1:]
		}
	}
	return "/", path[1:]
}

// classed names what failed, and gives it the class that the file system's
// answer stands for. nil stays nil.
func classed(op, name string, err error) error {
	switch err {
	case nil:
		return nil
	case unix.EDQUOT:
		return fmt.Errorf("%w: %s %s: %w", ErrQuota, op, name, err)
	case unix.EACCES, unix.EPERM, unix.ELOOP, unix.ENOTDIR, unix.EROFS:
		return fmt.Errorf("%w: %s %s: %w", ErrDenied, op, name, err)
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}
