package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// The shapes of lines that HCL refuses, and that people write all the same.
var (
	twoSettings = regexp.MustCompile(`^\s*[\w-]+\s*=\s*("[^"]*"|[^\s",;\[]+)\s*[;,]?\s+([\w-]+)\s*=`)
	assignment  = regexp.MustCompile(`^\s*[\w-]+\s*=\s*`)
	badName     = regexp.MustCompile(`^\s*("[^"]*"|[^\s\w"][^\s=]*)\s*=`)
	blockEquals = regexp.MustCompile(`^\s*[\w-]+(\s+("[^"]*"|[\w-]+))?\s*=\s*\{`)
	oneLine     = regexp.MustCompile(`^\s*[\w-]+(\s+("[^"]*"|[\w./*-]+))?\s*\{.*\S.*\}`)
	pathLabel   = regexp.MustCompile(`^\s*[\w-]+\s+([./][^\s"{]*)\s*\{`)
	plainText   = regexp.MustCompile(`^[A-Za-z%~][\w.@:~/%+, -]*$`)
	noEquals    = regexp.MustCompile(`^\s*([\w-]+)\s+([^\s{=]+)\s*$`)
	unquoted    = []struct {
		shape *regexp.Regexp
		what  string
	}{
		{regexp.MustCompile(`(?:^|[\s=\[,])(\d+\.\d+\.\d+\.\d+(?:/\d+)?)`), "an address without quotes"},
		{regexp.MustCompile(`(?:^|[\s=\[,])([0-9a-fA-F]*::?[0-9a-fA-F:]+(?:/\d+)?|::)`), "an address without quotes"},
		{regexp.MustCompile(`(?:^|[\s=\[,])(\d+[KMGTkmgt](?:i?[bB])?)\b`), "a size without quotes"},
		{regexp.MustCompile(`(?:^|[\s=\[,])(\d+(?:ms|s|secs?|m|mins?|h|hours?|d|days?|w|weeks?))\b`), "a time without quotes"},
		{regexp.MustCompile(`(?:^|[\s=\[,])(\d+%)`), "a share without quotes"},
		{regexp.MustCompile(`(?:^|[\s=\[,])(~?/[^\s,\]]*)`), "a path without quotes"},
	}
)

// explain rewrites what HCL says about a place into our words. It looks at the
// line itself first: the parser's view of what went wrong is rarely the
// administrator's.
func (s *source) explain(d *hcl.Diagnostic) *fault {
	at := 0
	if d.Subject != nil {
		at = d.Subject.Start.Byte
	}
	at = min(max(at, 0), len(s.text))
	i := s.lineAt(at)
	if f := s.explainLine(i, d); f != nil {
		return f
	}
	switch d.Summary {
	case "Invalid escape sequence":
		return &fault{at, "a backslash that escapes nothing", `write \\ for a backslash`}
	case "Attribute redefined":
		return &fault{at, "the same setting twice in one block", "remove one of them"}
	case "Invalid block definition":
		return &fault{at, "a block without its {", `write name "label" {, all on one line`}
	case "Missing newline after argument", "Missing newline after block definition":
		return &fault{at, "more text behind the end of a setting or block", "one setting a line; put text in quotes"}
	case "Invalid single-argument block definition":
		return &fault{at, "a block on one line that holds more than one setting", "give each setting a line of its own"}
	}
	return s.notAValue(at)
}

// explainLine knows lines by their shape; nil if this one has none of them.
func (s *source) explainLine(i int, d *hcl.Diagnostic) *fault {
	text := stripped(s.lineText(i))
	start := s.lines[i].start
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	bare := strings.TrimSpace(text)
	at := func(offset int, what, hint string) *fault { return &fault{start + offset, what, hint} }
	switch {
	case strings.HasPrefix(bare, "!include_try"):
		return at(indent, "!include_try is not known here", `write include "GLOB" { optional = yes }`)
	case strings.HasPrefix(bare, "!include"):
		return at(indent, "!include is not known here", `write include "GLOB" {}`)
	case d != nil && (d.Summary == "Attribute redefined" || d.Summary == "Invalid escape sequence"):
		return nil
	}
	if m := blockEquals.FindStringIndex(text); m != nil {
		return at(strings.IndexByte(text, '='), "a block with =", "write it without the =")
	}
	if m := twoSettings.FindStringSubmatchIndex(text); m != nil {
		return at(m[4], "two settings on one line", "one setting a line")
	}
	if m := pathLabel.FindStringSubmatchIndex(text); m != nil {
		label := text[m[2]:m[3]]
		return at(m[2], "a path without quotes", fmt.Sprintf("write %q", label))
	}
	if oneLine.MatchString(text) {
		return at(strings.IndexByte(text, '{'), "a block on one line that holds more than one setting", "give each setting a line of its own")
	}
	if f := s.explainUnquoted(i, text); f != nil {
		return f
	}
	if m := badName.FindStringSubmatchIndex(text); m != nil {
		return at(m[2], fmt.Sprintf("%s is not the name of a setting", s.text[start+m[2]:start+m[3]]), "names have no quotes and no signs")
	}
	if m := noEquals.FindStringSubmatchIndex(text); m != nil {
		return at(m[2], "a setting without =", fmt.Sprintf("write %s = %s", s.text[start+m[2]:start+m[3]], s.text[start+m[4]:start+m[5]]))
	}
	return nil
}

// explainUnquoted finds a value that lacks its quotes.
func (s *source) explainUnquoted(i int, text string) *fault {
	start := s.lines[i].start
	for _, u := range unquoted {
		if m := u.shape.FindStringSubmatchIndex(text); m != nil {
			return &fault{start + m[2], u.what, fmt.Sprintf(`write "%s"`, s.text[start+m[2]:start+m[3]])}
		}
	}
	m := assignment.FindStringIndex(text)
	if m == nil {
		return nil
	}
	value := strings.TrimSpace(text[m[1]:])
	switch {
	case value == "":
		return &fault{start + m[1], "a setting without a value", `"" is the empty text, [] the empty list`}
	case plainText.MatchString(value):
		return &fault{start + m[1], "a text without quotes", fmt.Sprintf(`write "%s"`, value)}
	case value[0] == '\'':
		return &fault{start + m[1], "single quotes", `quote with "`}
	case strings.HasPrefix(value, "<") && !strings.HasPrefix(value, "<<"):
		return &fault{start + m[1], "a value from a file", "write the path itself, in quotes"}
	case strings.HasPrefix(value, "<<"):
		return &fault{start + m[1], "a here-document", "write the text in quotes, on one line"}
	}
	return nil
}

// notAValue is what we say of anything that is none of our values.
func (s *source) notAValue(at int) *fault {
	i := s.lineAt(at)
	text := stripped(s.lineText(i))
	if f := s.explainUnquoted(i, text); f != nil {
		return f
	}
	if assignment.MatchString(text) {
		return &fault{at, "this is not a value", `values are numbers, words, "texts" and [lists]; there are no expressions`}
	}
	return &fault{at, "neither a setting nor a block", `write name = value, or name "label" {`}
}

// stripped blanks strings and comments of a line, byte by byte, so that places
// in it stay true.
func stripped(text string) string {
	out := []byte(text)
	inString := false
	for i := 0; i < len(out); i++ {
		switch {
		case inString && out[i] == '\\' && i+1 < len(out):
			out[i], out[i+1] = '_', '_'
			i++
		case out[i] == '"':
			inString = !inString
		case inString:
			out[i] = '_'
		case out[i] == '#' || out[i] == '/' && i+1 < len(out) && out[i+1] == '/':
			for j := i; j < len(out); j++ {
				out[j] = ' '
			}
			return string(out)
		}
	}
	return string(out)
}
