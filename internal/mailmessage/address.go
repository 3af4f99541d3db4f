package mailmessage

import "strings"

// Address is one of a field's addresses, or the begin or end of a group: a
// begin has the group's name as Mailbox and no Domain, an end has nothing.
type Address struct {
	Name    string // display name, or the comment that stands for one; not decoded
	Route   string // obsolete source route, "@a,@b"
	Mailbox string
	Domain  string
	Group   bool // begin or end of a group
}

// String is the address alone.
func (a Address) String() string {
	if a.Group {
		return a.Mailbox
	}
	return a.Mailbox + "@" + a.Domain
}

// maxAddresses bounds what one field names.
const maxAddresses = 10000

// Addresses reads an address list (RFC 5322 section 3.4), and makes of a broken
// one what can be made.
func Addresses(text string) []Address {
	p := addressParser{rest: text}
	var all []Address
	inGroup := false
	for len(all) < maxAddresses {
		p.blanks()
		if p.rest == "" {
			break
		}
		switch p.rest[0] {
		case ',':
			p.rest = p.rest[1:]
			continue
		case ';':
			p.rest = p.rest[1:]
			if inGroup {
				all = append(all, Address{Group: true})
				inGroup = false
			}
			continue
		}
		a, group := p.address(!inGroup)
		inGroup = inGroup || group
		all = append(all, a)
	}
	if inGroup {
		all = append(all, Address{Group: true})
	}
	return all
}

type addressParser struct {
	rest    string
	comment string // the last one read
}

// blanks skips white space and comments, and remembers the last comment.
func (p *addressParser) blanks() {
	for p.rest != "" {
		switch p.rest[0] {
		case ' ', '\t', '\r', '\n':
			p.rest = p.rest[1:]
		case '(':
			p.comment, p.rest = comment(p.rest)
		default:
			return
		}
	}
}

// comment reads one with those nested in it; they stay as written.
func comment(from string) (text, rest string) {
	var b strings.Builder
	depth := 0
	for i := 0; i < len(from); i++ {
		switch c := from[i]; c {
		case '\\':
			if i++; i < len(from) {
				b.WriteByte(from[i])
			}
			continue
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				return strings.TrimSpace(b.String()), from[i+1:]
			}
		}
		b.WriteByte(from[i])
	}
	return strings.TrimSpace(b.String()), ""
}

// words reads a phrase or local part up to a character of stops: atoms, quoted
// strings and dots. Blanks between two words are kept as one space in phrase
// and left out in local.
func (p *addressParser) words(stops string) (phrase, local string) {
	var ph, lo strings.Builder
	for {
		before := len(p.rest)
		p.blanks()
		gap := before != len(p.rest)
		if p.rest == "" || strings.IndexByte(stops, p.rest[0]) >= 0 {
			return ph.String(), lo.String()
		}
		if gap && ph.Len() > 0 {
			ph.WriteByte(' ')
		}
		word := p.word(stops)
		ph.WriteString(word)
		lo.WriteString(word)
	}
}

func (p *addressParser) word(stops string) string {
	if p.rest[0] == '"' {
		var b strings.Builder
		for i := 1; i < len(p.rest); i++ {
			switch c := p.rest[i]; c {
			case '\\':
				if i++; i < len(p.rest) {
					b.WriteByte(p.rest[i])
				}
			case '"':
				p.rest = p.rest[i+1:]
				return b.String()
			default:
				b.WriteByte(c)
			}
		}
		p.rest = ""
		return b.String()
	}
	i := 1
	for i < len(p.rest) && strings.IndexByte(stops+" \t\r\n(\"", p.rest[i]) < 0 {
		i++
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

// address reads one address, or the begin of a group where one may be.
func (p *addressParser) address(mayGroup bool) (a Address, group bool) {
	p.comment = ""
	stops := ",;<@"
	if mayGroup {
		stops += ":"
	}
	phrase, local := p.words(stops)
	switch {
	case p.rest != "" && p.rest[0] == ':' && mayGroup:
		p.rest = p.rest[1:]
		return Address{Mailbox: phrase, Group: true}, true
	case p.rest != "" && p.rest[0] == '<':
		p.rest = p.rest[1:]
		a = p.angle()
		a.Name = phrase
		if a.Name == "" {
			p.blanks()
			a.Name = p.comment
		}
		p.toSeparator()
		return a, false
	case p.rest != "" && p.rest[0] == '@':
		p.rest = p.rest[1:]
		_, a.Domain = p.words(",;<:@")
	}
	a.Mailbox, a.Name = local, p.comment
	p.toSeparator()
	return a, false
}

// maxRoute bounds a source route.
const maxRoute = 4096

// angle reads what stands between < and >.
func (p *addressParser) angle() (a Address) {
	p.blanks()
	if strings.HasPrefix(p.rest, "@") {
		if end := strings.IndexByte(p.rest[:min(len(p.rest), maxRoute)], ':'); end > 0 && !strings.Contains(p.rest[:end], ">") {
			a.Route, p.rest = p.rest[:end], p.rest[end+1:]
		}
	}
	_, a.Mailbox = p.words("@>")
	if strings.HasPrefix(p.rest, "@") {
		p.rest = p.rest[1:]
		_, a.Domain = p.words(">")
	}
	p.rest = strings.TrimPrefix(p.rest, ">")
	return a
}

// toSeparator skips what does not belong to an address, up to the next one.
func (p *addressParser) toSeparator() {
	for p.blanks(); p.rest != "" && p.rest[0] != ',' && p.rest[0] != ';'; p.blanks() {
		p.word(",;")
	}
}
