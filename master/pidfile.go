package master

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrRunning says that another master holds the pid file.
var ErrRunning = errors.New("already running")

// pidFile is the lock that keeps a second master away. The lock is on the open
// file and not on its content, so a crash leaves nothing to clean up.
type pidFile struct {
	path string
	file *os.File
}

// lockPIDFile opens and locks the pid file and writes our pid into it. It waits
// for nothing: a held lock is ErrRunning, with the other's pid.
func lockPIDFile(path string) (*pidFile, error) {
	for {
		// O_NOFOLLOW: base_dir is root's, but a link there is nobody's friend.
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			defer f.Close()
			if err == unix.EWOULDBLOCK {
				return nil, fmt.Errorf("%s: %w with pid %s", path, ErrRunning, readPID(f))
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The one who held the lock may have removed the file while we waited to
		// lock it; then ours has no name and protects nothing.
		if !sameFile(f, path) {
			f.Close()
			continue
		}
		p := &pidFile{path, f}
		if err := p.write(); err != nil {
			f.Close()
			return nil, err
		}
		return p, nil
	}
}

func sameFile(f *os.File, path string) bool {
	have, err1 := f.Stat()
	named, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(have, named)
}

func (p *pidFile) write() error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readPID(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	if s := strings.TrimSpace(string(buf[:n])); s != "" {
		return s
	}
	return "unknown"
}

// remove takes the file away, lock held, so that nobody can hold the lock of a
// file that we unlink.
func (p *pidFile) remove() {
	os.Remove(p.path)
	p.file.Close()
}
