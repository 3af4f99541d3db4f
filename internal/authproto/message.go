package authproto

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"culver/internal/tabline"
)

// errLine says that a line is not one of the protocol.
var errLine = errors.New("malformed line")

// Request is one line of a client after the handshake.
type Request struct {
	Command string
	ID      uint32
	Args    []string // after the id, unescaped
}

// Param gives the value of the first argument name=value among the arguments
// from index i on; a bare name has the value "yes".
func (r *Request) Param(i int, name string) (string, bool) {
	for ; i < len(r.Args); i++ {
		k, v, valued := strings.Cut(r.Args[i], "=")
		if k == name {
			if !valued {
				v = "yes"
			}
			return v, true
		}
	}
	return "", false
}

// Service gives service= (2.3) or protocol= (2.4), one being as good as the other.
func (r *Request) Service() (string, bool) {
	if v, ok := r.Param(1, "service"); ok {
		return v, true
	}
	return r.Param(1, "protocol")
}

// ParseRequest reads a line without its LF; a CR before it is dropped.
func ParseRequest(line string) (Request, error) {
	f, err := split(line)
	if err != nil {
		return Request{}, err
	}
	if len(f) < 2 || f[0] == "" {
		return Request{}, errLine
	}
	id, err := parseID(f[1])
	if err != nil {
		return Request{}, err
	}
	return Request{Command: f[0], ID: id, Args: f[2:]}, nil
}

// ParseVersion reads a VERSION line of either side; only major 1 is ours, and
// the minor is never a reason to part.
func ParseVersion(line string) error {
	_, err := ParseMinor(line)
	return err
}

// ParseMinor reads a VERSION line for the minor that the other side announces.
func ParseMinor(line string) (uint32, error) {
	f, err := split(line)
	if err != nil {
		return 0, err
	}
	if len(f) != 3 || f[0] != "VERSION" {
		return 0, fmt.Errorf("%w where VERSION was due", errLine)
	}
	minor, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: VERSION", errLine)
	}
	if f[1] != strconv.Itoa(MajorVersion) {
		return 0, fmt.Errorf("another major version, want %d", MajorVersion)
	}
	return uint32(minor), nil
}

func split(line string) ([]string, error) {
	line = strings.TrimSuffix(line, "\r")
	if strings.Count(line, "\t") >= MaxFields {
		return nil, fmt.Errorf("%w: more than %d fields", errLine, MaxFields)
	}
	return tabline.Split(line), nil
}

// parseID reads an unsigned 32 bit number in plain digits.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: id", errLine)
	}
	return uint32(n), nil
}

// parseUser reads the arguments of a USER reply after the id. It is strict:
// what it returns may become the identity of a process.
func parseUser(args []string) (User, error) {
	if len(args) == 0 || !ValidUser(args[0]) {
		return User{}, errors.New("reply without a usable user name")
	}
	u := User{Name: args[0], UID: -1, GID: -1}
	f, err := parseFields(args[1:], true)
	if err != nil {
		return User{}, err
	}
	for _, id := range [...]struct {
		name string
		to   *int
	}{{"uid", &u.UID}, {"gid", &u.GID}} {
		v, ok := f[id.name]
		if !ok {
			continue
		}
		delete(f, id.name)
		// The highest number means "leave as it is" to the kernel.
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n == 1<<32-1 {
			return User{}, fmt.Errorf("%s %q is not a number of an account", id.name, Clean(v))
		}
		*id.to = int(n)
	}
	u.Home = f["home"]
	delete(f, "home")
	u.Fields = f
	return u, nil
}

// parseFields reads name=value and bare names. Empty fields are skipped, since
// Dovecot 2.3 ends a line without fields with a TAB. The last of two equal
// names wins, as settings do, but an identity said twice is a contradiction.
func parseFields(args []string, identity bool) (map[string]string, error) {
	f := make(map[string]string, len(args))
	for _, a := range args {
		if a == "" {
			continue
		}
		k, v, valued := strings.Cut(a, "=")
		if !valued {
			v = "yes"
		}
		if strings.IndexByte(a, 0) >= 0 {
			return nil, fmt.Errorf("field %q contains a NUL byte", Clean(k))
		}
		if _, twice := f[k]; twice && identity && (k == "uid" || k == "gid" || k == "home") {
			return nil, fmt.Errorf("reply has two fields %q", k)
		}
		f[k] = v
	}
	return f, nil
}

// reasonOf gives the reason of a FAIL, cleaned and cut.
func reasonOf(args []string) string {
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "reason="); ok {
			v = Clean(v)
			if len(v) > MaxReason {
				v = strings.ToValidUTF8(v[:MaxReason], "")
			}
			return v
		}
	}
	return ""
}
