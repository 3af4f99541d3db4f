package settings

// Mechanism is a SASL mechanism as far as it matters which passdbs can serve it
// (spec/auth.md 4).
type Mechanism struct {
	Name    string
	Schemes []string // of stored passwords that serve it, beside cleartext; nil: any will do
	Unasked bool     // it needs no password at all
}

// Mechanisms lists all that auth_mechanisms may name.
func Mechanisms() []Mechanism {
	return []Mechanism{
		{Name: "plain"},
		{Name: "login"},
		{Name: "scram-sha-256", Schemes: []string{"SCRAM-SHA-256"}},
		{Name: "scram-sha-256-plus", Schemes: []string{"SCRAM-SHA-256"}},
		{Name: "scram-sha-1", Schemes: []string{"SCRAM-SHA-1"}},
		{Name: "scram-sha-1-plus", Schemes: []string{"SCRAM-SHA-1"}},
		{Name: "external", Unasked: true},
		{Name: "cram-md5", Schemes: []string{"CRAM-MD5"}},
		{Name: "digest-md5", Schemes: []string{"DIGEST-MD5"}},
		{Name: "anonymous", Unasked: true},
	}
}

func mechanismNames() []string {
	var all []string
	for _, m := range Mechanisms() {
		all = append(all, m.Name)
	}
	return all
}
