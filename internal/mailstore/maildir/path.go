package maildir

import "strings"

// Path says where a folder's files of one kind lie, or would lie. "" means that
// there is no such place; ok is false for a kind that there is not.
func (s *Store) Path(name, kind string) (path string, ok bool, err error) {
	top := ""
	switch kind {
	case "dir", "mailbox":
		top = s.c.Root
	case "control":
		top = s.c.Control
	case "index":
		top = s.c.Index
	case "alt-dir", "alt-mailbox", "index-private":
		return "", true, nil
	default:
		return "", false, nil
	}
	parts, err := s.place(name)
	switch {
	case err == ErrOutside:
		return "", true, nil
	case err != nil:
		return "", true, err
	case parts == nil && top == s.c.Root:
		return s.c.Inbox, true, nil
	case parts == nil && !s.c.FS:
		return top + "/.INBOX", true, nil
	case parts == nil:
		return top + "/INBOX", true, nil
	}
	return top + "/" + strings.Join(s.onDisk(parts), "/"), true, nil
}
