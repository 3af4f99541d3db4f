package attempt

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"culver/internal/authproto"
	"culver/services/auth/vars"
)

// Names makes the canonical form of the user names that clients give, in
// Dovecot's order (spec/auth.md 8.5).
type Names struct {
	Realm       string        // auth_default_realm
	Translation string        // auth_username_translation: pairs of bytes, from and to
	Chars       string        // auth_username_chars; "" allows all that authproto.ValidUser does
	Format      vars.Template // auth_username_format
}

// scratch are the values of one format each time: they would be a quarter of the
// memory that a lookup takes.
var scratch = sync.Pool{New: func() any { return new(vars.Values) }}

// Canonical adds the realm, translates, checks the bytes and then applies the
// format. The error says why no entry can be meant; it is for the log.
func (n *Names) Canonical(name string) (string, error) {
	if name == "" {
		return "", errors.New("user name is empty")
	}
	if len(name) > authproto.MaxUser {
		return "", fmt.Errorf("user name is longer than %d bytes", authproto.MaxUser)
	}
	if n.Realm != "" && !strings.Contains(name, "@") {
		name += "@" + n.Realm
	}
	name = n.translate(name)
	if n.Chars != "" {
		for i := range len(name) {
			if strings.IndexByte(n.Chars, name[i]) < 0 {
				return "", fmt.Errorf("user name has the byte 0x%02x, which auth_username_chars does not allow", name[i])
			}
		}
	}
	v := scratch.Get().(*vars.Values)
	v.User = name
	name = n.Format.Expand(v)
	scratch.Put(v)
	switch {
	case name == "":
		return "", errors.New("user name is empty")
	case !authproto.ValidUser(name):
		return "", fmt.Errorf("user name is longer than %d bytes or has control bytes", authproto.MaxUser)
	}
	return name, nil
}

// translate replaces each byte once: what a pair makes is not looked at again.
func (n *Names) translate(name string) string {
	if n.Translation == "" {
		return name
	}
	out := []byte(name)
	for i, c := range out {
		for pair := n.Translation; len(pair) >= 2; pair = pair[2:] {
			if pair[0] == c {
				out[i] = pair[1]
				break
			}
		}
	}
	return string(out)
}
