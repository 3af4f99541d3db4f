package passwdfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"culver/internal/maillog/logline"
	"culver/services/auth/vars"
)

// Source is the file of a path, or the many files of a path with variables,
// such as /etc/culver/users/%d. A path may be shared by passdbs and userdbs.
type Source struct {
	path vars.Template
	base string // the folder that the variables are below; "" for a constant path
	now  func() time.Time
	logf func(l logline.Level, format string, args ...any)

	mu    sync.Mutex
	files map[string]*File
}

// NewSource parses the path, which is absolute.
func NewSource(path string, logf func(l logline.Level, format string, args ...any)) (*Source, error) {
	t, err := vars.Parse(path)
	if err != nil {
		return nil, err
	}
	s := &Source{path: t, logf: logf, files: map[string]*File{}}
	if !t.Constant() {
		s.base = filepath.Dir(path[:strings.IndexByte(path, '%')] + "x")
		return s, nil
	}
	path = t.Expand(&vars.Values{}) // "%%"
	s.files[path] = &File{Path: path, Logf: logf}
	s.path, err = vars.Parse(strings.ReplaceAll(path, "%", "%%"))
	return s, err
}

// Lookup gives the user's line and "path:line" of it for messages.
func (s *Source) Lookup(v *vars.Values, key string) (*Line, func() string, error) {
	f, err := s.file(v)
	if err != nil {
		return nil, nil, err
	}
	l, err := f.Lookup(key)
	return l, func() string { return f.Position(l) }, err
}

// file gives the file that would name the user. Of a path with variables one
// that was never there names nobody, since any name may be asked for; it is not
// kept, so strangers' domains cost no memory. Where the folder is not there
// either, a mount is missing, and that is no answer.
func (s *Source) file(v *vars.Values) (*File, error) {
	path := s.path.Expand(v)
	if s.base != "" {
		var err error
		if path, err = s.path.ExpandPath(v); err != nil {
			return nil, ErrNoUser // no file can have such a name
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[path]; f != nil {
		return f, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(s.base); err != nil {
			return nil, err
		}
		return nil, ErrNoUser
	}
	f := &File{Path: path, Now: s.now, Logf: s.logf}
	s.files[path] = f
	return f, nil
}

// Only gives the one file of a constant path, nil for a path with variables:
// whom those name cannot be listed.
func (s *Source) Only() *File {
	if s.base != "" {
		return nil
	}
	for _, f := range s.files {
		return f
	}
	return nil
}
