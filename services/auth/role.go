package auth

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Role is what a listener is for, and so which commands its connections take.
type Role struct {
	Name     string
	Commands map[string]command
}

// command answers one request. What it returns ends the connection.
type command func(*conn, *request) error

// The roles of this version. The client protocol's (auth, login, token) are rows to come.
var roles = map[string]Role{
	"userdb": {"userdb", map[string]command{
		"USER": (*conn).user, "PASS": (*conn).pass, "LIST": (*conn).list,
	}},
	"master": {"master", map[string]command{
		"USER": (*conn).user, "PASS": (*conn).pass, "LIST": (*conn).list,
		"CACHE-FLUSH": (*conn).cacheFlush, "REQUEST": (*conn).finishLogin,
	}},
}

// roleOf gives the role of a listener: its type, or, where that is empty, what
// follows the last "-" in its name, as Dovecot has it.
func roleOf(name, typ string) (Role, error) {
	if typ == "" {
		base := filepath.Base(name)
		typ = base[strings.LastIndexByte(base, '-')+1:]
	}
	r, ok := roles[typ]
	if !ok {
		return Role{}, fmt.Errorf("listener %q: type %q is not in this version, want userdb or master (or a name that ends in -userdb or -master)", name, typ)
	}
	return r, nil
}

// MasterRole is the role of a listener for all commands.
func MasterRole() Role { return roles["master"] }
