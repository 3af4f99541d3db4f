package command

import (
	"strings"

	"culver/internal/spelling"
)

// MaxArgs bounds the words of one command line: the wire's line has 1 MiB.
const MaxArgs = 1 << 19

// Parsed is a command line that is right by the table. What its words mean (a
// query, a date) is for others to say.
type Parsed struct {
	Spec    *Spec
	options []given
	args    []taken
}

type given struct {
	Option
	value string
}

type taken struct {
	arg    *Arg
	values []string
}

// Parse reads options and arguments as getopt_long does: options anywhere
// before "--", letters together or apart, --long with "=" or the next word.
// What is wrong is a *UsageError.
func (s *Spec) Parse(words []string) (Parsed, error) {
	p := Parsed{Spec: s}
	if len(words) > MaxArgs {
		return p, s.wrong("too many arguments", "")
	}
	if s.Bare {
		p.args = []taken{{&s.Args[0], words}}
		return p, nil
	}
	options := s.AllOptions()
	var rest []string
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		var err *UsageError
		switch {
		case word == "--":
			rest, words = append(rest, words...), nil
		case len(word) < 2 || word[0] != '-':
			rest = append(rest, word)
			if s.Ordered {
				rest, words = append(rest, words...), nil
			}
		case word[1] == '-':
			words, err = p.long(options, word[2:], words)
		default:
			words, err = p.letters(options, word[1:], words)
		}
		if err != nil {
			return p, err
		}
	}
	if p.Has("help") {
		return p, nil
	}
	if err := p.take(rest); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, err
	}
	return p, nil
}

// long takes one option of the form --name, --name=value or --name value. The
// beginning of a name is enough where no other name begins so.
func (p *Parsed) long(options []Option, word string, words []string) ([]string, *UsageError) {
	name, value, hasValue := strings.Cut(word, "=")
	if name == "help" {
		p.options = append(p.options, given{Option: Option{Long: "help"}})
		return words, nil
	}
	var found *Option
	var all []string
	for i := range options {
		o := &options[i]
		all = append(all, o.Long)
		if o.Long == name {
			found = o
			break
		}
		if strings.HasPrefix(o.Long, name) {
			if found != nil {
				return nil, p.Spec.wrong("option --"+name+" may be --"+found.Long+" or --"+o.Long, "")
			}
			found = o
		}
	}
	switch {
	case found == nil:
		hint := ""
		if near := spelling.Nearest(name, all); near != "" {
			hint = "did you mean --" + near + "?"
		}
		return nil, p.Spec.wrong("unknown option "+Quote("--"+name), hint)
	case found.Value == "" && hasValue:
		return nil, p.Spec.wrong("option --"+found.Long+" takes no value", "")
	case found.Value != "" && !hasValue:
		if len(words) == 0 {
			return nil, p.Spec.wrong("option --"+found.Long+" needs a value", found.Value)
		}
		value, words = words[0], words[1:]
	}
	p.options = append(p.options, given{*found, value})
	return words, nil
}

// letters takes one word of letters, of which the last may have a value, in
// the same word or the next.
func (p *Parsed) letters(options []Option, word string, words []string) ([]string, *UsageError) {
	for i := range len(word) {
		var found *Option
		for k := range options {
			if options[k].Letter == word[i] {
				found = &options[k]
			}
		}
		switch {
		case found == nil:
			hint := ""
			if p.Spec.takesQuery() {
				hint = "a word that begins with - comes after --"
			}
			return nil, p.Spec.wrong("unknown option "+Quote("-"+word[i:i+1]), hint)
		case found.Value == "":
			p.options = append(p.options, given{*found, ""})
			continue
		case i+1 < len(word):
			p.options = append(p.options, given{*found, word[i+1:]})
			return words, nil
		case len(words) == 0:
			return nil, p.Spec.wrong("option -"+word[i:]+" needs a value", found.Value)
		}
		p.options = append(p.options, given{*found, words[0]})
		return words[1:], nil
	}
	return words, nil
}

// take gives the words to the arguments, in order.
func (p *Parsed) take(words []string) *UsageError {
	s := p.Spec
	for i := range s.Args {
		a := &s.Args[i]
		if a.Keyword != "" {
			if len(words) > 0 && strings.EqualFold(words[0], a.Keyword) {
				if len(words) < 2 {
					return s.wrong("missing "+a.Name+" after "+a.Keyword, "")
				}
				p.args = append(p.args, taken{a, words[1:2]})
				words = words[2:]
			}
			continue
		}
		if len(words) == 0 {
			if !a.Optional {
				return s.wrong("missing argument: "+a.Name, "")
			}
			continue
		}
		n := 1
		if a.Many {
			n = len(words)
		}
		p.args = append(p.args, taken{a, words[:n]})
		words = words[n:]
	}
	if len(words) > 0 {
		return s.wrong("too many arguments: "+Quote(words[0]), "")
	}
	return nil
}

func (s *Spec) takesQuery() bool {
	n := len(s.Args)
	return n > 0 && s.Args[n-1].Name == "query"
}

// Has says whether an option was given, by letter or long name.
func (p Parsed) Has(name string) bool {
	for _, g := range p.options {
		if g.is(name) {
			return true
		}
	}
	return false
}

// Value gives the option's value, the last one where it was given twice.
func (p Parsed) Value(name string) string {
	value := ""
	for _, g := range p.options {
		if g.is(name) {
			value = g.value
		}
	}
	return value
}

// Values gives every value of an option that may be given several times.
func (p Parsed) Values(name string) []string {
	var all []string
	for _, g := range p.options {
		if g.is(name) {
			all = append(all, g.value)
		}
	}
	return all
}

func (g given) is(name string) bool {
	return g.Long == name || g.Letter != 0 && name == string(g.Letter)
}

// Arg gives the positional argument of that name, or "".
func (p Parsed) Arg(name string) string {
	if all := p.All(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// All gives every word of the positional argument of that name: a query, masks.
func (p Parsed) All(name string) []string {
	for _, t := range p.args {
		if t.arg.Name == name {
			return t.values
		}
	}
	return nil
}

// With is the same command line with other words for one argument, such as a
// query whose dates were made absolute.
func (p Parsed) With(name string, values []string) Parsed {
	args := make([]taken, len(p.args))
	copy(args, p.args)
	for i := range args {
		if args[i].arg.Name == name {
			args[i].values = values
		}
	}
	p.args = args
	return p
}

// ReadsInput says whether the command's input follows on the wire.
func (p Parsed) ReadsInput() bool { return p.Spec.Input && !p.Has("dry-run") }

// Minor is the least protocol minor of a Dovecot server that knows all options
// given. To send save's newer ones to an older server would be a disaster: it
// refuses them and reads the message's lines as commands.
func (p Parsed) Minor() int {
	least := 0
	for _, g := range p.options {
		least = max(least, g.Minor)
	}
	return least
}

// Wire gives the arguments as Dovecot 2.3's client sends them: options in
// declaration order, "--", arguments. The selection of users is the client's
// own affair and only a plain -u is sent: with -A, -F or a mask a server adds
// a column or, some of them, goes through all users itself.
func (p Parsed) Wire() []string {
	var out []string
	for _, o := range p.Spec.AllOptions() {
		values := p.Values(o.Long)
		if o.Local || len(values) == 0 {
			continue
		}
		if o.Long == "user" && p.Spec.PerUser && p.ManyUsers() {
			continue
		}
		name := "--" + o.Long
		if o.Letter != 0 {
			name = "-" + string(o.Letter)
		}
		if o.Value == "" {
			out = append(out, name)
			continue
		}
		if o.Long != "if-uidvalidity" {
			values = values[len(values)-1:]
		}
		for _, v := range values {
			out = append(out, name, v)
		}
	}
	out = append(out, "--")
	for _, t := range p.args {
		if t.arg.Local {
			continue
		}
		if t.arg.Keyword != "" {
			out = append(out, t.arg.Keyword)
		}
		out = append(out, t.values...)
	}
	return out
}

// ManyUsers says whether more than one user may be meant, and rows therefore
// begin with the user's name.
func (p Parsed) ManyUsers() bool {
	return p.Spec.PerUser && (p.Has("all-users") || p.Has("user-file") || strings.ContainsAny(p.Value("user"), "*?"))
}

// Batch gives the commands of a batch, each parsed: the first word parts them.
func (p Parsed) Batch() ([]Parsed, error) {
	if p.Spec.Name != "batch" {
		return nil, p.Spec.wrong("not a batch", "")
	}
	part := p.Arg("separator")
	words := p.All("commands")
	var all []Parsed
	for len(words) > 0 {
		n := 0
		for n < len(words) && words[n] != part {
			n++
		}
		s, rest, err := Find(words[:n])
		if err != nil {
			return nil, err
		}
		if !s.PerUser || s.Input || s.Ordered {
			return nil, p.Spec.wrong(s.Name+" cannot be part of a batch", "")
		}
		one, err := s.Parse(rest)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		words = words[min(n+1, len(words)):]
	}
	return all, nil
}
