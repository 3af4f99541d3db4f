package vars

import (
	"errors"
	"testing"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	v := &Values{User: "Joe.Doe@Example.COM", Service: "lmtp", RemoteIP: "::1"}
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"%u|%n|%d", "Joe.Doe@Example.COM|Joe.Doe|Example.COM"},
		{"%Lu %Un %Ld", "joe.doe@example.com JOE.DOE example.com"},
		{"100%%", "100%"},
		{"%{user}%{username}%{domain}", "Joe.Doe@Example.COMJoe.DoeExample.COM"},
		{"%{user | lower}", "joe.doe@example.com"},
		{"%{user|username|upper}", "JOE.DOE"},
		{"%L{domain}", "example.com"},
		{"%s %r %{rip} %{protocol} %l", "lmtp ::1 ::1 lmtp "},
		{"%1n/%1.1n/%2Ld", "J/o/ex"},
		{"%-3.3n", "Doe"},
		{"%99n%50.2n", "Joe.Doe"},
		{"%Rn", "eoD.eoJ"},
		{"%Xd", "4578616d706c652e434f4d"},
	} {
		tpl, err := Parse(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if got := tpl.Expand(v); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	for _, bad := range []string{"%", "a%", "%q", "%{nope}", "%{user", "%{user|rot13}", "%L", "%9", "%1.-2n", "%1.2.3n"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestUserNamesInPaths(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		template, user, want string // "" for ErrPath
	}{
		{"/srv/%d/%n", "bob@x", "/srv/x/bob"},
		{"/srv/%d/%n", "..@x", ""},
		{"/srv/%d/%n", "bob@..", ""},
		{"/srv/%n", ".", ""},
		{"/srv/%n", "a/b", ""},
		{"/srv/%1n%1.1n/x", "..b", ""},
		{"/srv/%n", "..b", "/srv/..b"},
		{"/srv/./%n", "bob", "/srv/./bob"},
	} {
		tpl, err := Parse(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.ExpandPath(&Values{User: tt.user})
		if got != tt.want || (tt.want == "") != errors.Is(err, ErrPath) {
			t.Errorf("%s for %q: got %q, %v, want %q", tt.template, tt.user, got, err, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/srv/%d/%Ln%%%{user|lower}", "bob@x")
	f.Add("%-3.2n", "")
	f.Fuzz(func(t *testing.T, text, user string) {
		tpl, err := Parse(text)
		if err != nil {
			return
		}
		tpl.Expand(&Values{User: user})
		tpl.ExpandPath(&Values{User: user})
	})
}
