package settings

import (
	"path/filepath"
	"slices"
	"strings"
)

// Remote tells whether this host is administered over a network: those clients
// log in through auth, and each of their commands needs a ticket of it.
func (c *Config) Remote() bool {
	s, ok := c.Service("doveadm")
	return ok && slices.ContainsFunc(c.Listeners(s), func(l Listener) bool { return l.Class == ClassNetwork })
}

// TicketSocket is where auth takes those logins and gives out those tickets; ""
// where it does not, as auth is another server's, or has no such listener.
func (c *Config) TicketSocket() string {
	s, _ := c.Service("auth")
	for _, l := range s.Unix {
		if l.Type == "doveadm" || l.Type == "" && strings.HasSuffix(filepath.Base(l.Path), "-doveadm") {
			return l.Path
		}
	}
	return ""
}
