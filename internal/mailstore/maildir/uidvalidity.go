package maildir

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const validityName = "dovecot-uidvalidity"

// nextValidity gives a UIDVALIDITY that no folder had before. The name of an
// empty file beside dovecot-uidvalidity says the last one; renaming it to the
// next is the one step that two programs cannot both make.
func (s *Store) nextValidity() (uint32, error) {
	at, err := s.controlDir()
	if err != nil {
		return 0, err
	}
	defer s.closeControl(at)
	for range tries {
		last, err := lastValidity(at)
		if err != nil {
			return 0, err
		}
		// Where nothing is remembered, the time of day is above all that was.
		next := max(last+1, uint32(s.c.Now().Unix()))
		if last != 0 {
			next = last + 1
		}
		if err = takeValidity(at, last, next); err == nil {
			if fd, err := s.replace(at, validityName, fmt.Appendf(nil, "%08x", next)); err == nil {
				unix.Close(fd)
			}
			return next, nil
		}
		if err != unix.ENOENT && err != unix.EEXIST {
			return 0, classed("name", validityName, err)
		}
	}
	return 0, fmt.Errorf("%s: other programs are always faster", validityName)
}

func takeValidity(at int, last, next uint32) error {
	name := validityFile(next)
	if last != 0 {
		if err := moveNew(at, validityFile(last), at, name); err != unix.ENOENT {
			return err
		}
	}
	fd, err := openAt(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fchmod(fd, 0o444)
}

func validityFile(n uint32) string { return fmt.Sprintf("%s.%08x", validityName, n) }

// lastValidity finds the highest one that any of the files remembers; 0 for
// none.
func lastValidity(at int) (last uint32, err error) {
	if fd, _, err := regular(at, validityName, unix.O_RDONLY); err == nil {
		buf := make([]byte, 16)
		n, _ := unix.Read(fd, buf)
		last, _ = parseValidity(string(buf[:max(n, 0)]))
		unix.Close(fd)
	}
	dir, err := openDir(at, ".")
	if err != nil {
		return 0, classed("open", "control directory", err)
	}
	defer unix.Close(dir)
	err = eachName(dir, make([]byte, 32<<10), func(name string) error {
		if hex, ok := strings.CutPrefix(name, validityName+"."); ok {
			if n, ok := parseValidity(hex); ok {
				last = max(last, n)
			}
		}
		return nil
	})
	return last, err
}

func parseValidity(hex string) (uint32, bool) {
	hex = strings.TrimSuffix(hex, "\n")
	n, err := strconv.ParseUint(hex, 16, 32)
	return uint32(n), err == nil && len(hex) == 8
}
