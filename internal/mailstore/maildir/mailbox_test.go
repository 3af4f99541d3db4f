package maildir

import "testing"

func open(t testing.TB, s *Store, name string) *Mailbox {
	t.Helper()
	m, err := s.Open(name)
	must(t, err)
	t.Cleanup(m.Close)
	return m
}
