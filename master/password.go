package master

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxPassword bounds the first line of a password's file.
const maxPassword = 1024

// readPassword gives the first line of doveadm_password_file, "" when there is
// none to read. Others could read or change the password of a file that is not
// ours alone, so such a file is refused.
func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	wrong := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("doveadm_password_file %s: %w", path, fmt.Errorf(format, args...))
	}
	// Not a FIFO that nobody writes to: the loop would wait for ever.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return wrong("%w", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return wrong("%w", err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return wrong("it is no file")
	case int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0:
		return wrong("owner %d, mode %04o: want it ours and nobody else's, 0600", st.Uid, st.Mode&0o7777)
	}
	text := make([]byte, maxPassword+2)
	n, err := f.Read(text)
	if n == 0 {
		return wrong("it is empty (%v)", err)
	}
	line, _, _ := bytes.Cut(text[:n], []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return wrong("its first line is empty")
	case len(line) > maxPassword:
		return wrong("its first line is longer than %d bytes", maxPassword)
	case bytes.IndexByte(line, 0) >= 0:
		return wrong("its first line has a NUL byte, which no client can send")
	}
	return string(line), nil
}
