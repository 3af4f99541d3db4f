// Package rule is what passdb and userdb blocks have in common: whom a block is
// asked about, and what follows its answer.
//
// Runs as:   the auth service user; pure.
// Trusts:    its settings.
// Distrusts: nobody.
// Speaks:    the result rules and username_filter of spec/auth.md 6.1.
package rule

import (
	"fmt"
	"strings"

	"culver/internal/authproto"
)

// Rule says whether the next block is asked, and what the verdict is until it
// has answered. The zero value is the default of its place in Rules.
type Rule int

// The rules.
const (
	Default Rule = iota
	ReturnOK
	Return
	ReturnFail
	Continue
	ContinueOK
	ContinueFail
)

var words = map[string]Rule{
	"": Default, "return-ok": ReturnOK, "return": Return, "return-fail": ReturnFail,
	"continue": Continue, "continue-ok": ContinueOK, "continue-fail": ContinueFail,
}

// Parse reads a rule.
func Parse(word string) (Rule, error) {
	r, ok := words[word]
	if !ok {
		return Default, fmt.Errorf("rule %q is none, want return-ok, return, return-fail, continue, continue-ok or continue-fail", word)
	}
	return r, nil
}

// Continues says whether the next block is asked.
func (r Rule) Continues() bool { return r >= Continue }

// Answer is what a block said.
type Answer int

// The answers.
const (
	Yes Answer = iota
	No
	Broken // it could not tell
)

// Rules are those of one block.
type Rules struct{ Success, Failure, Internal Rule }

// After gives the rule for an answer.
func (r Rules) After(a Answer) Rule {
	rule, otherwise := r.Success, ReturnOK
	switch a {
	case No:
		rule, otherwise = r.Failure, Continue
	case Broken:
		rule, otherwise = r.Internal, Continue
	}
	if rule == Default {
		return otherwise
	}
	return rule
}

// Verdict gives the verdict that follows the one so far.
func (r Rule) Verdict(soFar bool) bool {
	switch r {
	case ReturnOK, ContinueOK:
		return true
	case ReturnFail, ContinueFail:
		return false
	}
	return soFar
}

// Filter is username_filter: masks, and after a "!" masks of those left out. The
// empty one lets everybody through.
type Filter []string

// Has says whether a block with this filter is asked about the user.
func (f Filter) Has(user string) bool {
	included, has := false, false
	for _, mask := range f {
		except, isExcept := strings.CutPrefix(mask, "!")
		switch {
		case !isExcept:
			has = true
			included = included || authproto.MatchMask(mask, user)
		case authproto.MatchMask(except, user):
			return false
		}
	}
	return included || !has
}

// ParseFilter reads words separated by blanks or commas.
func ParseFilter(words []string) (f Filter) {
	for _, w := range words {
		f = append(f, strings.FieldsFunc(w, func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	return f
}
