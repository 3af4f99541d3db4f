package settings

import (
	"slices"
	"strings"
)

// Setting is one row of the table: all that the parser, the checker, the
// printer, the manual and the programs need to know of it.
type Setting struct {
	Name    string
	Type    Type
	Default string // as it is written, list elements joined by TAB
	From    string // the global setting whose value is the default
	For     string // the programs that receive it, blank-separated
	Help    string
	Drivers string // passdb and userdb: only with these drivers; "" is all
	Must    bool   // there is no default
	Secret  bool   // never printed
	Own     bool   // a userdb field of this name overrides it for that user
}

// DefaultValue is the canonical form of the default. The table's test proves
// that every default is valid.
func (s Setting) DefaultValue() string { return s.CanonText(s.Default) }

// CanonText gives the canonical form of a text that the table holds.
func (s Setting) CanonText(text string) string {
	if s.Must || s.From != "" && text == "" {
		return text
	}
	v := Value{Form: Quoted, Text: text}
	if s.Type.List {
		v = Value{Form: Listed}
		for _, e := range strings.Split(text, "\t") {
			if e != "" {
				v.Items = append(v.Items, Value{Form: Quoted, Text: e})
			}
		}
	}
	canonical, err := s.Type.Canon(v)
	if err != nil {
		panic("settings: " + s.Name + ": " + err.Error())
	}
	return canonical
}

// Shown is the default as it would be written in a file.
func (s Setting) Shown() string {
	switch {
	case s.Must:
		return "none, required"
	case s.From != "" && s.Default == "":
		return s.From
	}
	return s.Type.Write(s.DefaultValue())
}

// goesTo tells whether a program receives the setting.
func (s Setting) goesTo(program string) bool {
	return slices.Contains(strings.Fields(s.For), program)
}

// Block is a kind of block: its settings, and the blocks that it may hold.
type Block struct {
	Kind   string // "service"; "" for the top level
	Label  string // what the manual calls the label
	Help   string
	Rows   []Setting
	Blocks []*Block
}

// Row finds a setting by name.
func (b *Block) Row(name string) (Setting, bool) {
	for _, s := range b.Rows {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// Block finds a kind of inner block.
func (b *Block) Block(kind string) (*Block, bool) {
	for _, inner := range b.Blocks {
		if inner.Kind == kind {
			return inner, true
		}
	}
	return nil, false
}

// Names lists the settings and the inner blocks, for suggestions.
func (b *Block) Names() []string {
	var all []string
	for _, s := range b.Rows {
		all = append(all, s.Name)
	}
	for _, inner := range b.Blocks {
		all = append(all, inner.Kind)
	}
	return all
}
