package attempt

import (
	"context"
	"strings"
	"testing"
)

// FuzzMaster tries names: whatever they are, the bounded master user becomes
// nobody but those who exist within its reach, and an ordinary user himself alone.
func FuzzMaster(f *testing.F) {
	f.Add("admin", "bob", "sesame", "imap")
	f.Add("bob*admin", "bob*admin", "sesame", "imap")
	f.Add("carol@example.net*admin@example.org", "", "sesame", "imap")
	f.Add("alice", "bob@example.org", "secret", "smtp")
	f.Add("b\u212a*ADMIN", "*", "sesame", "IMAP")
	f.Fuzz(func(t *testing.T, authcid, authzid, password, service string) {
		s := newSite(t)
		c := imap()
		c.Service = service
		a := s.Begin(c)
		if err := a.Verify(context.Background(), authcid, authzid, password); err != nil {
			return
		}
		r := a.Result()
		switch {
		case r.Master == "" && len(s.records) != 0, r.Master != "" && len(s.records) != 1:
			t.Errorf("%q %q: got %+v with the records %v", authcid, authzid, r, s.records)
		case r.Master == "" && strings.Contains(authcid, "*"):
			// The same name on both sides of the separator.
			if one, two, _ := strings.Cut(strings.ToLower(authcid), "*"); strings.TrimSuffix(one, "@example.org") != strings.TrimSuffix(two, "@example.org") {
				t.Errorf("%q %q: got %+v", authcid, authzid, r)
			}
		case r.Master == "admin@example.org" && (!strings.HasSuffix(r.User, "@example.org") || service != "imap"):
			t.Errorf("%q %q %q: got %+v, want nobody out of reach", authcid, authzid, service, r)
		case r.Master != "" && strings.HasPrefix(service, "smtp") && r.Master != "sender@example.org":
			t.Errorf("%q %q %q: got %+v, want no leave to send", authcid, authzid, service, r)
		}
	})
}
