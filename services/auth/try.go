package auth

import (
	"culver/services/auth/field"
	"culver/services/auth/sasl"
	"culver/services/auth/vars"
)

// Try is one client's try to be somebody.
type Try interface {
	sasl.Backend
	Result() Result
}

type Result struct {
	User      string
	Original  string
	AuthUser  string
	Master    string
	Anonymous bool
	Fields    field.List
}

type Refusal struct {
	Code    string
	Reason  string
	NoDelay bool
	Fields  field.List
	User    string
	Err     error
}

func (r *Refusal) Error() string { return "refused" }
func (r *Refusal) Unwrap() error { return r.Err }

var _ = vars.Values{}
