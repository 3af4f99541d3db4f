package passwdfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// version tells one state of the file from another. ctime sees what a touch or
// cp -p hides; the kernel's own clock steps some milliseconds, so size counts too.
type version struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
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
