package search

import (
	"strconv"
	"strings"
)

// partKey reads the keys that only MIMEPART has, in the words of IMAP's
// SEARCH=MIMEPART draft, which Dovecot follows.
func (p *parser) partKey(name string) (n *Node, bad *Error, known bool) {
	key := p.at - 1
	switch name {
	case "CHILD", "PARENT":
		n = &Node{Key: PartChild}
		if name == "PARENT" {
			n.Key = PartParent
		}
		if p.is("EXISTS") {
			p.at++
			n.Kids = []*Node{{Key: All, Token: key}}
			return n, nil, true
		}
		k, bad := p.term()
		n.Kids = []*Node{k}
		return n, bad, true
	case "DEPTH":
		n, bad = p.partNumber(&Node{Key: PartDepth}, key, "MIN", "MAX")
	case "INDEX":
		n, bad = p.partNumber(&Node{Key: PartIndex}, key, "", "")
	case "SIZE":
		n = &Node{Key: On} // exactly so many octets
		switch {
		case p.is("LARGER"):
			n.Key, p.at = Larger, p.at+1
		case p.is("SMALLER"):
			n.Key, p.at = Smaller, p.at+1
		}
		bad = p.operands(n, size, key)
	case "TYPE":
		n = &Node{Key: PartType}
		n.Text, bad = p.text(key)
	case "SUBTYPE":
		n = &Node{Key: PartSubtype}
		n.Text, bad = p.text(key)
	case "ENCODING":
		n = &Node{Key: PartEncoding}
		n.Text, bad = p.text(key)
	case "ID":
		n = &Node{Key: PartID}
		n.Text, bad = p.text(key)
	case "DESCRIPTION":
		n = &Node{Key: PartDescription}
		n.Text, bad = p.text(key)
	case "PARAM":
		n = &Node{Key: PartParam}
		if n.Name, bad = p.text(key); bad == nil {
			n.Text, bad = p.text(key)
		}
	case "DISPOSITION":
		n = &Node{Key: PartDisposition}
		switch {
		case p.is("TYPE"):
			p.at++
			n.Text, bad = p.text(key)
		case p.is("PARAM"):
			p.at++
			if n.Name, bad = p.text(key); bad == nil {
				n.Text, bad = p.text(key)
			}
		default:
			bad = p.fail(p.at, "DISPOSITION wants TYPE or PARAM", "")
		}
	case "FILENAME":
		n = &Node{Key: PartFilename}
		var how string
		at := p.at
		if how, bad = p.text(key); bad == nil {
			switch n.Name = strings.ToLower(how); n.Name {
			case "is", "contains", "begins", "ends":
				n.Text, bad = p.text(key)
			default:
				bad = p.fail(at, "FILENAME wants is, contains, begins or ends", "")
			}
		}
	case "EXISTS":
		n = &Node{Key: PartExists}
	default:
		return nil, nil, false
	}
	return n, bad, true
}

// partNumber reads an optional MIN or MAX and a number.
func (p *parser) partNumber(n *Node, key int, least, most string) (*Node, *Error) {
	n.Name = "is"
	switch {
	case least != "" && p.is(least):
		n.Name, p.at = "min", p.at+1
	case most != "" && p.is(most):
		n.Name, p.at = "max", p.at+1
	}
	s, bad := p.text(key)
	if bad != nil {
		return nil, bad
	}
	var err error
	if n.Number, err = strconv.ParseUint(s, 10, 31); err != nil {
		return nil, p.fail(p.at-1, "this is not a number", "")
	}
	return n, nil
}
