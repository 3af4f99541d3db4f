package attempt

import "strings"

// claim is who a client says it is.
type claim struct {
	given  string // the name whose password it is, as it was sent
	who    string // the same, canonical
	target string // canonical; "" as itself
	acts   bool   // it names somebody else to act as, be it one who cannot be
}

// claim reads names. The error comes with as much of the claim as could be read.
func (n *Names) claim(authcid, authzid, separator string) (c claim, err error) {
	// doveadm sends the name it was given as authzid too, be it with a separator.
	if authzid == authcid {
		authzid = ""
	}
	c.given = authcid
	target, split := authzid, false
	if separator != "" {
		if before, after, ok := strings.Cut(authcid, separator); ok {
			target, c.given, split = before, after, true
		}
	}
	c.acts = split || target != ""
	if c.who, err = n.Canonical(c.given); err != nil {
		c.given = authcid
		return c, notAllowed("%v", err)
	}
	if !c.acts {
		return c, nil
	}
	if c.target, err = n.Canonical(target); err != nil {
		return c, notAllowed("target %q: %v", target, err)
	}
	if split && authzid != "" {
		if also, err := n.Canonical(authzid); err != nil || also != c.target {
			return c, notAllowed("targets %q and %q: want one", target, authzid)
		}
	}
	if c.target == c.who {
		c.target, c.acts = "", false
	}
	return c, nil
}
