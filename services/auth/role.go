package auth

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Role is what a listener is for, and so which protocol and commands its
// connections take.
type Role struct {
	Name     string
	Commands map[string]command // of the master protocol

	Client bool   // speaks the client protocol
	Legacy bool   // sends its whole handshake at once
	Finish string // how a login goes on after OK; "" not at all
	Local  bool   // for unix sockets only: nothing but the kernel says who connects
}

// command answers one request. What it returns ends the connection.
type command func(*conn, *request) error

var lookups = map[string]command{
	"USER": (*conn).user, "PASS": (*conn).pass, "LIST": (*conn).list,
}

var roles = map[string]Role{
	"auth":        {Name: "auth", Client: true},
	"auth-legacy": {Name: "auth-legacy", Client: true, Legacy: true},
	"login":       {Name: "login", Client: true, Finish: byRequest},
	"doveadm":     {Name: "doveadm", Client: true, Finish: byTicket, Local: true},
	"userdb":      {Name: "userdb", Commands: lookups, Local: true},
	"master": {Name: "master", Local: true, Commands: map[string]command{
		"USER": (*conn).user, "PASS": (*conn).pass, "LIST": (*conn).list,
		"CACHE-FLUSH": (*conn).cacheFlush, "CACHE-STATUS": (*conn).cacheStatus, "REQUEST": (*conn).finishLogin,
	}},
}

// roleOf gives the role of a listener: its type, or, where that is empty, what
// follows the last "-" in its name, as Dovecot has it. A name that says nothing,
// such as Postfix's private/auth, is a client's.
func roleOf(name, typ string) (Role, error) {
	if typ != "" {
		if r, ok := roles[typ]; ok {
			return r, nil
		}
		return Role{}, fmt.Errorf("listener %q: type %q is no role, want auth, auth-legacy, login, master, userdb or doveadm", name, typ)
	}
	base := filepath.Base(name)
	switch r := roles[base[strings.LastIndexByte(base, '-')+1:]]; r.Name {
	case "login", "master", "userdb", "doveadm":
		return r, nil
	}
	return roles["auth"], nil
}

// MasterRole is the role of a listener for all commands.
func MasterRole() Role { return roles["master"] }
