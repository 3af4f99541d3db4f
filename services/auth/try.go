package auth

import (
	"culver/services/auth/attempt"
	"culver/services/auth/sasl"
)

// Try is one client's try to be somebody: an attempt, for all but tests.
type Try interface {
	sasl.Backend
	Result() Result
}

// Result is what came of a try, and Refusal why nothing did.
type (
	Result  = attempt.Result
	Refusal = attempt.Refusal
)

// attempt begins a try. Over a socket for administration only master users are
// let in, and as themselves: for whom they act, they say with each ticket.
func (s *Server) attempt(r Role, a asked) Try {
	return s.Judge.Begin(attempt.Client{
		Values: a.values, CertUser: a.certUser, Forward: a.forward, Principal: r.Finish == byTicket,
		OnlyOK: r.Finish != byRequest,
	})
}
