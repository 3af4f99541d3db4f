package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"unicode/utf8"
)

// Bounds of one file. More is a mistake, and HCL's parser, which recurses, would
// take its stack with it.
const (
	maxFile  = 1 << 20
	maxLine  = 1 << 16
	maxDepth = 32
)

// guard stands for the { of %{ and ${ in strings while HCL parses, which would
// take them for its own templates. One byte for one, so that places stay true.
const guard = 0x01

// source is the text of one file.
type source struct {
	name  string
	text  []byte // as it is on disk
	safe  []byte // what HCL sees: guarded, repaired, bad lines blanked
	lines []line
}

// line is one line of the text, without its line end.
type line struct {
	start, end int
	depth      int // brackets open behind its end
	muted      bool
}

// readSource reads a file. Only regular files, and opened without waiting: a
// named pipe would hang root.
func readSource(name string) (*source, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	return newSource(name, text), nil
}

// plain drops the operation and path of an error; the caller shows the path.
func plain(err error) error {
	if pathErr, ok := err.(*os.PathError); ok {
		return pathErr.Err
	}
	return err
}

func newSource(name string, text []byte) *source {
	s := &source{name: name, text: text, safe: bytes.Clone(text)}
	for start := 0; ; {
		i := bytes.IndexByte(text[start:], '\n')
		if i < 0 {
			s.lines = append(s.lines, line{start: start, end: len(text)})
			return s
		}
		s.lines = append(s.lines, line{start: start, end: start + i})
		start += i + 1
	}
}

// lineAt gives the index of the line that holds a byte.
func (s *source) lineAt(offset int) int {
	i, found := slices.BinarySearchFunc(s.lines, offset, func(l line, at int) int { return cmp.Compare(l.start, at) })
	if !found {
		i--
	}
	return max(i, 0)
}

// pos gives the place of a byte.
func (s *source) pos(offset int) Pos {
	offset = min(max(offset, 0), len(s.text))
	i := s.lineAt(offset)
	return Pos{s.name, i + 1, utf8.RuneCount(s.text[s.lines[i].start:offset]) + 1}
}

// lineText gives the text of a line by index.
func (s *source) lineText(i int) string {
	return string(bytes.TrimSuffix(s.text[s.lines[i].start:s.lines[i].end], []byte("\r")))
}

// mute blanks the line at offset, and the lines of the block or list that it
// opens, so that the rest can be parsed on its own. It reports false when that
// is not possible.
func (s *source) mute(offset int) bool {
	first := s.lineAt(offset)
	before := 0
	if first > 0 {
		before = s.lines[first-1].depth
	}
	last := first
	for s.lines[last].depth > before && last < len(s.lines)-1 {
		last++
	}
	if s.lines[last].depth != before || s.lines[first].muted {
		return false
	}
	for i := first; i <= last; i++ {
		s.lines[i].muted = true
		for at := s.lines[i].start; at < s.lines[i].end; at++ {
			s.safe[at] = ' '
		}
	}
	return true
}
