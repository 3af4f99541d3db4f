package maildir

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"culver/internal/mutf7"
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

// place finds where a mailbox's full name, with the namespace's prefix, leads:
// the parts of a folder, or none for the INBOX.
func (s *Store) place(name string) ([]string, error) {
	if strings.EqualFold(name, "INBOX") {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(name, s.c.Prefix)
	switch {
	case !ok:
		return nil, ErrOutside
	case s.c.Prefix != "" && strings.EqualFold(rest, "INBOX"):
		return nil, nil
	}
	return s.parts(rest)
}

// full gives the name of a folder as the user's mail program shows it.
func (s *Store) full(parts []string) string {
	if len(parts) == 0 {
		return "INBOX"
	}
	return s.c.Prefix + join(parts, s.c.Separator)
}

// parts cuts a folder name at the namespace's separator and refuses what no
// folder can be called.
func (s *Store) parts(name string) ([]string, error) {
	sep := s.c.Separator
	switch {
	case name == "" && s.c.Prefix == "":
		return nil, badName("Is empty")
	case name == "":
		return nil, badName("Ends with hierarchy separator")
	case strings.HasPrefix(name, sep):
		return nil, badName("Begins with hierarchy separator")
	case strings.HasSuffix(name, sep):
		return nil, badName("Ends with hierarchy separator")
	}
	parts := strings.Split(name, sep)
	if len(parts) > 1 && strings.EqualFold(parts[0], "INBOX") {
		parts[0] = "INBOX" // it has no case
	}
	if len(parts) > maxDepth {
		return nil, badName(fmt.Sprintf("More than %d levels", maxDepth))
	}
	total := 0
	for _, p := range parts {
		if err := s.checkPart(p); err != nil {
			return nil, err
		}
		total += 1 + len(s.encode(p))
	}
	if total > maxNameOnDisk {
		return nil, badName(fmt.Sprintf("More than %d bytes on disk", maxNameOnDisk))
	}
	return parts, nil
}

func badName(why string) error { return refused(ErrName, ErrName.Error()+": "+why) }

func (s *Store) checkPart(p string) error {
	switch {
	case p == "":
		return badName("Has adjacent hierarchy separators")
	case !utf8.ValidString(p):
		return badName("Not valid UTF-8")
	case strings.ContainsRune(p, '/'):
		return badName("Name must not have '/' characters")
	case strings.IndexFunc(p, isControl) >= 0:
		return badName("Contains control characters")
	case s.c.FS:
		return checkFSPart(p)
	case strings.ContainsRune(p, '.'):
		return badName("Contains a dot, which separates folders on disk")
	}
	return nil
}

// checkFSPart refuses names that mean something else in a tree of plain
// directories.
func checkFSPart(p string) error {
	switch {
	case p == "cur", p == "new", p == "tmp", p == "maildirfolder", p == "maildirsize", p == "DOVECOT-TRASHED":
		return badName("Contains reserved name")
	case strings.HasPrefix(p, "dovecot"), strings.HasPrefix(p, "subscriptions"), strings.HasPrefix(p, "maildirsize."):
		return badName("Contains reserved name")
	case p == "..":
		return badName("Contains '..' part")
	case p[0] == '.', p[0] == '~':
		return badName(fmt.Sprintf("Begins with '%c'", p[0]))
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
	return mutf7.Encode(part)
}

// decode is the inverse; a name that nobody could have encoded stays as it is.
func (s *Store) decode(part string) string {
	if s.c.UTF8 {
		return part
	}
	if d, ok := mutf7.Decode(part); ok {
		return d
	}
	return part
}

func join(parts []string, sep string) string { return strings.Join(parts, sep) }
