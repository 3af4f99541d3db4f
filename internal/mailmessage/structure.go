package mailmessage

import (
	"strconv"
	"strings"
)

// BodyStructure is IMAP's BODYSTRUCTURE, or with extended false its BODY,
// without the outer parentheses (RFC 3501 section 7.4.2).
func (p *Part) BodyStructure(extended bool) string {
	var b strings.Builder
	p.structure(&b, extended)
	return b.String()
}

func (p *Part) structure(b *strings.Builder, extended bool) {
	if p.Is("multipart", "") {
		p.multiStructure(b, extended)
		return
	}
	nstring(b, p.Type)
	b.WriteByte(' ')
	nstring(b, p.Subtype)
	b.WriteByte(' ')
	params := p.Params
	if p.Is("text", "") && p.Param("charset") == "" {
		params = append(params[:len(params):len(params)], Param{"charset", "us-ascii"})
	}
	paramList(b, params)
	for _, name := range []string{"Content-ID", "Content-Description"} {
		b.WriteByte(' ')
		nstring(b, strings.TrimSpace(p.value(name)))
	}
	b.WriteByte(' ')
	nstring(b, p.Encoding)
	number := func(n int64) {
		b.WriteByte(' ')
		b.WriteString(strconv.FormatInt(n, 10))
	}
	number(p.BodySize())
	switch {
	case p.Is("text", ""):
		number(p.Lines)
	case p.Is("message", "rfc822") && len(p.Children) == 1:
		inner := p.Children[0]
		b.WriteString(" (" + inner.Envelope() + ") (")
		inner.structure(b, extended)
		b.WriteByte(')')
		number(p.Lines)
	}
	if extended {
		b.WriteByte(' ')
		nstring(b, strings.TrimSpace(p.value("Content-MD5")))
		p.extension(b)
	}
}

func (p *Part) multiStructure(b *strings.Builder, extended bool) {
	for _, child := range p.Children {
		b.WriteByte('(')
		child.structure(b, extended)
		b.WriteByte(')')
	}
	if len(p.Children) == 0 { // the grammar wants one
		b.WriteByte('(')
		(&Part{Type: "text", Subtype: "plain", Encoding: "7bit"}).structure(b, extended)
		b.WriteByte(')')
	}
	b.WriteByte(' ')
	nstring(b, p.Subtype)
	if extended {
		b.WriteByte(' ')
		paramList(b, p.Params)
		p.extension(b)
	}
}

// extension writes disposition, language and location.
func (p *Part) extension(b *strings.Builder) {
	b.WriteByte(' ')
	if head, params := Params(p.value("Content-Disposition")); head == "" {
		b.WriteString("NIL")
	} else {
		b.WriteByte('(')
		nstring(b, head)
		b.WriteByte(' ')
		paramList(b, params)
		b.WriteByte(')')
	}
	b.WriteByte(' ')
	languages := strings.FieldsFunc(uncommented(p.value("Content-Language")), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(languages) == 0 {
		b.WriteString("NIL")
	} else {
		b.WriteByte('(')
		for i, l := range languages {
			if i > 0 {
				b.WriteByte(' ')
			}
			nstring(b, l)
		}
		b.WriteByte(')')
	}
	b.WriteByte(' ')
	nstring(b, strings.TrimSpace(p.value("Content-Location")))
}

func paramList(b *strings.Builder, params []Param) {
	if len(params) == 0 {
		b.WriteString("NIL")
		return
	}
	for i, q := range params {
		b.WriteByte("( "[min(i, 1)])
		nstring(b, q.Name)
		b.WriteByte(' ')
		if q.Value == "" {
			b.WriteString(`""`)
		} else {
			nstring(b, q.Value)
		}
	}
	b.WriteByte(')')
}
