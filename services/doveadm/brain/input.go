package brain

import (
	"fmt"
	"io"
	"os"
)

// spool keeps a command's input, so that it can be sent to each user.
type spool struct {
	file *os.File
	size int64
}

// newSpool takes the input whole. What is no plain file is copied to one
// without a name.
func newSpool(in io.Reader, name string) (*spool, error) {
	f, err := os.CreateTemp("", "doveadm")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	os.Remove(f.Name())
	if name != "" {
		src, err := os.Open(name)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("message: %w", err)
		}
		defer src.Close()
		in = src
	}
	n, err := io.Copy(f, in)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("message: %w", err)
	}
	return &spool{f, n}, nil
}

// reader gives the input from its beginning.
func (s *spool) reader() io.Reader {
	if s == nil {
		return nil
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

func (s *spool) close() {
	if s != nil {
		s.file.Close()
	}
}
