// Package passwdfile keeps one passwd-like file in memory (spec/auth.md 6.4)
// for the passdbs and userdbs that use it.
//
// Runs as:   the auth service user.
// Trusts:    the file for what it says of a user.
// Distrusts: the moment: a file that is missing, unreadable, empty or only half
// written makes nobody unknown. Who is in the last good data is still
// answered; everyone else gets "later" until the file is whole again.
// Speaks:    user:password:uid:gid:gecos:home:shell:extra fields.
package passwdfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/maillog/logline"
)

// Limits and times.
const (
	maxSize       = 1 << 30     // of the file; offsets are 32 bits
	maxComplaints = 20          // lines complained of in one version of the file
	lookEvery     = time.Second // least time between two looks at the file
	spareMemory   = 32 << 20    // for all that is not the file
	settleTime    = time.Second // a file written in place is read when it has rested so long
)

// ErrNoUser says that no line of a whole file names the user.
var ErrNoUser = errors.New("no line names the user")

// ErrStale says that the file cannot be read now, and that the last good data
// do not have the user.
var ErrStale = errors.New("users file cannot be read now")

// File is one file. Path is set before use, the others may be.
type File struct {
	Path   string
	Now    func() time.Time
	Logf   func(l logline.Level, format string, args ...any)
	Memory int64 // what the process may have; 0: RLIMIT_DATA says

	now  atomic.Pointer[state]
	look sync.Mutex // held by who looks at the file and loads it
	next time.Time  // when to look again
	seen version    // what the last look saw
	said string     // the complaint that was logged last
}

// state is what lookups see, replaced as a whole.
type state struct {
	data  *snapshot // last good data; nil before the first
	whole bool      // data is what the file says now
	of    version
}

// version tells one state of the file from another. ctime sees what a touch or
// cp -p hides; the kernel's own clock steps some milliseconds, so size counts too.
type version struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
}

// Lookup gives the line of the user with exactly this name. The error is
// ErrNoUser or ErrStale.
func (f *File) Lookup(name string) (*Line, error) {
	s := f.current(false)
	if l := s.find(name); l != nil {
		return l, nil
	}
	// Before a user is called unknown, whoever is loading a new version now has to finish.
	if s = f.current(true); s.whole {
		if l := s.find(name); l != nil {
			return l, nil
		}
		return nil, ErrNoUser
	}
	if l := s.find(name); l != nil {
		return l, nil
	}
	return nil, ErrStale
}

func (s *state) find(name string) *Line {
	if s.data == nil {
		return nil
	}
	return s.data.lookup(name)
}

// Each calls yield with every user's line in the order of the file, each user
// once. It is ErrStale when the file may say something else by now.
func (f *File) Each(yield func(*Line) error) error {
	s := f.current(true)
	if s.data == nil {
		return ErrStale
	}
	for at := 0; at < len(s.data.text); at = s.data.after(at) {
		name := nameOf(s.data.text[at:])
		if len(name) == 0 {
			continue
		}
		if slot, _ := s.data.find(name); int(s.data.slots[slot])-1 != at {
			continue // a later line for the same name
		}
		if err := yield(s.data.lineAt(at)); err != nil {
			return err
		}
	}
	if !s.whole {
		return ErrStale
	}
	return nil
}

// Position gives "path:line" of a line that Lookup or Each gave. The file may
// have changed since, so the number is as good as it can be.
func (f *File) Position(l *Line) string {
	s := f.now.Load()
	if s == nil || s.data == nil || l.offset > len(s.data.text) {
		return f.Path
	}
	return fmt.Sprintf("%s:%d", f.Path, s.data.number(l.offset))
}

// current gives the state to answer from, looking at the file when it is time.
// While somebody else looks, those who may use the older data do not wait.
func (f *File) current(wait bool) *state {
	switch s := f.now.Load(); {
	case wait || s == nil:
		f.look.Lock()
	case !f.look.TryLock():
		return s
	}
	defer f.look.Unlock()
	s := f.now.Load()
	if s == nil {
		s = &state{}
	}
	now := f.clock()
	if s != nil && now.Before(f.next) {
		return s
	}
	f.next = now.Add(lookEvery)
	s = f.examine(s, now)
	if f.now.Swap(s) != s && s.whole && len(s.data.text) > spareMemory {
		debug.FreeOSMemory() // the old data; RLIMIT_DATA counts them until then
	}
	return s
}

func (f *File) clock() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// examine looks at the file and gives the state that follows old.
func (f *File) examine(old *state, now time.Time) *state {
	stale := &state{data: old.data, of: old.of}
	seen, err := statFile(f.Path)
	if err != nil {
		return f.complain(stale, logline.Error, err)
	}
	twice := seen == f.seen
	f.seen = seen
	if old.whole && seen == old.of {
		return old
	}
	// A file that was renamed into place is whole, and the rename has moved its
	// ctime past its mtime. One that is being written may have any part of its
	// text, so it has to rest first: by the clock, or, where clocks differ
	// (NFS), by two looks that see the same. The first version is taken as it
	// is, since a start would otherwise begin with failures.
	rested := twice || now.UnixNano()-seen.mtime >= int64(settleTime)
	sameFile := seen.dev == old.of.dev && seen.ino == old.of.ino
	if old.data != nil && !rested && (sameFile || seen.mtime == seen.ctime) {
		return f.complain(stale, logline.Info, f.moving())
	}
	if err := f.fits(old, seen.size); err != nil {
		return f.complain(stale, logline.Error, err)
	}
	text, err := readFile(f.Path, seen)
	switch {
	case errors.Is(err, errMoving):
		return f.complain(stale, logline.Info, f.moving())
	case err != nil:
		return f.complain(stale, logline.Error, err)
	case text[len(text)-1] != '\n' && !rested:
		// A number cut short is another number: uid 10001 becomes 1000.
		return f.complain(stale, logline.Info, f.moving())
	}
	return f.accept(text, seen)
}

// fits refuses a file for which the memory would not do: the old data and the
// new are held side by side, and a process that dies of it would read the same
// file at its next start.
func (f *File) fits(old *state, size int64) error {
	limit := f.Memory
	if limit == 0 {
		var r unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_DATA, &r); err != nil || r.Cur > 1<<60 {
			return nil
		}
		limit = int64(r.Cur)
	}
	if old.data != nil {
		size += int64(len(old.data.text))
	}
	if need := size + size/4 + spareMemory; need > limit {
		return fmt.Errorf("%s: needs about %d MB of memory while it is read, vsz_limit of service auth allows %d MB",
			f.Path, need>>20, limit>>20)
	}
	return nil
}

// accept makes text the data that lookups see.
func (f *File) accept(text []byte, of version) *state {
	data, twice := index(text)
	for _, d := range twice {
		f.log(logline.Error, "passwd-file %s:%d: user %q is already named in line %d, which counts",
			f.Path, data.number(d.offset), nameOf(text[d.offset:]), data.number(d.first))
	}
	if f.said != "" {
		f.log(logline.Info, "passwd-file %s: read again, %d users", f.Path, data.users)
		f.said = ""
	}
	return &state{data: data, whole: true, of: of}
}

// moving is the complaint of a file that is not whole yet.
func (f *File) moving() error {
	return fmt.Errorf("%s: the file is being written (a rename into place would not need this pause)", f.Path)
}

// complain logs err once for as long as it stays the same.
func (f *File) complain(s *state, l logline.Level, err error) *state {
	if text := err.Error(); text != f.said {
		f.said = text
		known := "no user is known from before, so all lookups fail for now"
		if s.data != nil {
			known = fmt.Sprintf("the %d users of the last good data are still answered, lookups of others fail for now", s.data.users)
		}
		f.log(l, "passwd-file %v: %s", err, known)
	}
	return s
}

func (f *File) log(l logline.Level, format string, args ...any) {
	if f.Logf != nil {
		f.Logf(l, format, args...)
	}
}

// errMoving says that the file changed while it was read.
var errMoving = errors.New("the file changed while it was read")

// statFile looks by path; a FIFO or device is refused before anybody opens it.
func statFile(path string) (version, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return version{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return versionOf(path, &st)
}

func versionOf(path string, st *unix.Stat_t) (version, error) {
	v := version{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return v, fmt.Errorf("%s: not a regular file", path)
	case st.Size == 0:
		// What a full disk or a cut-off editor leaves. A file that shall name
		// nobody has a comment in it.
		return v, fmt.Errorf("%s: the file is empty (a comment line makes that deliberate)", path)
	case st.Size > maxSize:
		return v, fmt.Errorf("%s: %d bytes, want at most %d", path, st.Size, maxSize)
	}
	return v, nil
}

// readFile reads the version want of the file.
func readFile(path string, want version) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text := make([]byte, want.size)
	if _, err := io.ReadFull(file, text); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, errMoving
		}
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return nil, err
	}
	if v, err := versionOf(path, &st); err != nil || v != want {
		return nil, errMoving
	}
	if at := bytes.IndexByte(text, 0); at >= 0 {
		// What a crash leaves of a file that was not synced.
		return nil, fmt.Errorf("%s: NUL byte at offset %d", path, at)
	}
	return text, nil
}
