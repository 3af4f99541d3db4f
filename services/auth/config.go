package auth

import (
	"errors"
	"fmt"

	"culver/internal/settings/finished"
	"culver/services/auth/attempt"
	"culver/services/auth/vars"
)

// New makes a Server from finished settings.
//
// Without a userdb block the passwd-files of the passdbs are the userdbs too:
// Dovecot would answer with neither uid nor gid then, which is of no use to us.
func New(set finished.Bag, logf Logf) (*Server, error) {
	b := newBuilder(set, logf)
	s := &Server{Judge: &attempt.Judge{}, Logf: logf, Clients: int(set.Int("client_limit"))}
	var err error
	s.Names = attempt.Names{Realm: set.String("auth_default_realm"), Translation: set.String("auth_username_translation"), Chars: set.String("auth_username_chars")}
	if s.Names.Format, err = vars.Parse(set.String("auth_username_format")); err != nil {
		return nil, fmt.Errorf("auth_username_format: %w", err)
	}
	pass, user := blocks(set, "passdb"), blocks(set, "userdb")
	for _, d := range pass {
		l, err := b.passdb(d)
		if err != nil {
			return nil, fmt.Errorf("passdb %q: %w", d.name, err)
		}
		if d.set["master"] == "yes" {
			s.Masters.Links = append(s.Masters.Links, l)
		} else {
			s.Passwords.Links = append(s.Passwords.Links, l)
		}
	}
	s.Masters.Masters = true
	s.Passwords.Pool, s.Masters.Pool = b.pool, b.pool
	if len(user) == 0 {
		for _, d := range pass {
			if d.driver == "passwd-file" && d.set["master"] != "yes" && d.set["deny"] != "yes" {
				user = append(user, d.asUserdb())
			}
		}
	}
	for _, d := range user {
		l, err := b.userdb(d, s.Passwords)
		if err != nil {
			return nil, fmt.Errorf("userdb %q: %w", d.name, err)
		}
		s.Users.Links = append(s.Users.Links, l)
	}
	s.Users.IDs, s.Slow = b.ids, b.slow
	s.Cache = newCache(set, logf)
	if len(s.Users.Links) == 0 {
		return nil, errors.New("no userdb block, and no passdb block with the driver passwd-file")
	}
	s.offer(set)
	return s, nil
}
