package passwdfile

import (
	"bytes"
	"strings"
)

// Line is one user's line, cut into what spec/auth.md 6.4 names.
type Line struct {
	Name     string
	Password string
	UID, GID string // as written: a number or a name
	Home     string
	Extras   []string // key or key=value, not yet expanded
	Text     string   // all of it
	offset   int
}

// ParseLine reads one line without its LF. It is nil for a line that names no
// user: an empty one, or one that begins with "#" or ":".
func ParseLine(text string) *Line {
	text = strings.TrimSuffix(text, "\r")
	if text == "" || text[0] == '#' || text[0] == ':' {
		return nil
	}
	// user:password:uid:gid:gecos:home:shell:extra fields, which may have colons.
	l, ignored := &Line{Text: text}, ""
	for _, column := range [...]*string{&l.Name, &l.Password, &l.UID, &l.GID, &ignored, &l.Home, &ignored} {
		*column, text, _ = strings.Cut(text, ":")
	}
	// The legacy form: an eighth column that is empty, then the mail location.
	if mail, legacy := strings.CutPrefix(text, ":"); legacy {
		if mail != "" {
			l.Extras = []string{"userdb_mail=" + mail}
		}
		return l
	}
	for extra := range strings.SplitSeq(text, " ") {
		if extra != "" {
			l.Extras = append(l.Extras, extra)
		}
	}
	return l
}

// nameOf gives the user name of the line that starts text; "" when it has none.
func nameOf(text []byte) []byte {
	if len(text) == 0 || text[0] == '#' || text[0] == ':' {
		return nil
	}
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i]
	}
	if i := bytes.IndexByte(text, ':'); i >= 0 {
		return text[:i]
	}
	return bytes.TrimSuffix(text, []byte("\r"))
}
