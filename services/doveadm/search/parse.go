package search

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"culver/internal/mutf7"
)

// Limits of a query, which is otherwise as long as a command line may be.
const (
	maxDepth = 100
	maxNodes = 100_000
)

// parser holds the words and how far it is.
type parser struct {
	tokens []string
	at     int
	env    Env
	nodes  int
	depth  int
	part   bool       // inside MIMEPART
	fixed  []fixedKey // what counts from now
}

// fixedKey is a key and its operand in a form that does not count from now.
type fixedKey struct {
	at           int
	key, operand string
}

// Parse reads a query. A faulty one gives an *Error.
func Parse(tokens []string, env Env) (*Query, error) {
	p := parser{tokens: tokens, env: env}
	return p.query()
}

// Fix gives the query with all that counts from now replaced by moments, so
// that a run over many users and hours has one "30d".
func Fix(tokens []string, env Env) ([]string, error) {
	p := parser{tokens: tokens, env: env}
	if _, err := p.query(); err != nil {
		return nil, err
	}
	fixed := append([]string(nil), tokens...)
	for _, f := range p.fixed {
		fixed[f.at], fixed[f.at+1] = f.key, f.operand
	}
	return fixed, nil
}

func (p *parser) query() (*Query, error) {
	root, bad := p.list()
	if bad == nil && p.at < len(p.tokens) {
		bad = p.fail(p.at, "unexpected ')'", "no '(' before it is open")
	}
	if bad != nil {
		return nil, bad
	}
	return &Query{root}, nil
}

func (p *parser) fail(token int, what, hint string) *Error {
	return &Error{Tokens: p.tokens, Token: token, What: what, Hint: hint}
}

// is tells whether the next word is this one.
func (p *parser) is(word string) bool {
	return p.at < len(p.tokens) && strings.EqualFold(p.tokens[p.at], word)
}

// list reads terms up to ')' or the end: all joined by OR, or none.
func (p *parser) list() (*Node, *Error) {
	begin := p.at
	var kids []*Node
	ors := 0
	for p.at < len(p.tokens) && p.tokens[p.at] != ")" {
		at := p.at
		or := p.is("OR")
		if or {
			switch {
			case len(kids) == 0:
				return nil, p.fail(at, "OR stands between two conditions, not before them", "write: A or B; use parentheses")
			case ors != len(kids)-1:
				return nil, p.fail(at, "AND and OR are mixed", "use parentheses to say which belong together")
			}
			ors++
			p.at++
			if p.at == len(p.tokens) || p.tokens[p.at] == ")" {
				return nil, p.fail(p.at, "a condition is missing after OR", "")
			}
			if p.is("OR") {
				return nil, p.fail(p.at, "a condition is missing between two ORs", "")
			}
		} else if ors > 0 {
			return nil, p.fail(at, "AND and OR are mixed", "use parentheses to say which belong together")
		}
		k, bad := p.term()
		if bad != nil {
			return nil, bad
		}
		kids = append(kids, k)
	}
	switch {
	case len(kids) == 0 && begin == len(p.tokens):
		return nil, p.fail(p.at, "the query is empty", `"all" is every message`)
	case len(kids) == 0:
		return nil, p.fail(p.at, "there is nothing in the parentheses", "")
	case len(kids) == 1:
		return kids[0], nil
	case ors > 0:
		return &Node{Key: Or, Kids: kids, Token: begin}, nil
	}
	return &Node{Key: And, Kids: kids, Token: begin}, nil
}

func (p *parser) term() (*Node, *Error) {
	at := p.at
	if p.nodes++; p.nodes > maxNodes {
		return nil, p.fail(at, "the query has too many conditions", "")
	}
	if p.depth++; p.depth > maxDepth {
		return nil, p.fail(at, "the query is nested too deeply", "")
	}
	defer func() { p.depth-- }()
	if p.at == len(p.tokens) {
		return nil, p.fail(at, "a condition is missing at the end", "")
	}
	word := p.tokens[p.at]
	p.at++
	if word == "(" {
		n, bad := p.list()
		if bad != nil {
			return nil, bad
		}
		if p.at == len(p.tokens) {
			return nil, p.fail(p.at, "missing ')'", "the '(' of word "+strconv.Itoa(at+1)+" is open")
		}
		p.at++
		return n, nil
	}
	if word == ")" {
		return nil, p.fail(at, "a condition is missing before ')'", "")
	}
	n, bad := p.key(at, word)
	if n != nil {
		n.Token = at
	}
	return n, bad
}

// key reads what stands after a word.
func (p *parser) key(at int, word string) (*Node, *Error) {
	name := strings.ToUpper(word)
	if p.part {
		if n, bad, known := p.partKey(name); known {
			return n, bad
		}
	}
	if word != "" && (word[0] >= '0' && word[0] <= '9' || word[0] == '*') {
		set, ok := parseSet(word)
		if !ok {
			return nil, p.fail(at, "this is not a set of messages", setForms)
		}
		return &Node{Key: Seq, Set: set}, nil
	}
	spec, ok := keyNamed(name)
	if !ok {
		return nil, p.fail(at, "unknown search key "+shown(word), nearest(name))
	}
	if p.part && !spec.part {
		return nil, p.fail(at, "this key is about whole messages and cannot stand in MIMEPART", "")
	}
	if spec == (keySpec{}) {
		return p.negated(at, name)
	}
	n := &Node{Key: spec.key, Name: spec.name, Text: spec.text, Which: spec.which, Token: at}
	if bad := p.operands(n, spec.operand, at); bad != nil {
		return nil, bad
	}
	return n, nil
}

// negated reads the keys that are made of others.
func (p *parser) negated(at int, name string) (*Node, *Error) {
	not := func(n *Node) *Node { return &Node{Key: Not, Kids: []*Node{n}, Token: at} }
	recent := &Node{Key: Recent, Token: at}
	switch name {
	case "OLD":
		return not(recent), nil
	case "NEW":
		seen := &Node{Key: Flag, Text: "seen", Token: at}
		return &Node{Key: And, Kids: []*Node{recent, not(seen)}, Token: at}, nil
	}
	n, bad := p.key(at, strings.TrimPrefix(name, "UN"))
	if bad != nil {
		return nil, bad
	}
	return not(n), nil
}

const setForms = "a set is 1,3:5,9:*, and numbers begin with 1"

// operands reads what the key wants. An operand is always the next word, even
// if that looks like a key.
func (p *parser) operands(n *Node, want operand, key int) *Error {
	switch want {
	case nothing:
		return nil
	case term, partTerm, threadTerm:
		return p.wrapped(n, want)
	case headerText:
		name, bad := p.text(key)
		if bad != nil {
			return bad
		}
		if name == "" || strings.ContainsAny(name, " \t\r\n:") {
			return p.fail(p.at-1, "this is not the name of a header field", "")
		}
		n.Name = name
	case modSeq:
		return p.modSeq(n, key)
	}
	text, bad := p.text(key)
	if bad != nil {
		return bad
	}
	at := p.at - 1
	switch want {
	case mailbox:
		n.Text = text
		if strings.ContainsAny(text, "*%") {
			n.Key = MailboxGlob
		}
	case mutf7Glob:
		decoded, ok := mutf7.Decode(text)
		if !ok {
			return p.fail(at, "this is not modified UTF-7", "MAILBOX takes UTF-8")
		}
		n.Text = decoded
	case keyword:
		if text == "" || strings.ContainsFunc(text, notAtom) {
			return p.fail(at, "a keyword has neither blanks nor any of ( ) { % * \" \\ ]", "")
		}
		n.Text = text
	case set:
		s, ok := parseSet(text)
		if !ok {
			return p.fail(at, "this is not a set of UIDs", setForms)
		}
		n.Set = s
	case date:
		d, relative, what := parseDate(text, p.env.Now)
		if what != "" {
			return p.fail(at, what, dateForms)
		}
		n.Date = d
		if relative {
			p.fixed = append(p.fixed, fixedKey{key, p.tokens[key], strconv.FormatInt(d.Unix, 10)})
		}
	case age:
		return p.age(n, text, key)
	case size:
		var ok bool
		if n.Number, ok = parseSize(text); !ok {
			return p.fail(at, "this is not a size", "a size is bytes, or 1k, 20M, 2GiB")
		}
	default:
		n.Text = text
	}
	return nil
}

// text takes the next word.
func (p *parser) text(key int) (string, *Error) {
	if p.at == len(p.tokens) {
		return "", p.fail(p.at, strings.ToUpper(p.tokens[key])+" wants a value", "")
	}
	s := p.tokens[p.at]
	p.at++
	if !utf8.ValidString(s) {
		return "", p.fail(p.at-1, "this is not UTF-8", "")
	}
	return s, nil
}

// wrapped reads the term that a key is about.
func (p *parser) wrapped(n *Node, want operand) *Error {
	if want == threadTerm {
		at := p.at
		algorithm, bad := p.text(n.Token)
		if bad != nil {
			return p.fail(at, "INTHREAD wants references, refs or orderedsubject, and a condition", "")
		}
		switch n.Text = strings.ToLower(algorithm); n.Text {
		case "references", "refs", "orderedsubject":
		default:
			return p.fail(at, "unknown threading algorithm", "one of references, refs, orderedsubject")
		}
	}
	if want == partTerm {
		p.part = true
		defer func() { p.part = false }()
	}
	if p.is("OR") {
		return p.fail(p.at, "a condition is missing before OR", "")
	}
	k, bad := p.term()
	n.Kids = []*Node{k}
	return bad
}

// age: OLDER and YOUNGER count from now, so they become dates.
func (p *parser) age(n *Node, text string, key int) *Error {
	secs, err := strconv.ParseUint(text, 10, 32)
	if err != nil || secs == 0 || text[0] == '+' {
		return p.fail(p.at-1, "this is not a number of seconds", `no units here; write: BEFORE "3 days"`)
	}
	name := "SINCE"
	n.Date = Date{Unix: p.env.Now.Unix() - int64(secs)}
	if n.Key == Before {
		name = "BEFORE"
		n.Date.Unix++ // OLDER includes its moment
	}
	p.fixed = append(p.fixed, fixedKey{key, name, strconv.FormatInt(n.Date.Unix, 10)})
	return nil
}

func (p *parser) modSeq(n *Node, key int) *Error {
	text, bad := p.text(key)
	if bad == nil && strings.HasPrefix(strings.ToLower(text), "/flags/") {
		at := p.at
		if text, bad = p.text(key); bad == nil {
			switch strings.ToLower(text) {
			case "all", "priv", "shared":
				text, bad = p.text(key)
			default:
				return p.fail(at, "unknown kind of modseq", "one of all, priv, shared")
			}
		}
	}
	if bad != nil {
		return bad
	}
	var err error
	if n.Number, err = strconv.ParseUint(text, 10, 63); err != nil {
		return p.fail(p.at-1, "this is not a modseq", "")
	}
	return nil
}

func notAtom(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r) }
