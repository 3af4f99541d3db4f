package attempt

import (
	"crypto/sha256"
	"crypto/subtle"

	"culver/internal/maillog"
)

// Shared is the name and password that are one for all administrators
// (doveadm_username, doveadm_password_file). It is a principal without bounds.
type Shared struct {
	User     string
	Password maillog.Secret // "" is nobody's
}

// is says whether the name is that of the shared password, if there is one.
func (s *Shared) is(name string) bool { return s != nil && s.Password != "" && s.User == name }

// matches compares by hashes: not even the length shows in the time it takes.
func (s *Shared) matches(password string) bool {
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(s.Password))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
