package lmtpproto

import "strings"

// Path is a mailbox as MAIL and RCPT name it, its source route dropped and its
// quoting undone.
type Path struct {
	Local  string
	Domain string // "" when none was given
}

// IsNull tells the null reverse path, <>.
func (p Path) IsNull() bool { return p.Local == "" && p.Domain == "" }

// String gives the path as it stands between < and >, quoted where it must be.
func (p Path) String() string {
	if p.IsNull() {
		return ""
	}
	local := p.Local
	if !dotAtom(local) {
		local = quote(local)
	}
	if p.Domain == "" {
		return local
	}
	return local + "@" + p.Domain
}

// IsASCII tells whether the path may be used without SMTPUTF8.
func (p Path) IsASCII() bool { return ascii(p.Local) && ascii(p.Domain) }

// User gives the name that auth knows and the detail: the first of the bytes in
// delimiters cuts the local part. found tells an empty detail from none.
func (p Path) User(delimiters string) (name, detail string, found bool) {
	name = p.Local
	if i := strings.IndexAny(name, delimiters); delimiters != "" && i >= 0 {
		name, detail, found = name[:i], name[i+1:], true
	}
	if p.Domain != "" {
		name += "@" + p.Domain
	}
	return name, detail, found
}

// Workarounds are the forms outside the grammar that lmtp_client_workarounds
// permits.
type Workarounds struct {
	WhitespaceBeforePath bool
	MailboxForPath       bool
}

// cutPath takes the path off the front of args, without its < and >.
func cutPath(args string, w Workarounds) (inner, rest string, err error) {
	if w.WhitespaceBeforePath {
		args = strings.TrimLeft(args, " ")
	}
	end := byte('>')
	switch {
	case strings.HasPrefix(args, "<"):
		args = args[1:]
	case w.MailboxForPath && args != "" && args[0] != ' ':
		args, end = args+" ", ' '
	default:
		return "", "", ErrParam
	}
	i := scanPath(args, end)
	if i < 0 || i > MaxPath {
		return "", "", ErrParam
	}
	inner, rest = args[:i], strings.TrimRight(args[i+1:], " ")
	if end == ' ' {
		return inner, rest, nil
	}
	if rest != "" && (rest[0] != ' ' || rest == " ") {
		return "", "", ErrParam
	}
	return inner, strings.TrimPrefix(rest, " "), nil
}

// scanPath finds the end byte outside quotes; -1 if a blank or < comes first.
func scanPath(s string, end byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == end:
			return i
		case c == ' ' || c == '<':
			return -1
		}
	}
	return -1
}

// parseAddress reads what stood between < and >; it is not empty.
func parseAddress(s string) (Path, error) {
	if s[0] == '@' { // RFC 5321 appendix C: source routes are taken and ignored
		_, after, found := strings.Cut(s, ":")
		if !found || after == "" || !sourceRoute(s[:len(s)-len(after)-1]) {
			return Path{}, ErrParam
		}
		s = after
	}
	local, rest, err := cutLocal(s)
	if err != nil || local == "" {
		return Path{}, ErrParam
	}
	if rest == "" {
		return Path{Local: local}, nil
	}
	if rest[0] != '@' || !isDomain(rest[1:]) {
		return Path{}, ErrParam
	}
	return Path{local, rest[1:]}, nil
}

func sourceRoute(s string) bool {
	for hop := range strings.SplitSeq(s, ",") {
		if hop == "" || hop[0] != '@' || !isDomain(hop[1:]) {
			return false
		}
	}
	return true
}

// cutLocal takes the local part off, a quoted one unquoted.
func cutLocal(s string) (local, rest string, err error) {
	if s[0] != '"' {
		i := strings.IndexByte(s, '@')
		if i < 0 {
			i = len(s)
		}
		if !dotAtom(s[:i]) {
			return "", "", ErrParam
		}
		return s[:i], s[i:], nil
	}
	var out []byte
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return string(out), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", ErrParam
			}
		}
		out = append(out, s[i])
	}
	return "", "", ErrParam
}

// dotAtom is Dot-string of RFC 5321 section 4.1.2, with RFC 6531's UTF-8.
func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if c := atom[i]; c < 0x80 && !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}

// isDomain is lenient about underscores and hyphens, which exist, and refuses
// what could end a path or a reply's <address>.
func isDomain(s string) bool {
	if strings.HasPrefix(s, "[") {
		return len(s) > 2 && strings.IndexAny(s, "]") == len(s)-1 && !strings.ContainsAny(s, " <>\"\\@")
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c < 0x80 && !isAlnum(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

func quote(s string) string {
	out := []byte{'"'}
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(append(out, '"'))
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
