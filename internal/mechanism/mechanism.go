// Package mechanism is the table of SASL mechanisms: what each is called, how a
// server is to advertise it, and what it needs of the password sources.
//
// Runs as:   the auth service, and whoever checks a configuration. Pure.
// Trusts:    its callers.
// Distrusts: nobody: it sees no client.
// Speaks:    the flags of the MECH line (spec/auth.md 1.2 and 4).
package mechanism

import "strings"

// Needs is what a mechanism asks of the password sources.
type Needs int

const (
	// Verifier asks whether a password is right: any source can serve it.
	Verifier Needs = iota
	// Credentials asks for the stored password, which has to be of one of the
	// mechanism's schemes or in cleartext.
	Credentials
	// Certificate asks for a user's entry, the proof having been in TLS.
	Certificate
	// Nothing asks nothing.
	Nothing
)

// Mechanism is one row of the table.
type Mechanism struct {
	Name    string
	Flags   []string // in the order of the MECH line
	Needs   Needs
	Schemes []string // of stored passwords, for Credentials
	Plus    bool     // for clients that can give channel binding data only
}

// Plaintext says whether the password itself goes over the wire.
func (m Mechanism) Plaintext() bool { return len(m.Flags) > 0 && m.Flags[0] == "plaintext" }

// All gives every mechanism there is.
func All() []Mechanism { return table }

var (
	plaintext = []string{"plaintext"}
	mutual    = []string{"mutual-auth"}
	bound     = []string{"mutual-auth", "channel-binding"}
	sha1      = []string{"SCRAM-SHA-1"}
	sha256    = []string{"SCRAM-SHA-256"}

	table = []Mechanism{
		{Name: "PLAIN", Flags: plaintext},
		{Name: "LOGIN", Flags: plaintext},
		{Name: "SCRAM-SHA-256", Flags: mutual, Needs: Credentials, Schemes: sha256},
		{Name: "SCRAM-SHA-256-PLUS", Flags: bound, Needs: Credentials, Schemes: sha256, Plus: true},
		{Name: "SCRAM-SHA-1", Flags: mutual, Needs: Credentials, Schemes: sha1},
		{Name: "SCRAM-SHA-1-PLUS", Flags: bound, Needs: Credentials, Schemes: sha1, Plus: true},
		{Name: "EXTERNAL", Needs: Certificate},
		{Name: "CRAM-MD5", Flags: []string{"dictionary", "active"}, Needs: Credentials, Schemes: []string{"CRAM-MD5", "HMAC-MD5"}},
		{Name: "DIGEST-MD5", Flags: []string{"dictionary", "active", "mutual-auth"}, Needs: Credentials, Schemes: []string{"DIGEST-MD5"}},
		{Name: "ANONYMOUS", Flags: []string{"anonymous"}, Needs: Nothing},
	}
)

// Find gives the mechanism of that name, in any case.
func Find(name string) (Mechanism, bool) {
	for _, m := range table {
		if strings.EqualFold(m.Name, name) {
			return m, true
		}
	}
	return Mechanism{}, false
}
