package config

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"culver/internal/settings"
)

// value reads an expression's source text: a number, a word, a string or a list
// of them. What HCL makes of the text does not matter: it would read 0600 as
// six hundred and normalise letters.
func (s *source) value(e hclsyntax.Expression) (settings.Value, *fault) {
	r := e.Range()
	raw := s.slice(r)
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.TemplateExpr:
		if strings.HasPrefix(raw, `"`) && strings.HasSuffix(raw, `"`) && len(raw) >= 2 {
			return settings.Value{Form: settings.Quoted, Text: unquote(raw[1 : len(raw)-1])}, nil
		}
		if _, literal := e.(*hclsyntax.LiteralValueExpr); literal && raw != "" {
			form := settings.Bare
			if raw[0] >= '0' && raw[0] <= '9' {
				form = settings.Number
			}
			return settings.Value{Form: form, Text: raw}, nil
		}
	case *hclsyntax.ScopeTraversalExpr:
		if len(e.Traversal) == 1 {
			return settings.Value{Form: settings.Bare, Text: raw}, nil
		}
	case *hclsyntax.TupleConsExpr:
		list := settings.Value{Form: settings.Listed}
		for _, inner := range e.Exprs {
			v, f := s.value(inner)
			if f != nil {
				return v, f
			}
			list.Items = append(list.Items, v)
		}
		return list, nil
	}
	return settings.Value{}, s.notAValue(r.Start.Byte)
}

// slice gives the text of a range as it is on disk.
func (s *source) slice(r hcl.Range) string {
	from := min(max(r.Start.Byte, 0), len(s.text))
	to := min(max(r.End.Byte, from), len(s.text))
	return string(s.text[from:to])
}

// unquote resolves the escapes of a string. HCL has refused bad ones already.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out bytes.Buffer
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 't':
			out.WriteByte('\t')
		case 'u', 'U':
			n := 4
			if s[i] == 'U' {
				n = 8
			}
			code, err := strconv.ParseUint(s[min(i+1, len(s)):min(i+1+n, len(s))], 16, 32)
			if err == nil {
				out.WriteRune(rune(code))
				i += n
			}
		default:
			out.WriteByte(s[i])
		}
	}
	return out.String()
}
