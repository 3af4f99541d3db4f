package maildir

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The rules of the uid list's lock, which Dovecot keeps too (spec/maildir.md 10).
const (
	lockName     = "dovecot-uidlist.lock"
	lockWait     = 122 * time.Second // longer than a lock needs to become stale
	lockStale    = 120 * time.Second // no sign of life for so long
	lockDeadPID  = 2 * time.Second   // the holder's process is gone for so long
	lockTouch    = 10 * time.Second
	lockMaxSleep = 500 * time.Millisecond
	maxLockText  = 512
)

// ErrLocked says that another program did not let go of the uid list.
var ErrLocked = errors.New("uid list is locked")

// listLock is the uid list's lock, held.
type listLock struct {
	s       *Store
	at, fd  int
	touched time.Time
}

// lockList waits for the lock of the uid list in directory at and takes it.
func (s *Store) lockList(at int) (*listLock, error) { return s.lockListFor(at, lockWait) }

func (s *Store) lockListFor(at int, wait time.Duration) (*listLock, error) {
	var watch lockWatch
	begin, pause := s.c.Now(), time.Millisecond
	for {
		l, err := s.tryLock(at)
		if err != unix.EEXIST {
			return l, classedOnce("create", lockName, err)
		}
		if watch.stale(s, at) {
			watch.remove(s, at)
			continue
		}
		if s.c.Now().Sub(begin) > wait {
			return nil, fmt.Errorf("%w: %s is held by %q", ErrLocked, lockName, watch.text)
		}
		s.c.Beat()
		s.sleep(pause)
		pause = min(2*pause, lockMaxSleep)
	}
}

// tryLock makes the lock under a name aside and renames it, so that it has its
// text from the beginning: whoever finds the lock of one who died knows it at
// once. Where there is a lock, no file is made: a waiter that is killed leaves
// nothing.
func (s *Store) tryLock(at int) (l *listLock, err error) {
	var st unix.Stat_t
	if unix.Fstatat(at, lockName, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil, unix.EEXIST
	}
	aside := lockName + "." + s.uniqueName()
	fd, err := openAt(at, aside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, privateFile)
	if err != nil {
		return nil, classed("create", aside, err)
	}
	if p, err := permOf(at); err == nil {
		p.apply(fd, p.file, privateFile) // a lock of another group locks as well
	}
	if _, err = unix.Write(fd, []byte(strconv.Itoa(unix.Getpid())+":"+nodeName())); err == nil {
		err = moveNew(at, aside, at, lockName)
	}
	if err != nil {
		unix.Unlinkat(at, aside, 0)
		unix.Close(fd)
		return nil, err
	}
	return &listLock{s: s, at: at, fd: fd, touched: s.c.Now()}, nil
}

// nodeName is the host as locks name it: what the kernel calls it, as Dovecot
// does, whatever the settings call it.
func nodeName() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Nodename[:])
}

// touch shows that the holder lives, in long work.
func (l *listLock) touch() {
	if now := l.s.c.Now(); now.Sub(l.touched) >= lockTouch {
		l.touched = now
		ts := [2]unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
		futimens(l.fd, &ts)
	}
}

// held says whether the lock is still ours: whoever was stopped for two minutes
// has lost it.
func (l *listLock) held() error {
	if !sameFile(l.fd, l.at, lockName) {
		return fmt.Errorf("%w: another program took %s over", ErrLocked, lockName)
	}
	return nil
}

// become gives the lock's file another text and another name, which ends the
// lock. The text is durable by then.
func (l *listLock) become(name string, text []byte) error {
	for n := 0; n < len(text); {
		m, err := again(func() (int, error) { return unix.Pwrite(l.fd, text[n:], int64(n)) })
		if err != nil {
			return classed("write", name, err)
		}
		n += m
	}
	err := unix.Ftruncate(l.fd, int64(len(text)))
	if err == nil && !l.s.c.NoSync {
		err = unix.Fdatasync(l.fd)
	}
	if err != nil {
		return classed("write", name, err)
	}
	if err := l.held(); err != nil {
		return err
	}
	if err := unix.Renameat(l.at, lockName, l.at, name); err != nil {
		return classed("rename", name, err)
	}
	unix.Close(l.fd)
	l.fd = -1
	return nil
}

func (l *listLock) release() {
	if l.fd < 0 {
		return
	}
	if sameFile(l.fd, l.at, lockName) {
		unix.Unlinkat(l.at, lockName, 0)
	}
	unix.Close(l.fd)
}

// lockWatch is what a waiter saw of another's lock.
type lockWatch struct {
	ino   uint64
	mtime unix.Timespec
	since time.Time
	text  string
}

// stale looks at the lock once more.
func (w *lockWatch) stale(s *Store, at int) bool {
	fd, err := openAt(at, lockName, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		// Gone is good. What cannot be opened, a link for example, can be no
		// lock of Dovecot's, but is waited for all the same.
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	now := s.c.Now()
	if st.Ino != w.ino || st.Mtim != w.mtime || w.text == "" {
		buf := make([]byte, maxLockText)
		n, _ := unix.Read(fd, buf)
		since := w.since
		if st.Ino != w.ino || st.Mtim != w.mtime {
			since = now
		}
		*w = lockWatch{st.Ino, st.Mtim, since, string(buf[:max(n, 0)])}
	}
	if now.Sub(w.since) >= lockStale {
		return true
	}
	return now.Sub(time.Unix(w.mtime.Unix())) >= lockDeadPID && w.deadHere()
}

// deadHere: the holder ran on this host and is gone. The box refuses kill and
// has no /proc, but whoever asks for a process's group hears whether there is
// such a process, whosever it is.
func (w *lockWatch) deadHere() bool {
	pid, at, ok := strings.Cut(strings.TrimSpace(w.text), ":")
	n, err := strconv.ParseUint(pid, 10, 31)
	if !ok || err != nil || n == 0 || at != nodeName() {
		return false
	}
	_, err = unix.Getpgid(int(n))
	return err == unix.ESRCH
}

// remove takes a stale lock away. Two waiters may come to that at once: the
// name is moved aside first, and given back when it was no longer the one that
// was stale: a new lock may have the old one's inode, but not its time.
func (w *lockWatch) remove(s *Store, at int) {
	aside := lockName + "." + s.uniqueName()
	if unix.Renameat(at, lockName, at, aside) != nil {
		return
	}
	var st unix.Stat_t
	if unix.Fstatat(at, aside, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && (st.Ino != w.ino || st.Mtim != w.mtime) {
		if moveNew(at, aside, at, lockName) != nil {
			unix.Unlinkat(at, aside, 0) // a third one was faster; the holder will notice
		}
		return
	}
	unix.Unlinkat(at, aside, 0)
	s.warnf("took over the lock %s of %q", lockName, w.text)
}
