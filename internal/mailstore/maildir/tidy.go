package maildir

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// abandoned is the age at which a file in tmp/ has no writer any more.
	abandoned = 36 * time.Hour
	// tidyLimit bounds one scan: a tmp/ of a million files is no reason to keep
	// a worker busy. The rest waits for the next interval.
	tidyLimit = 20000
)

var errEnough = errors.New("enough for now")

// Tidy removes old files from tmp/ when nobody has for the interval of the
// settings. The access time of tmp/ is the shared memory of when that was.
func (f *Folder) Tidy() {
	interval := f.s.c.TempScan
	var st unix.Stat_t
	if interval <= 0 || unix.Fstat(f.tmp, &st) != nil {
		return
	}
	now := f.s.c.Now()
	atime, ctime := time.Unix(st.Atim.Unix()), time.Unix(st.Ctim.Unix())
	if now.Sub(atime) < interval {
		return
	}
	// By descriptor: the box refuses utimes by path.
	ts := [2]unix.Timespec{unix.NsecToTimespec(now.UnixNano()), {Nsec: unix.UTIME_OMIT}}
	if err := futimens(f.tmp, &ts); err != nil {
		return // nobody would remember, and every save would scan
	}
	if atime.Sub(ctime) > abandoned {
		return // scanned since its last change, when all in it was old enough
	}
	f.removeAbandoned(now)
}

func (f *Folder) removeAbandoned(now time.Time) {
	n := 0
	eachName(f.tmp, make([]byte, 16<<10), func(name string) error {
		if n++; n > tidyLimit {
			return errEnough
		}
		var st unix.Stat_t
		if name[0] != '.' && unix.Fstatat(f.tmp, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil &&
			st.Mode&unix.S_IFMT != unix.S_IFDIR && now.Sub(time.Unix(st.Ctim.Unix())) > abandoned {
			unix.Unlinkat(f.tmp, name, 0)
		}
		return nil
	})
}
