package maildir

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of folder names. Names on disk stay below 200 bytes, so that what
// Dovecot adds beside them (trash names, index trees) has room.
const (
	maxNameOnDisk = 200
	maxDepth      = 16
)

// isInbox: with a prefix, the INBOX has its own name beside the namespace.
func (s *Store) isInbox(name string) bool {
	return s.c.Prefix == "" && strings.EqualFold(name, "INBOX") || name == ""
}

// parts cuts a folder name at the namespace's separator and refuses what no
// folder can be called.
func (s *Store) parts(name string) ([]string, error) {
	parts := strings.Split(name, s.c.Separator)
	if len(parts) > maxDepth {
		return nil, fmt.Errorf("%w: more than %d levels", ErrName, maxDepth)
	}
	total := 0
	for _, p := range parts {
		if err := s.checkPart(p); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrName, err)
		}
		total += 1 + len(s.encode(p))
	}
	if total > maxNameOnDisk {
		return nil, fmt.Errorf("%w: more than %d bytes on disk", ErrName, maxNameOnDisk)
	}
	return parts, nil
}

func (s *Store) checkPart(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("begins, ends or doubles its separator")
	case !utf8.ValidString(p):
		return fmt.Errorf("not UTF-8")
	case strings.ContainsRune(p, '/'):
		return fmt.Errorf("contains a slash")
	case strings.IndexFunc(p, isControl) >= 0:
		return fmt.Errorf("contains a control character")
	case s.c.FS:
		return checkFSPart(p)
	case strings.ContainsRune(p, '.'):
		return fmt.Errorf("contains a dot, which separates folders on disk")
	}
	return nil
}

// checkFSPart refuses names that mean something else in a tree of plain
// directories.
func checkFSPart(p string) error {
	switch {
	case p == "cur", p == "new", p == "tmp", p == "maildirfolder", p == "maildirsize":
		return fmt.Errorf("%s is reserved", p)
	case strings.HasPrefix(p, "dovecot"), strings.HasPrefix(p, "subscriptions"), strings.HasPrefix(p, "maildirsize."):
		return fmt.Errorf("%s is reserved", p)
	case p[0] == '.', p[0] == '~':
		return fmt.Errorf("begins with %q", p[0])
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }

// hasWildcard finds the characters that IMAP's LIST takes as patterns.
func hasWildcard(parts []string) bool {
	for _, p := range parts {
		if strings.ContainsAny(p, "*%") {
			return true
		}
	}
	return false
}

// onDisk gives the directories of a folder, from the root down: one for
// Maildir++, one for each level in LAYOUT=fs.
func (s *Store) onDisk(parts []string) []string {
	names := s.encoded(parts)
	if s.c.FS {
		return names
	}
	return []string{"." + join(names, ".")}
}

func (s *Store) encoded(parts []string) []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = s.encode(p)
	}
	return names
}

func (s *Store) encode(part string) string {
	if s.c.UTF8 {
		return part
	}
	return encodeMUTF7(part)
}

// decode is the inverse; a name that nobody could have encoded stays as it is.
func (s *Store) decode(part string) string {
	if s.c.UTF8 {
		return part
	}
	if d, ok := decodeMUTF7(part); ok {
		return d
	}
	return part
}

func join(parts []string, sep string) string { return strings.Join(parts, sep) }
