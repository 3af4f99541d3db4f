package brain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"culver/internal/doveadmproto"
)

// A journal and a plan say what is done to everybody's mail, and a journal where
// the password goes: whoever could write one would command who carries it out.
// And what root writes must not end where a link of somebody else's points.

// openOwn opens a file that nobody but us, or root, can have written.
func openOwn(name string, flags int) (*os.File, error) {
	// Not a FIFO that nobody else opens.
	f, err := os.OpenFile(name, flags|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = refused(name, "it is no regular file")
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		err = refused(name, fmt.Sprintf("it belongs to uid %d, who could have it say anything: copy it first", st.Uid))
	case st.Mode&0o022 != 0:
		err = refused(name, fmt.Sprintf("its mode %04o lets others write it", st.Mode&0o7777))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func refused(name, why string) error {
	return &failure{doveadmproto.NoPerm, name + " is not used: " + why}
}

// createOwn opens a file to write it anew. An old one of ours is overwritten.
func createOwn(name string) (*os.File, error) {
	f, err := openOwn(name, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// createAside makes the file that takes the place of name later, which must be
// one that can be replaced: not /dev/null.
func createAside(name, aside string) (*os.File, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refused(name, "it is no regular file, and would be replaced by one")
	}
	os.Remove(aside) // of a run that was killed
	return os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}
