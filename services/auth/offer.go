package auth

import (
	"errors"
	"os"
	"slices"
	"strings"

	"culver/internal/maillog"
	"culver/internal/maillog/logline"
	"culver/internal/mechanism"
	"culver/internal/settings/finished"
	"culver/services/auth/attempt"
	"culver/services/auth/passdb"
	"culver/services/auth/penalty"
	"culver/services/auth/sasl"
)

// offer reads what is said of logins. A mechanism that no passdb can serve is a
// fault in the settings; where one comes this far it costs itself only, and not
// the whole service as with Dovecot (spec/auth.md 9.13).
func (s *Server) offer(set finished.Bag) {
	s.Cleartext = set.Bool("auth_allow_cleartext")
	s.Verbose = set.Bool("auth_verbose")
	s.LookupTimeout = set.Duration("auth_lookup_timeout")
	s.FailureDelay = set.Duration("auth_failure_delay")
	if path := set["anvil_path"]; path != "" && set.Bool("auth_penalty") {
		c := penalty.New(path)
		c.FailureDelay, c.Logf = s.FailureDelay, s.Logf
		s.Penalty = c
	}
	s.judge(set)
	for _, name := range set.List("auth_mechanisms") {
		m, ok := sasl.Find(name)
		err := errors.New("there is none of that name")
		if ok {
			err = s.serves(m)
		}
		if err != nil {
			s.Logf(logline.Error, "", "auth_mechanisms: %s is not offered: %v", strings.ToUpper(name), err)
			continue
		}
		s.Mechanisms = append(s.Mechanisms, m)
	}
	s.Facts.Hostname, _ = os.Hostname()
	s.Facts.Decoys = sasl.NewDecoys([]byte(set["auth_secret"])) // the master's, beside the settings
}

// judge reads how a try is judged.
func (s *Server) judge(set finished.Bag) {
	s.try = s.attempt
	s.Separator = set.String("auth_master_user_separator")
	s.Anonymous = set.String("auth_anonymous_username")
	s.CertNames = set.Bool("auth_ssl_username_from_cert")
	s.RequireCert = set.Bool("auth_ssl_require_client_cert")
	if only := set.List("doveadm_allowed_commands"); len(only) > 0 {
		s.Commands = only
	}
	if password := set["doveadm_password"]; password != "" {
		s.Shared = &attempt.Shared{User: set.String("doveadm_username"), Password: maillog.Secret(password)}
	}
}

// serves says why nobody could log in by a mechanism.
func (s *Server) serves(m sasl.Mechanism) error {
	links := append(append([]passdb.Link{}, s.Passwords.Links...), s.Masters.Links...)
	switch m.Needs {
	case mechanism.Nothing:
		return nil
	case mechanism.Certificate:
		if !s.CertNames {
			return errors.New("auth_ssl_username_from_cert = no")
		}
		return nil
	}
	for _, l := range links {
		asked := !l.Deny && (l.Mechanisms == nil || slices.Contains(l.Mechanisms, m.Name))
		if asked && (m.Needs == mechanism.Verifier || l.Source != nil) {
			return nil
		}
	}
	if s.Shared != nil {
		return nil
	}
	return errors.New("no passdb can serve it")
}
