package mailmessage

import (
	"bytes"
	"strconv"
	"strings"
)

// Envelope is IMAP's ENVELOPE without its parentheses (RFC 3501 section 7.4.2).
func (h Header) Envelope() string {
	var b strings.Builder
	nstring(&b, h.value("Date"))
	b.WriteByte(' ')
	subject, _ := h.Get("Subject")
	if text := squeezed(subject.Text()); bytes.IndexByte(subject.Raw, '\n') < 0 {
		nstring(&b, text)
	} else {
		literal(&b, text)
	}
	from := h.addresses("From")
	for _, name := range []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc"} {
		b.WriteByte(' ')
		list := h.addresses(name)
		if name == "Sender" || name == "Reply-To" {
			if len(list) == 0 {
				list = from
			}
		}
		addressList(&b, list)
	}
	b.WriteByte(' ')
	nstring(&b, h.value("In-Reply-To"))
	b.WriteByte(' ')
	nstring(&b, h.value("Message-ID"))
	return b.String()
}

// addresses gives those of all fields of a name.
func (h Header) addresses(name string) []Address {
	var all []Address
	for _, f := range h.All(name) {
		all = append(all, Addresses(f.Text())...)
	}
	return all
}

func addressList(b *strings.Builder, all []Address) {
	if len(all) == 0 {
		b.WriteString("NIL")
		return
	}
	b.WriteByte('(')
	for _, a := range all {
		mailbox, domain := a.Mailbox, a.Domain
		if !a.Group {
			// RFC 3501 has NIL here mean a group; Dovecot's words for what is missing.
			mailbox, domain = orWord(mailbox, "MISSING_MAILBOX"), orWord(domain, "MISSING_DOMAIN")
		}
		for i, s := range []string{squeezed(a.Name), a.Route, mailbox, domain} {
			b.WriteByte("( "[min(i, 1)])
			nstring(b, s)
		}
		b.WriteByte(')')
	}
	b.WriteByte(')')
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// squeezed makes each run of white space one blank.
func squeezed(s string) string { return strings.Join(strings.Fields(s), " ") }

// nstring writes a string as IMAP has it: NIL, quoted, or as a literal where
// quotes would need escapes.
func nstring(b *strings.Builder, s string) {
	if s == "" {
		b.WriteString("NIL")
		return
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c >= 0x80 || c == '\r' || c == '\n' || c == 0 {
			literal(b, s)
			return
		}
	}
	b.WriteByte('"')
	b.WriteString(s)
	b.WriteByte('"')
}

func literal(b *strings.Builder, s string) {
	b.WriteString("{" + strconv.Itoa(len(s)) + "}\r\n")
	b.WriteString(s)
}
