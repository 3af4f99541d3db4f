package worker

import (
	"strings"

	"culver/internal/mailmessage"
	"culver/services/doveadm/search"
)

// part tests MIMEPART: whether any part of the message fulfils the condition.
func (m *message) part(c *call, want *search.Node) (bool, error) {
	root, err := m.parts()
	if err != nil {
		return false, err
	}
	p := partMatcher{m: m, c: c}
	return p.any(want, root, nil, 0, 0)
}

type partMatcher struct {
	m *message
	c *call
}

// place is a part and where it is in the message.
type place struct {
	*mailmessage.Part
	above *place
	depth uint64
	index uint64 // among its siblings, from 1
}

// any tests the part and all below it.
func (p *partMatcher) any(want *search.Node, part *mailmessage.Part, above *place, depth, index uint64) (bool, error) {
	at := &place{part, above, depth, index}
	if ok, err := p.matches(want, at); err != nil || ok {
		return ok, err
	}
	for i, child := range part.Children {
		if ok, err := p.any(want, child, at, depth+1, uint64(i)+1); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

func (p *partMatcher) matches(n *search.Node, at *place) (bool, error) {
	switch n.Key {
	case search.And:
		for _, kid := range n.Kids {
			if ok, err := p.matches(kid, at); err != nil || !ok {
				return false, err
			}
		}
		return true, nil
	case search.Or:
		for _, kid := range n.Kids {
			if ok, err := p.matches(kid, at); err != nil || ok {
				return ok, err
			}
		}
		return false, nil
	case search.Not:
		ok, err := p.matches(n.Kids[0], at)
		return !ok, err
	case search.Fuzzy:
		return p.matches(n.Kids[0], at)
	case search.PartParent:
		if at.above == nil {
			return false, nil
		}
		return p.matches(n.Kids[0], at.above)
	case search.PartChild:
		for i, child := range at.Children {
			ok, err := p.matches(n.Kids[0], &place{child, at, at.depth + 1, uint64(i) + 1})
			if err != nil || ok {
				return ok, err
			}
		}
		return false, nil
	case search.Body:
		return p.text(n, at)
	case search.Text:
		if p.header(n, at) {
			return true, nil
		}
		return p.text(n, at)
	case search.Address, search.Header:
		return p.header(n, at), nil
	}
	return simplePart(n, at), nil
}

func (p *partMatcher) text(n *search.Node, at *place) (bool, error) {
	if !at.Leaf() {
		return false, nil
	}
	text := newNeedle(n.Text)
	return p.m.search(p.c, at.Part.Text(p.m.reader()), &text)
}

// header tests the fields of one part; a TEXT node means all of them.
func (p *partMatcher) header(n *search.Node, at *place) bool {
	k := condition{Node: n, needle: newNeedle(n.Text)}
	for _, f := range at.Fields {
		if n.Key != search.Text && !strings.EqualFold(f.Name, n.Name) {
			continue
		}
		if n.Text == "" || p.m.fieldHas(&k, f.Raw) {
			return true
		}
	}
	return false
}

// simplePart tests what the structure alone knows.
func simplePart(n *search.Node, at *place) bool {
	switch n.Key {
	case search.All, search.PartExists:
		return true
	case search.PartType:
		return strings.EqualFold(at.Type, n.Text)
	case search.PartSubtype:
		return strings.EqualFold(at.Subtype, n.Text)
	case search.PartEncoding:
		return strings.EqualFold(at.Encoding, n.Text)
	case search.PartParam:
		return hasParam(at.Params, n.Name, n.Text)
	case search.PartID:
		return strings.EqualFold(at.field("Content-ID"), n.Text)
	case search.PartDescription:
		return contains(at.field("Content-Description"), n.Text)
	case search.PartDisposition:
		kind, params := mailmessage.Params(at.field("Content-Disposition"))
		if n.Name == "" {
			return strings.EqualFold(kind, n.Text)
		}
		return hasParam(params, n.Name, n.Text)
	case search.PartFilename:
		return hasFilename(n, at)
	case search.PartDepth:
		return compare(n, at.depth)
	case search.PartIndex:
		return compare(n, at.index)
	case search.Larger:
		return at.BodySize() > int64(n.Number)
	case search.Smaller:
		return at.BodySize() < int64(n.Number)
	case search.On:
		return at.BodySize() == int64(n.Number)
	}
	return false
}

func (at *place) field(name string) string {
	f, _ := at.Get(name)
	return strings.TrimSpace(f.Decoded())
}

func hasParam(params []mailmessage.Param, name, value string) bool {
	for _, p := range params {
		if strings.EqualFold(p.Name, name) && contains(p.Value, value) {
			return true
		}
	}
	return false
}

func hasFilename(n *search.Node, at *place) bool {
	_, params := mailmessage.Params(at.field("Content-Disposition"))
	for _, p := range append(params, at.Params...) {
		if p.Name != "filename" && p.Name != "name" {
			continue
		}
		have, want := string(fold(nil, []byte(p.Value))), string(fold(nil, []byte(n.Text)))
		switch n.Name {
		case "is":
			return have == want
		case "begins":
			return strings.HasPrefix(have, want)
		case "ends":
			return strings.HasSuffix(have, want)
		}
		return strings.Contains(have, want)
	}
	return false
}

func contains(text, want string) bool {
	return strings.Contains(string(fold(nil, []byte(text))), string(fold(nil, []byte(want))))
}

func compare(n *search.Node, is uint64) bool {
	switch n.Name {
	case "min":
		return is >= n.Number
	case "max":
		return is <= n.Number
	}
	return is == n.Number
}
