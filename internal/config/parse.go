package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Each syntax error costs a parse of the file, so their number is bounded, and
// in a huge file by the bytes parsed: a reload must not hold the master up.
const (
	maxFaults = 50
	maxParsed = 2 << 20
)

// parse gives the syntax tree of what can be understood, and all that cannot.
// HCL's parser stumbles on after its first error and reports ghosts; so after
// each error the guilty line is blanked and the file parsed again.
func (s *source) parse() (*hclsyntax.Body, []fault) {
	faults, fatal := s.scan()
	if fatal != nil {
		return &hclsyntax.Body{}, append(faults, *fatal)
	}
	for parsed := 0; ; parsed += len(s.text) {
		file, diags := hclsyntax.ParseConfig(s.safe, s.name, hcl.InitialPos)
		body := file.Body.(*hclsyntax.Body)
		d := firstError(diags)
		if d == nil {
			return body, faults
		}
		f := s.explain(d)
		faults = append(faults, *f)
		at := f.offset
		if d.Subject != nil {
			at = d.Subject.Start.Byte
		}
		if len(faults) >= maxFaults || parsed > maxParsed || !s.mute(min(at, len(s.text))) {
			return body, faults
		}
	}
}

func firstError(diags hcl.Diagnostics) *hcl.Diagnostic {
	var first *hcl.Diagnostic
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		if first == nil || d.Subject != nil && first.Subject != nil && d.Subject.Start.Byte < first.Subject.Start.Byte {
			first = d
		}
	}
	return first
}
