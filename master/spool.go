package master

import (
	"cmp"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"culver/master/internal/rootexec"
)

// makeSpool makes spool_dir, the front's own and nobody else's. A directory
// that has something in it and is another's is left alone: a slip of the pen
// must not give /tmp or /var/mail to the front.
func makeSpool(path string, who rootexec.Identity) error {
	if err := os.Mkdir(path, 0700); err != nil && !os.IsExist(err) {
		return fmt.Errorf("spool_dir: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	if int(st.Uid) != who.UID {
		if inside, err := os.ReadDir(path); err != nil || len(inside) > 0 {
			return fmt.Errorf("spool_dir %s belongs to uid %d and is not empty: want uid %d or an empty directory", path, st.Uid, who.UID)
		}
	}
	if err := cmp.Or(unix.Fchmod(fd, 0700), unix.Fchown(fd, who.UID, who.GID)); err != nil {
		return fmt.Errorf("spool_dir %s: %w", path, err)
	}
	return nil
}
