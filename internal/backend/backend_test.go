package backend

import (
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	safe := Protection{Security: StartTLS}
	for _, tt := range []struct {
		name   string
		fields map[string]string
		want   Target
		fails  string
	}{
		{"a host alone", map[string]string{"host": "b"}, Target{"b", "b:24", safe}, ""},
		{"a certificate is that of the name", map[string]string{"host": "b", "hostip": "10.0.0.2"}, Target{"b", "10.0.0.2:24", safe}, ""},
		{"an address in brackets", map[string]string{"host": "[2001:db8::1]", "port": "26"}, Target{"[2001:db8::1]", "[2001:db8::1]:26", safe}, ""},
		{"no is what there would be without it", map[string]string{"host": "b", "ssl": "no", "starttls": "no"}, Target{"b", "b:24", safe}, ""},
		{"any certificate", map[string]string{"host": "b", "starttls": "any-cert"}, Target{"b", "b:24", Protection{StartTLS, true}}, ""},
		{"of both, ssl with its own word on certificates", map[string]string{"host": "b", "ssl": "yes", "starttls": "any-cert"}, Target{"b", "b:24", Protection{Implicit, false}}, ""},
		{"nowhere", map[string]string{"ssl": "yes"}, Target{}, "passdb says proxy but no host"},
		{"no port", map[string]string{"host": "b", "port": "0"}, Target{}, `passdb field port="0" is no port`},
		{"a port beyond all", map[string]string{"host": "b", "port": "65536"}, Target{}, `passdb field port="65536" is no port`},
		{"a word that is none", map[string]string{"host": "b", "ssl": "maybe"}, Target{}, `passdb field ssl="maybe", want yes or any-cert`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Read(tt.fields, 24, safe)
			if tt.fails != "" {
				if err == nil || err.Error() != tt.fails {
					t.Fatalf("got %v, want %s", err, tt.fails)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %+v and %v, want %+v", got, err, tt.want)
			}
		})
	}
}
