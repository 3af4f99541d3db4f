package brain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// spool keeps a command's input, so that it can be sent to each user.
type spool struct {
	file *os.File
	size int64
	sum  string // sha256
}

// newSpool takes the input whole, from the file or from in. It is a copy
// without a name: what changes meanwhile changes for nobody.
func newSpool(in io.Reader, name string) (*spool, error) {
	if name != "" && name != "-" {
		src, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("message: %w", err)
		}
		defer src.Close()
		in = src
	}
	f, err := os.CreateTemp("", "doveadm")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	os.Remove(f.Name())
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), in)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("message: %w", err)
	}
	return &spool{f, n, hex.EncodeToString(h.Sum(nil))}, nil
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

// digest is a file that must be the same when a run goes on.
type digest struct {
	File string `json:"file"` // absolute
	Sum  string `json:"sha256"`
}

// digestOf reads a file whole.
func digestOf(name string) (*digest, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return &digest{path, hex.EncodeToString(h.Sum(nil))}, nil
}

// same refuses a file that has changed.
func (d *digest) same() error {
	now, err := digestOf(d.File)
	if err == nil && now.Sum != d.Sum {
		err = fmt.Errorf("%s is not what it was when the run began", d.File)
	}
	return err
}
