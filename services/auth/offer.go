package auth

import (
	"fmt"
	"os"
	"strings"

	"culver/internal/maillog/logline"
	"culver/internal/settings/finished"
	"culver/services/auth/penalty"
	"culver/services/auth/sasl"
)

// offer reads which mechanisms clients are told of, and how long they wait. A
// mechanism that cannot be served costs itself only: with Dovecot it costs the
// whole service (spec/auth.md 9.13).
func (s *Server) offer(set finished.Bag, served func(sasl.Mechanism) error) {
	s.Cleartext = set.Bool("auth_allow_cleartext")
	s.LookupTimeout = set.Duration("auth_lookup_timeout")
	s.FailureDelay = set.Duration("auth_failure_delay")
	if path := set["anvil_path"]; path != "" && set.Bool("auth_penalty") {
		c := penalty.New(path)
		c.FailureDelay, c.Logf = s.FailureDelay, s.Logf
		s.Penalty = c
	}
	for _, name := range set.List("auth_mechanisms") {
		m, ok := sasl.Find(name)
		err := fmt.Errorf("there is none of that name")
		if ok {
			err = served(m)
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
