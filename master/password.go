package master

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	return readSecret("doveadm_password_file", path)
}

// authSecret gives the key by which auth makes up salts for users who have none,
// and makes it when there is none. It lies in base_dir, so that a salt outlives
// auth and the master: one that changes while others stay would be nobody's.
func authSecret(baseDir string) (string, error) {
	path := filepath.Join(baseDir, "auth-secret")
	key, err := readSecret("secret of auth", path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	f, err := os.CreateTemp(baseDir, "auth-secret.*") // 0600
	if err != nil {
		return "", fmt.Errorf("secret of auth: %w", err)
	}
	defer f.Close()
	key = rand.Text()
	if _, err = f.WriteString(key + "\n"); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("secret of auth: %w", err)
	}
	return key, nil
}

// readSecret gives the first line of a file that is ours alone.
func readSecret(what, path string) (string, error) {
	wrong := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%s %s: %w", what, path, fmt.Errorf(format, args...))
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
