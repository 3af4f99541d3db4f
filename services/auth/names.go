package auth

import (
	"fmt"
	"strings"

	"culver/internal/authproto"
	"culver/services/auth/vars"
)

// Names makes the canonical form of the user names that clients give
// (spec/auth.md 8.5).
type Names struct {
	Realm  string        // auth_default_realm
	Chars  string        // auth_username_chars; "" allows all that authproto.ValidUser does
	Format vars.Template // auth_username_format
}

// Canonical adds the realm, checks the bytes and then applies the format. The
// error says why no entry can be meant; it is for the log.
func (n *Names) Canonical(name string) (string, error) {
	if !strings.Contains(name, "@") && n.Realm != "" && name != "" {
		name += "@" + n.Realm
	}
	if n.Chars != "" {
		for i := range len(name) {
			if strings.IndexByte(n.Chars, name[i]) < 0 {
				return "", fmt.Errorf("user name has the byte 0x%02x, which auth_username_chars does not allow", name[i])
			}
		}
	}
	name = n.Format.Expand(&vars.Values{User: name})
	switch {
	case name == "":
		return "", fmt.Errorf("user name is empty")
	case !authproto.ValidUser(name):
		return "", fmt.Errorf("user name is longer than %d bytes or has control bytes", authproto.MaxUser)
	}
	return name, nil
}
