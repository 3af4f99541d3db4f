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
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"culver/internal/maillog/logline"
	"culver/services/auth/aside"
)

// Limits and times.
const (
	maxSize       = 1 << 30     // of the file; offsets are 32 bits
	maxComplaints = 20          // lines complained of in one version of the file
	lookEvery     = time.Second // least time between two looks at the file
	spareMemory   = 32 << 20    // for all that is not the file
	settleTime    = time.Second // a file written in place is read when it has rested so long

	// patience is how long a look at the file may hold up lookups of users who
	// are in the data from before. A small file is read in that time, so a
	// change counts for the lookup that finds it.
	patience = 2 * time.Millisecond
	// waitTime is how long lookups wait for a look where no older data will do.
	waitTime = 5 * time.Second
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
	next atomic.Int64 // when to look again, in Unix nanoseconds

	mu      sync.Mutex
	looking *look // under way; nil when there is none
	watched bool  // a timer looks, whether anybody asks or not

	// The rest is used by the look under way.
	seen version // what the last look saw
	said string  // the complaint that was logged last
}

// look is one look at the file, and the loading of what is new. No lookup does
// it: those who can be answered from older data need not wait.
type look struct {
	begun time.Time
	done  chan struct{}
}

// state is what lookups see, replaced as a whole.
type state struct {
	data  *snapshot // last good data; nil before the first
	whole bool      // data is what the file says now
	of    version
}

// Lookup gives the line of the user with exactly this name. The error is
// ErrNoUser or ErrStale.
func (f *File) Lookup(name string) (*Line, error) {
	if l := f.current().find(name); l != nil {
		return l, nil
	}
	// Before a user is called unknown, a look under way has to finish.
	s, settled := f.settled()
	switch l := s.find(name); {
	case l != nil:
		return l, nil
	case settled && s.whole:
		return nil, ErrNoUser
	}
	return nil, ErrStale
}

func (s *state) find(name string) *Line {
	if s == nil || s.data == nil {
		return nil
	}
	return s.data.lookup(name)
}

// Each calls yield with every user's line in the order of the file, each user
// once. It is ErrStale when the file may say something else by now.
func (f *File) Each(yield func(*Line) error) error {
	s, settled := f.settled()
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
	if !s.whole || !settled {
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

// current gives a state that is good enough for whom it names. When it is time
// to look at the file it waits for that, but not long. A file that takes longer
// to read is looked at in time, by a timer; nobody waits for it.
func (f *File) current() *state {
	s := f.now.Load()
	if s == nil || f.clock().UnixNano() < f.next.Load() {
		return s
	}
	l, watched := f.look()
	if l == nil || watched {
		return f.now.Load()
	}
	wait := time.NewTimer(patience - time.Since(l.begun))
	defer wait.Stop()
	select {
	case <-l.done:
	case <-wait.C:
	}
	return f.now.Load()
}

// settled waits until the file was looked at in its time, and gives what is in
// it. It is false when that took too long: the state may be an old one then.
func (f *File) settled() (*state, bool) {
	settled := true
	if l, _ := f.look(); l != nil {
		wait := time.NewTimer(waitTime)
		defer wait.Stop()
		select {
		case <-l.done:
		case <-wait.C:
			settled = false
		}
	}
	if s := f.now.Load(); s != nil {
		return s, settled
	}
	return &state{}, false
}

// look gives the look under way, which it begins when it is time; nil when none
// is due.
func (f *File) look() (*look, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if f.looking == nil && (f.now.Load() == nil || now.UnixNano() >= f.next.Load()) {
		f.looking = &look{time.Now(), make(chan struct{})}
		go f.run(f.looking, now)
	}
	return f.looking, f.watched
}

// run looks at the file.
func (f *File) run(l *look, now time.Time) {
	old := f.now.Load()
	if old == nil {
		old = &state{}
	}
	s := f.examine(old, now)
	f.now.Store(s)
	f.next.Store(now.Add(lookEvery).UnixNano())
	f.mu.Lock()
	f.looking = nil
	if s.data != old.data {
		f.watched = time.Since(l.begun) > patience
	}
	if f.watched {
		time.AfterFunc(lookEvery, func() { f.look() })
	}
	f.mu.Unlock()
	close(l.done)
	if s.data != old.data && len(s.data.text) > spareMemory {
		aside.Run(debug.FreeOSMemory) // the old data; RLIMIT_DATA counts them until then
	}
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
	var data *snapshot
	var twice []duplicate
	aside.Run(func() { data, twice = index(text) })
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
