package passwdfile

import (
	"bytes"
	"hash/maphash"
)

// snapshot is one version of the file: its bytes, and an open hash table of
// where each user's line starts. Beside the file itself a user costs 8 to 16
// bytes and no pointer, so a million of them cost the garbage collector nothing.
type snapshot struct {
	text  []byte
	slots []uint32 // offset of a line + 1; 0 is free
	seed  maphash.Seed
	users int
}

// duplicate is a line that names a user whom an earlier line names.
type duplicate struct{ offset, first int }

// index reads text; of two lines with one name the first wins.
func index(text []byte) (*snapshot, []duplicate) {
	size := 16
	for size < 2*bytes.Count(text, []byte{'\n'}) {
		size *= 2
	}
	s := &snapshot{text: text, slots: make([]uint32, 2*size), seed: maphash.MakeSeed()}
	var twice []duplicate
	for at := 0; at < len(text); at = s.after(at) {
		name := nameOf(text[at:])
		if len(name) == 0 {
			continue
		}
		slot, found := s.find(name)
		if found {
			if len(twice) < maxComplaints {
				twice = append(twice, duplicate{at, int(s.slots[slot]) - 1})
			}
			continue
		}
		s.slots[slot] = uint32(at) + 1
		s.users++
	}
	return s, twice
}

// find gives the slot of name, or the free one where it belongs.
func (s *snapshot) find(name []byte) (slot int, found bool) {
	mask := len(s.slots) - 1
	for i := int(maphash.Bytes(s.seed, name)) & mask; ; i = (i + 1) & mask {
		at := s.slots[i]
		if at == 0 {
			return i, false
		}
		if bytes.Equal(nameOf(s.text[at-1:]), name) {
			return i, true
		}
	}
}

// after gives the offset of the line after the one at offset at.
func (s *snapshot) after(at int) int {
	if i := bytes.IndexByte(s.text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(s.text)
}

func (s *snapshot) lookup(name string) *Line {
	slot, found := s.find([]byte(name))
	if !found {
		return nil
	}
	return s.lineAt(int(s.slots[slot]) - 1)
}

func (s *snapshot) lineAt(at int) *Line {
	end := s.after(at)
	l := ParseLine(string(bytes.TrimSuffix(s.text[at:end], []byte{'\n'})))
	if l != nil {
		l.offset = at
	}
	return l
}

// number gives the line number of an offset, counting: it is for messages only.
func (s *snapshot) number(offset int) int {
	return bytes.Count(s.text[:offset], []byte{'\n'}) + 1
}
